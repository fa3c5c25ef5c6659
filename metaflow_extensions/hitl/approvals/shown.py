"""What each message is known to show, so that a difference from the record is work for the sweeper.

Of an approval that has ended the record itself keeps it, where every bot sees it: it is settled once its messages show
the end. Beyond that each process remembers what it showed: of one that is open, and less than the end if that came just
before another process had shown it all. One that starts remembers nothing, and shows once more what somebody may have
failed to show.
"""

from collections.abc import Collection
from threading import Lock

from .bounded import BoundedMap
from .record import Approval, Post

_KEPT = 20_000  # messages; one that was forgotten is shown once more


class Shown:
    """Remembers what messages show. Threads may share it."""

    def __init__(self) -> None:
        self._shown: BoundedMap[tuple[str, str], object] = BoundedMap(_KEPT)
        self._overwritten: BoundedMap[str, None] = BoundedMap(_KEPT)  # perhaps, by who has shown less since
        self._unnoted: BoundedMap[tuple[str, str], Post] = BoundedMap(_KEPT)  # posted, and in no record yet
        self._looked_again: BoundedMap[str, None] = BoundedMap(_KEPT)  # for a message that came after the end
        self._lock = Lock()

    def note(self, approval: Approval, post: Post) -> None:
        """Remember that a message shows an approval as it stands here, or that nobody can ever change it."""
        with self._lock:
            self._shown[approval.id, post.notifier] = _visible(approval)
            if approval.settlement is not None:
                self._overwritten.pop(approval.id, None)

    def note_all(self, approval: Approval) -> None:
        """Remember that everything that can be changed from here shows how an approval ended, if anything can."""
        with self._lock:
            self._overwritten.pop(approval.id, None)

    def doubt(self, approval: Approval, post: Post) -> None:
        """Forget what a message shows: an attempt to change it failed, and may have succeeded all the same."""
        with self._lock:
            self._shown[approval.id, post.notifier] = None  # less than the end, should somebody else show that

    def begin_to_note(self, approval_id: str, post: Post) -> None:
        """Remember where a question was posted, until its record has taken that."""
        with self._lock:
            self._unnoted[approval_id, post.notifier] = post

    def end_noting(self, approval_id: str, post: Post) -> None:
        """Forget it: the record names this message, or another one."""
        with self._lock:
            self._unnoted.pop((approval_id, post.notifier), None)

    def unnoted(self, approval: Approval) -> list[Post]:
        """Return where this process has posted a question, and doesn't know yet whether its record names that place."""
        with self._lock:
            places = (self._unnoted.get((approval.id, name)) for name in approval.question.notifiers)
            return [post for post in places if post is not None]

    def note_looked_again(self, approval_id: str) -> None:
        """Remember that the message of a settled approval, if there is one that nobody noted, was looked for again."""
        with self._lock:
            self._looked_again[approval_id] = None

    def looked_again(self, approval_id: str) -> bool:
        """Whether that was done here."""
        with self._lock:
            return approval_id in self._looked_again

    def expect_less(self, approval: Approval) -> None:
        """Note that a run or a command line may be showing less than the end at this moment: it is shown once more."""
        with self._lock:
            self._overwritten[approval.id] = None

    def expect_question(self, approval: Approval) -> None:
        """Note that a message may be asking that its record named only after the end, unless it was updated here."""
        visible = _visible(approval)
        with self._lock:
            if any(self._shown.get((approval.id, post.notifier)) != visible for post in approval.posts):
                self._overwritten[approval.id] = None

    def may_show_less(self, approval: Approval) -> bool:
        """Whether somebody else may have written over the end, which was not shown again since."""
        with self._lock:
            return approval.id in self._overwritten

    def is_up_to_date(self, approval: Approval, notifiers: Collection[str]) -> bool:
        """Whether the votes are on all messages that these notifiers can change."""
        if not approval.votes:
            return True
        places = [post for post in approval.posts if post.ts is not None and post.notifier in notifiers]
        visible = _visible(approval)
        with self._lock:
            return all(self._shown.get((approval.id, post.notifier)) == visible for post in places)

    def showed_less(self, approval: Approval) -> bool:
        """Whether this process showed less than how a settled approval ended, maybe after another one showed it."""
        visible = _visible(approval)
        with self._lock:
            return any(self._shown.get((approval.id, post.notifier), visible) != visible for post in approval.posts)


def _visible(approval: Approval) -> object:
    return approval.state, approval.votes, approval.decision, approval.closing, approval.settlement is not None
