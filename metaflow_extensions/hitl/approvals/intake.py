"""Taking over what runs proposed, where only the bot writes records.

The bot believes a run about what it asks, and about nothing else: who answers, by which rule, and until when follows
from what the bot knows itself. A proposal that can't be used is set aside, and holds up no other.
"""

from itertools import islice
from typing import Protocol

from . import bucket, bucket_map
from .bounded import BoundedMap
from .errors import HitlError, KeyMissing, NoSuchApproval, RecordError
from .proposing import check_same_question, read_closing, read_proposal
from .record import EngineKind
from .use_cases import UseCases

_AT_ONCE = 1_000  # keys of one look: one LIST
_REMEMBERED = 10_000  # of those set aside


class OtherKeys(HitlError):
    """The run that asks does not trust this bot's key."""

    def __init__(self, approval_id: str) -> None:
        super().__init__(
            f"{approval_id} is not taken over: its run does not trust any of this bot's keys. Compare "
            "METAFLOW_HITL_PUBLIC_KEYS of the flow with what `hitl-bot key list` prints."
        )


class IntakeObserver(Protocol):
    """Told what could not be taken over."""

    def failed(self, approval_id: str, error: HitlError) -> None:
        """It is set aside, or tried again."""
        ...

    def broke(self, approval_id: str, error: Exception) -> None:
        """A defect showed. It is set aside."""
        ...


class Intake:
    """Takes over proposed questions and closings, a bounded number at a time.

    Parameters
    ----------
    cases : UseCases
        The bot's, with what signs.
    observer : IntakeObserver
        Told of what is set aside.
    """

    def __init__(self, cases: UseCases, observer: IntakeObserver) -> None:
        self._cases = cases
        self._observer = observer
        self._aside: BoundedMap[str, None] = BoundedMap(_REMEMBERED)
        self._after = ""

    def tick(self) -> int:
        """Take over what is there, and return how much that was. One LIST, and a GET for each that is new.

        Raises
        ------
        StoreUnavailable
            Nothing is lost. Call again later.
        """
        trust = self._cases.ledger.trust
        if not (trust.is_sealed and trust.writes):
            return 0
        store = self._cases.ledger.store
        keys = list(islice(store.list(bucket_map.PROPOSALS.root, after=self._after, limit=_AT_ONCE), _AT_ONCE))
        # A thousand that are set aside must not hide those after them.
        self._after = keys[-1] if len(keys) == _AT_ONCE else ""
        return sum(self._take(key) for key in keys if key not in self._aside)

    def _take(self, key: str) -> bool:
        """Take one over; False if it is nothing for here, or nothing at all."""
        question, closing = bucket.read_proposed_question_key(key), bucket.read_proposed_closing_key(key)
        about = question or closing
        if about is None:
            return False  # an answer, which somebody else takes over, or a name that no proposal has
        try:
            if question is not None:
                self._question(key)
            else:
                self._closing(key, about)
        except KeyMissing:
            return False  # another bot was faster
        except HitlError as error:
            if isinstance(error, (RecordError, OtherKeys)):
                self._set_aside(key)  # it stays as it is; a newer bot, or one with another key, may read it
            self._observer.failed(about, error)
            return False
        except Exception as error:  # noqa: BLE001 - one hostile proposal must not hold up the others
            self._set_aside(key)
            self._observer.broke(about, error)
            return False
        return True

    def _set_aside(self, key: str) -> None:
        self._aside[key] = None

    def _question(self, key: str) -> None:
        ledger = self._cases.ledger
        proposed, keys = read_proposal(ledger.store, key)
        signing_key = ledger.trust.key_for(keys)
        if signing_key is None:
            raise OtherKeys(proposed.id)
        entry = self._cases.take_over(proposed, key=signing_key)
        ledger.store.unmark(key)
        # Where the record was there before, this is what a bot left behind that died just now; or it was planted.
        check_same_question(proposed, entry.approval)

    def _closing(self, key: str, approval_id: str) -> None:
        cases, store = self._cases, self._cases.ledger.store
        reason = read_closing(store, key)
        if reason is None:
            return
        try:
            entry = cases.ledger.read(approval_id)
        except NoSuchApproval:
            self._withdraw(bucket.proposed_question_key(approval_id))
        else:
            # What waits in the cluster is closed by what the cluster says.
            if entry.approval.gate.engine is EngineKind.LOCAL:
                cases.close(entry, reason)
        store.unmark(key)

    def _withdraw(self, key: str) -> None:
        """Take away the question of a local run that ended before anybody was asked."""
        store = self._cases.ledger.store
        try:
            proposed, _ = read_proposal(store, key)
        except (KeyMissing, RecordError):
            return
        if proposed.gate.engine is EngineKind.LOCAL:
            store.unmark(key)
