"""``hitl-bot doctor --prove``: whether a real Slack does what the bot, and the local Slack of its tests, rely on."""
