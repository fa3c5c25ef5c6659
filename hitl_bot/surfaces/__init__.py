"""What the bot keeps up to date in Slack by itself: shared messages, threads, reminders, Home tabs."""
