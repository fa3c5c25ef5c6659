"""Settings in Metaflow's own way: ``METAFLOW_HITL_*`` in the environment or in Metaflow's configuration files.

docs/settings.md has one table of them all, the bot's included.
"""

from metaflow.metaflow_config_funcs import from_conf

# Where the records are: a path or s3://bucket/prefix. Default: <datastore root>/hitl.
HITL_ROOT = from_conf("HITL_ROOT")
# What a run on one machine does at its gates: wait, or leave (it ends, and `resume` goes on with the answers).
HITL_LOCAL = from_conf("HITL_LOCAL")
# How the question is asked, comma-separated: slack, slack_webhook, email, apprise, terminal, or another
# package's. Default: slack and terminal with a bot token, terminal without.
HITL_NOTIFIER = from_conf("HITL_NOTIFIER")
# The bot token (xoxb-…). Default: SLACK_BOT_TOKEN.
HITL_SLACK_BOT_TOKEN = from_conf("HITL_SLACK_BOT_TOKEN")
# The channel for questions whose step names none.
HITL_SLACK_CHANNEL = from_conf("HITL_SLACK_CHANNEL")
# Where Slack's Web API is, with a slash at the end. Default: Slack's own.
HITL_SLACK_API_URL = from_conf("HITL_SLACK_API_URL")
# Links the message to the run: {flow}, {run}, {step} and {task} are filled in.
HITL_UI_URL = from_conf("HITL_UI_URL")
# What the other notifiers are set up with is listed in notifiers/registry.py, and read from the same places.

# The public keys of the bots whose answers count, with blanks between them: with any, this is the sealed mode, in which
# a gate opens only for what such a bot signed. `hitl-bot key list` prints them.
HITL_PUBLIC_KEYS = from_conf("HITL_PUBLIC_KEYS")

# Argo Workflows.

# The namespace of the workflows. Default: Metaflow's KUBERNETES_NAMESPACE.
HITL_ARGO_NAMESPACE = from_conf("HITL_ARGO_NAMESPACE")
# Where Argo's pages are: links the message to the workflow, unless HITL_UI_URL links it to the run.
# Default: Metaflow's ARGO_WORKFLOWS_UI_URL.
HITL_ARGO_UI_URL = from_conf("HITL_ARGO_UI_URL")
# Argo's server and a bearer token for it, to resume workflows through it. Default: through the Kubernetes API.
HITL_ARGO_SERVER_URL = from_conf("HITL_ARGO_SERVER_URL")
HITL_ARGO_SERVER_TOKEN = from_conf("HITL_ARGO_SERVER_TOKEN")
# A PEM file to check its certificate against. Default: the certificates that Python's requests trusts.
HITL_ARGO_SERVER_CA_FILE = from_conf("HITL_ARGO_SERVER_CA_FILE")
# The Kubernetes secret with the bot token for the pod that asks: name or name/key. The key is slack-bot-token if none
# is named. Default: that pod gets no token, and the bot posts the question.
HITL_SLACK_SECRET = from_conf("HITL_SLACK_SECRET")
# What the pod that asks requests: Kubernetes quantities; a bare number of memory means MiB.
HITL_NOTIFY_CPU = from_conf("HITL_NOTIFY_CPU", "0.25")
HITL_NOTIFY_MEMORY = from_conf("HITL_NOTIFY_MEMORY", "512Mi")
