"""The way to Slack: its connection and its client, and who somebody is there."""
