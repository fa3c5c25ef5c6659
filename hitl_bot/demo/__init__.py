"""The main job on one machine: a local Slack, the real bot, and a real run that waits for a click."""
