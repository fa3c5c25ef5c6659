"""``python -m hitl_bot``."""

from hitl_bot.cli import main

main()
