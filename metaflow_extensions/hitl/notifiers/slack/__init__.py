"""Slack: the bot's message with buttons, and an incoming webhook's without."""
