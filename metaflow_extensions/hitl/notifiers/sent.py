"""What was sent, for media in which nothing can be found or changed afterwards."""

from threading import Lock

from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval, Post

_REMEMBERED = 10_000  # questions that this process sent; the record says the rest


class Sent:
    """Remembers where questions were sent, until the record does. Threads may share it.

    Parameters
    ----------
    notifier : str
        The name that questions ask for it by.
    clock : Clock
        The present.
    """

    def __init__(self, notifier: str, clock: Clock) -> None:
        self._notifier = notifier
        self._clock = clock
        self._posts: BoundedMap[tuple[str, str], Post] = BoundedMap(_REMEMBERED)
        self._lock = Lock()

    def find(self, approval: Approval) -> Post | None:
        """Return what ``note`` returned, or None if the question was not sent from here."""
        with self._lock:
            return self._posts.get((approval.id, str(approval.pathspec)))

    def note(self, approval: Approval) -> Post:
        """Note that a question was sent just now. A post without a ``ts`` is one that nobody can update."""
        with self._lock:
            post = Post(notifier=self._notifier, at=self._clock())
            self._posts[approval.id, str(approval.pathspec)] = post
            return post
