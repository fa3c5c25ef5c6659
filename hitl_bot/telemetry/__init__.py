"""What an operator sees of the bot: its log, its metrics, and what keeps it from working."""
