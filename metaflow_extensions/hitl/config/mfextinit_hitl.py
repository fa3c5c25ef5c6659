"""Settings in Metaflow's own way: ``METAFLOW_HITL_*`` in the environment or in Metaflow's configuration files.

The README has one table of them all, the bot's included.
"""

from metaflow.metaflow_config_funcs import from_conf

# Where the records are: a path or s3://bucket/prefix. Default: <datastore root>/hitl.
HITL_ROOT = from_conf("HITL_ROOT")
# How the question is asked, comma-separated: slack, terminal. Default: both with a bot token, terminal without.
HITL_NOTIFIER = from_conf("HITL_NOTIFIER")
# The bot token (xoxb-…). Default: SLACK_BOT_TOKEN.
HITL_SLACK_BOT_TOKEN = from_conf("HITL_SLACK_BOT_TOKEN")
# The channel for questions whose step names none.
HITL_SLACK_CHANNEL = from_conf("HITL_SLACK_CHANNEL")
# Where Slack's Web API is, with a slash at the end. Default: Slack's own.
HITL_SLACK_API_URL = from_conf("HITL_SLACK_API_URL")
# Links the message to the run: {flow}, {run}, {step} and {task} are filled in.
HITL_UI_URL = from_conf("HITL_UI_URL")
