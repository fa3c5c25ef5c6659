"""The bot's own web server: Slack's requests where they come over HTTP, and health and metrics in any mode."""
