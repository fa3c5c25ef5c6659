"""The operator's policy: a YAML file beside the bot, outside the code of the flows."""
