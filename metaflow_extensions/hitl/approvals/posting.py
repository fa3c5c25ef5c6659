"""The messages about an approval: where they were posted, what they show, and taking back what is posted twice.

A notifier can fail at any time. What it could not do is returned, not raised: the record counts, and the sweeper tries
again.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial

from . import transitions
from .errors import HitlError, MessageUnreachable, NotifierError, NotifierUnavailable
from .ledger import Entry, Ledger
from .ports import Clock, Finder, Notifier
from .record import Approval, Post, State, TrailEvent
from .shown import Shown


class Posting:
    """Posts questions, and brings their messages up to date.

    Parameters
    ----------
    ledger : Ledger
        Its records name the messages.
    notifiers : Mapping[str, Notifier]
        By the name that the question asks for. One that is not here is left to the bot.
    clock : Clock
        The present.
    batched : Collection[str]
        Notifiers where the gates of a foreach can share a message.
    shown : Shown
        What messages show.
    """

    def __init__(
        self,
        ledger: Ledger,
        notifiers: Mapping[str, Notifier],
        clock: Clock,
        *,
        batched: Collection[str],
        shown: Shown,
    ) -> None:
        self._ledger = ledger
        self.notifiers = notifiers
        self._clock = clock
        self.batched = frozenset(batched)
        self.shown = shown

    @property
    def final(self) -> set[str]:
        """The notifiers whose messages can't be changed once they are sent."""
        return {name for name, notifier in self.notifiers.items() if not getattr(notifier, "updates", False)}

    def here(self, approval: Approval) -> tuple[Post, ...]:
        """Return the messages that can be changed from here."""
        return tuple(post for post in approval.posts if post.notifier in self.notifiers)

    # Posting.

    def post(self, entry: Entry, *, left_to_bot: Collection[str] = ()) -> tuple[Entry, list[HitlError]]:
        """Post a question with every notifier that did not yet, as far as it is here and not left to the bot."""
        entry, failed = self.note_unnoted(entry)
        for name in unposted(entry.approval):
            notifier = self.notifiers.get(name)
            if notifier is None or name in left_to_bot:
                continue
            try:
                post = notifier.post(entry.approval)
            except NotifierError as error:
                failed.append(error)
                continue
            if post is not None:
                entry, problems = self._note_posted(entry, post)
                failed += problems
        return entry, failed

    def note_unnoted(self, entry: Entry) -> tuple[Entry, list[HitlError]]:
        """Note where this process has posted a question, if its record could not take that before, or take it back."""
        failed: list[HitlError] = []
        for post in self.shown.unnoted(entry.approval):
            entry, problems = self._note_posted(entry, post)
            failed += problems
        return entry, failed

    def _note_posted(self, entry: Entry, post: Post) -> tuple[Entry, list[HitlError]]:
        self.shown.begin_to_note(entry.approval.id, post)  # in vain, if the store does not answer
        entry = self.note_post(entry, post)
        self.shown.end_noting(entry.approval.id, post)
        failed = self._withdraw_second(entry.approval, post)
        if entry.approval.state is not State.PENDING:
            # Answered while the question was on its way: whoever settles it may not know this message.
            failed += self.refresh(entry.approval, (post,))
        return entry, failed

    def note_post(self, entry: Entry, post: Post) -> Entry:
        """Note where a question stands, unless the record names another place already."""
        change = partial(transitions.posted, post=post)
        return self._ledger.update(entry.approval.id, TrailEvent.POSTED, self._clock(), change, seen=entry)

    def find(self, entry: Entry) -> tuple[Entry, list[HitlError]]:
        """Note the messages that somebody posted and could not note: they ask, so they have to show the end."""
        failed: list[HitlError] = []
        for name in unposted(entry.approval):
            notifier = self.notifiers.get(name)
            if notifier is None and name in self.batched:
                failed.append(NotifierUnavailable(f"The bot looks for the message of {entry.approval.id}."))
            if not isinstance(notifier, Finder):
                continue
            try:
                post = notifier.find(entry.approval)
            except NotifierError as error:
                failed.append(error)
                continue
            if post is not None:
                entry = self.note_post(entry, post)
        return entry, failed

    def look_again(self, entry: Entry) -> tuple[Entry, list[HitlError]]:
        """Find and update a message that came after everything was carried out, and whose poster may have died."""
        known = entry.approval.posts
        entry, failed = self.find(entry)
        if not failed:
            failed = self.refresh(entry.approval, tuple(post for post in entry.approval.posts if post not in known))
        if not failed:
            self.shown.note_looked_again(entry.approval.id)
        return entry, failed

    # Taking back.

    def _withdraw_second(self, approval: Approval, post: Post) -> list[HitlError]:
        """Take a message back that was posted while somebody else posted the one that the record names."""
        first = next((known for known in approval.posts if known.notifier == post.notifier), post)
        if (first.channel, first.ts) == (post.channel, post.ts) or post.batch is not None:
            return []  # a message of many gates stays: the others are on it
        return self.withdraw(approval.id, post)

    def withdraw(self, about: str, post: Post) -> list[HitlError]:
        """Remove a message beside the one that the record of an approval, or a batch, names; a bot tries again."""
        notifier = self.notifiers.get(post.notifier)
        if not isinstance(notifier, Finder):
            return []
        failed: list[HitlError] = []
        try:
            self._ledger.note_surplus(about, post)  # before: whoever dies, or is refused, leaves it to a bot
        except HitlError as error:
            failed.append(error)
        try:
            notifier.withdraw(post)
        except MessageUnreachable:
            pass  # somebody else took it back
        except NotifierError as error:
            failed.append(error)
        return failed

    def withdraw_noted(self, key: str) -> None:
        """Remove a message that was noted, and the note; raises what keeps it from that."""
        post = self._ledger.surplus(key, self._clock())
        if post is not None:
            notifier = self.notifiers.get(post.notifier)
            if not isinstance(notifier, Finder):
                return
            with suppress(MessageUnreachable):
                notifier.withdraw(post)
        self._ledger.store.unmark(key)

    # Showing.

    def show(
        self, approval: Approval, posts: tuple[Post, ...], not_shown: dict[str, str] | None = None
    ) -> list[HitlError]:
        """Bring messages up to date, the only way to do so, and note what they show; return what could not be done.

        Parameters
        ----------
        not_shown : dict, optional
            Takes, by notifier, why a message can never be brought up to date: nothing is left to be done about it.
        """
        failed: list[HitlError] = []
        for post in posts:
            notifier = self.notifiers.get(post.notifier)
            if notifier is None:
                if post.ts is not None:  # without one nobody can update it, such as an email
                    failed.append(NotifierUnavailable(f"The bot updates the message of {approval.id}."))
                continue
            try:
                notifier.update(approval, post)
            except MessageUnreachable as error:
                # Nobody sees it, or nobody can change it: there is nothing to wait for.
                if not_shown is not None:
                    not_shown[post.notifier] = str(error)
            except NotifierError as error:
                self.shown.doubt(approval, post)
                if approval.settlement is not None:
                    self.shown.expect_less(approval)  # nothing else would try again
                failed.append(error)
                continue
            self.shown.note(approval, post)
        return failed

    def show_end(self, approval: Approval) -> list[HitlError]:
        """Show once more how a settled approval ended."""
        failed = self.show(approval, approval.posts)
        if not failed:
            self.shown.note_all(approval)
        return failed

    def refresh(self, approval: Approval, posts: tuple[Post, ...]) -> list[HitlError]:
        """Bring messages up to date; of several who do so at once the messages show the newest version in the end."""
        while True:
            failed = self.show(approval, posts)
            try:
                newest = self._ledger.read(approval.id).approval
            except HitlError as error:
                return [*failed, error]
            if failed or newest == approval:
                return failed
            approval = newest

    def show_votes(self, entry: Entry) -> tuple[Approval, list[HitlError]]:
        """Show the votes so far. Of several that are cast at once the messages show the newest in the end."""
        while True:
            failed = self.show(entry.approval, entry.approval.posts)
            newer = self._ledger.read_version(entry.approval.id, entry.number + 1)
            if failed or newer is None:
                return entry.approval, failed
            entry = newer


def unposted(approval: Approval) -> tuple[str, ...]:
    """Return the notifiers that the question asks for and that have not posted it."""
    known = {post.notifier for post in approval.posts}
    return tuple(name for name in approval.question.notifiers if name not in known)
