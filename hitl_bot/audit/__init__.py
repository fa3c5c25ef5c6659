"""``hitl-bot audit``: hold the records to their rules, and write them down for auditors."""
