"""A notifier that nobody reads: for tests and simulations, which ask it afterwards what people would have seen."""

from threading import Lock

from metaflow_extensions.hitl.approvals.errors import MessageUnreachable, NotifierRefused, NotifierUnavailable
from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.approvals.record import Approval, Post


class MemoryNotifier:
    """Keeps one message for each approval, as a channel would. Threads may share it.

    Parameters
    ----------
    clock : Clock
        Tells when a question was posted.
    name : str
        The name that questions ask for it by.

    Attributes
    ----------
    shown : dict[str, Approval]
        By approval id: what the message shows now.
    posts : dict[str, Post]
        By approval id: where the message stands. Its ``ts`` counts the messages, from 1.
    """

    updates = True

    def __init__(self, clock: Clock, name: str = "memory") -> None:
        self.name = name
        self.shown: dict[str, Approval] = {}
        self.posts: dict[str, Post] = {}
        self._clock = clock
        self._lock = Lock()
        self._trouble: NotifierUnavailable | NotifierRefused | None = None

    # The port.

    def post(self, approval: Approval) -> Post:
        """Write the message, or find the one that was written before."""
        with self._lock:
            self._check_trouble()
            if approval.id not in self.posts:
                ts = str(len(self.posts) + 1)
                channel = approval.question.channel or self.name
                self.posts[approval.id] = Post(notifier=self.name, at=self._clock(), channel=channel, ts=ts)
                self.shown[approval.id] = approval
            return self.posts[approval.id]

    def update(self, approval: Approval, post: Post) -> None:
        """Show the approval in its message; MessageUnreachable if there is none."""
        with self._lock:
            self._check_trouble()
            if self.posts.get(approval.id) != post:
                raise MessageUnreachable(f"The message of {approval.id} is gone.")
            self.shown[approval.id] = approval

    # What may happen to a medium.

    def go_away(self, why: str = "The medium does not answer.") -> None:
        """Raise NotifierUnavailable from now on."""
        self._trouble = NotifierUnavailable(why)

    def refuse(self, why: str = "The channel is archived.") -> None:
        """Raise NotifierRefused from now on."""
        self._trouble = NotifierRefused(why)

    def come_back(self) -> None:
        """Answer again."""
        self._trouble = None

    def delete(self, approval_id: str) -> None:
        """Remove a message, as a channel's owner may."""
        with self._lock:
            del self.posts[approval_id], self.shown[approval_id]

    def _check_trouble(self) -> None:
        if self._trouble is not None:
            raise self._trouble
