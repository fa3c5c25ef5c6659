"""``python -m tests.tools.slack_types``."""

from tests.tools.slack_types import main

main()
