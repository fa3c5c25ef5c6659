"""The question in a terminal, where nobody has a Slack token."""

from collections.abc import Callable
from datetime import timezone, tzinfo

from metaflow_extensions.hitl.approvals.record import Approval, Post
from metaflow_extensions.hitl.messages import terminal


class TerminalNotifier:
    """Prints a question once, with the exact command that answers it.

    Parameters
    ----------
    write : Callable[[str], object]
        Takes one text of several lines, without a line break at its end.
    script : str
        The flow's file, as it is written after ``python``.
    zone : tzinfo
        The time zone of who reads.
    """

    def __init__(self, write: Callable[[str], object], *, script: str = "flow.py", zone: tzinfo = timezone.utc) -> None:
        self.write = write
        self.script = script
        self.zone = zone
        self._asked: set[str] = set()  # by this process; a new terminal has to ask again

    def post(self, approval: Approval) -> Post | None:
        """Print the question. Nothing is left to update later."""
        if approval.id not in self._asked:
            self._asked.add(approval.id)
            self.write(terminal.question_text(approval, script=self.script, zone=self.zone))
        return None

    def update(self, approval: Approval, post: Post) -> None:
        """Do nothing: what is printed stays, and whoever waits prints the answer."""
