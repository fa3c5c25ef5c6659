"""The bot's private keys, and ``hitl-bot key``."""
