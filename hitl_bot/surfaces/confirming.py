"""Asking people in Slack whether something that nobody vouches for is theirs: an answer, or a run.

An answer from a command line is an object below ``proposals/answers/``. The bot finds it, asks its person by direct
message, and takes their click for their own answer. Whoever can write the bucket can make the bot ask, and no more.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime, timedelta
from threading import Lock

import structlog
from slack_sdk import WebClient

from hitl_bot.slack.client import SLACK_FAILED
from hitl_bot.slack.people import SlackPeople
from hitl_bot.sweeper import BackgroundJob
from metaflow_extensions.hitl.approvals import transitions
from metaflow_extensions.hitl.approvals.bounded import BoundedMap
from metaflow_extensions.hitl.approvals.deciding import proposal as proposals
from metaflow_extensions.hitl.approvals.deciding.permission import needs_confirming
from metaflow_extensions.hitl.approvals.deciding.proposal import AnswerProposal, BadProposal, DoneProposal, Proposal
from metaflow_extensions.hitl.approvals.errors import HitlError, KeyMissing, NoSuchApproval, RecordError
from metaflow_extensions.hitl.approvals.ledger import Entry
from metaflow_extensions.hitl.approvals.queries import Queries
from metaflow_extensions.hitl.approvals.record import (
    Answer,
    Approval,
    Origin,
    Pathspec,
    Person,
    State,
    TrailEvent,
    Where,
)
from metaflow_extensions.hitl.approvals.refusals import ApprovalError
from metaflow_extensions.hitl.approvals.use_cases import UseCases
from metaflow_extensions.hitl.messages import obligations, replies
from metaflow_extensions.hitl.messages.blocks import code, escape
from metaflow_extensions.hitl.messages.replies import Reply

from .threads import Threads

LOOK_EVERY = timedelta(seconds=2)
KEEP_FOR = timedelta(days=1)  # a proposal that nobody confirms
_AT_ONCE = 1_000  # proposals of one look: one LIST
_ASKED_AN_HOUR = 5  # direct messages to one person about one approval: whoever writes the bucket must not flood them
_HOUR = timedelta(hours=1)
_KNOWN = 10_000

log = structlog.get_logger("hitl_bot.confirming")


class NotYours(HitlError):
    """This asks somebody else, so nothing was recorded."""


class NothingToConfirm(HitlError):
    """This can no longer be confirmed: it was withdrawn or changed, or is a day old. Answer the question itself."""


class Confirming:
    """Asks, and takes the clicks. Threads may share it.

    Parameters
    ----------
    cases : UseCases
        What can be done with an approval.
    queries : Queries
        What is open.
    people : SlackPeople
        Whom the operator, or their address in Slack, links to a user name.
    client : WebClient
        With chat:write: a direct message needs no more.
    threads : Threads
        Told what can't be asked.
    workers : Executor
        Where the asking goes on.
    holder : str
        Of this bot among all that share the store.
    """

    def __init__(
        self,
        cases: UseCases,
        queries: Queries,
        people: SlackPeople,
        client: WebClient,
        threads: Threads,
        *,
        workers: Executor,
        holder: str,
    ) -> None:
        self._cases = cases
        self._queries = queries
        self._people = people
        self._client = client
        self._threads = threads
        self._holder = holder
        self._lock = Lock()
        self._looking = BackgroundJob(workers, self._look, name="proposals")
        self._looked_at: datetime | None = None
        self._asked: BoundedMap[str, None] = BoundedMap(_KNOWN)  # keys of proposals
        self._lately: BoundedMap[tuple[str, str], deque[datetime]] = BoundedMap(_KNOWN)  # by approval and person
        self._runs: dict[str, Approval] = {}  # whose requester is yet to be asked, by approval
        self._whose: BoundedMap[tuple[str, str, str], Person] = BoundedMap(_KNOWN)  # confirmed, by flow, run and claim

    # What the sweeper sees.

    def changed(self, entry: Entry) -> None:
        """Note a run whose requester has to be asked."""
        approval = entry.approval
        if approval.state is State.PENDING and needs_confirming(self._cases.governed(approval)):
            with self._lock:
                self._runs[approval.id] = approval

    def tick(self) -> None:
        """Look for proposals every two seconds, and ask, unless that is still going on."""
        now = self._cases.clock()
        with self._lock:
            due = self._looked_at is None or not timedelta() <= now - self._looked_at < LOOK_EVERY
            if self._looking.is_busy or not (due or self._runs):
                return
            self._looked_at = now
        self._looking.ask()

    def _look(self) -> None:
        with self._lock:
            runs, self._runs = list(self._runs.values()), {}
        for approval in runs:
            self._guarded(self._ask_requester, approval)
        for key in list(proposals.proposed(self._cases.ledger.store, limit=_AT_ONCE)):
            if key not in self._asked:
                self._guarded(self._take_in, key)

    def _guarded(self, act: Callable[..., None], about: object) -> None:
        """One that can't be asked now holds up none of the others."""
        try:
            act(about)
        except (HitlError, *SLACK_FAILED) as error:
            log.warning("could not ask whether it was them", why=str(error))

    # Answers.

    def _take_in(self, key: str) -> None:
        store, now = self._cases.ledger.store, self._cases.clock()
        try:
            proposal = proposals.read_answer(store, key)
            approval = self._cases.governed(self._cases.ledger.read(proposal.approval_id).approval)
        except (BadProposal, NoSuchApproval) as error:
            log.warning("a proposal is not one", key=key, why=str(error))
            store.unmark(key)
            return
        except (KeyMissing, RecordError):
            self._remember(key)
            return
        if proposal.is_over(approval) or not timedelta(minutes=-5) <= now - proposal.at < KEEP_FOR:
            store.unmark(key)
            return
        if self._ask_about(approval, proposal, now):
            self._remember(key)
        else:
            store.unmark(key)

    def _ask_about(self, approval: Approval, proposal: Proposal, now: datetime) -> bool:
        """Ask the person whose name it is; return whether they may still be confirming it."""
        claimed = Person(id=proposal.claimed, name=proposal.claimed, origin=Origin.CLAIM)
        person = self._people.identify(claimed)
        if person is None:
            self._say_once(
                approval,
                claimed,
                f"{_what(proposal)} by {code(proposal.claimed)} doesn't count: that name isn't linked to a "
                f"Slack user who could confirm it. An operator can link it under {code('people')} in the policy "
                f"file: {code(f'{proposal.claimed}: their email address')}.",
                now,
            )
            return False
        try:
            if isinstance(proposal, DoneProposal):
                self._cases.obligations.check_may_close(approval, proposal.number, person)
            else:
                self._cases.check_may_decide(approval, person, verdict=proposal.verdict, where=Where.CONFIRMATION)
        except ApprovalError as error:
            self._say_once(approval, claimed, f"{_what(proposal)} doesn't count. {escape(str(error), 500)}", now)
            return False
        if not self._may_ask(approval.id, person, now):
            return False
        if self._cases.ledger.claim(approval.id, f"confirm-{proposal.nonce}", self._holder, now=now, during=KEEP_FOR):
            try:
                self._send(person, _question(approval, proposal))
            except SLACK_FAILED:
                with self._lock:  # with one of the next looks: what never arrived has not bothered anybody
                    self._lately[approval.id, person.id].pop()
                raise
        return True

    def confirm_answer(self, value: str, user_id: str) -> Reply:
        """Take somebody's click for their own answer, or for their own word that an obligation is done.

        Raises
        ------
        NotYours, NothingToConfirm
            It is not theirs, or is another than the one they were shown.
        HitlError
            As for any answer.
        """
        approval_id, nonce, digest = replies.confirmed_answer(value)
        store, key = self._cases.ledger.store, proposals.answer_key(approval_id, nonce)
        try:
            proposal = None if key is None else proposals.read_answer(store, key)
        except (KeyMissing, BadProposal):
            proposal = None
        if key is None or proposal is None or proposal.digest != digest or self._is_old(proposal):
            raise NothingToConfirm(str(NothingToConfirm.__doc__))
        who = self._clicked_by(Person(id=proposal.claimed, name=proposal.claimed, origin=Origin.CLAIM), user_id)
        if isinstance(proposal, DoneProposal):
            self._cases.obligations.close(approval_id, proposal.number, who=who, comment=proposal.comment)
            store.unmark(key)
            return replies.said(obligations.CLOSED)
        owed = None if proposal.obligation is None else proposal.obligation.taken_on(who)
        answer = Answer(verdict=proposal.verdict, input=proposal.input, reason=proposal.reason, obligation=owed)
        outcome = self._cases.decide(approval_id, answer, who=who, where=Where.CONFIRMATION)
        store.unmark(key)
        return replies.done(outcome)

    def _is_old(self, proposal: Proposal) -> bool:
        return self._cases.clock() - proposal.at >= KEEP_FOR

    # Runs.

    def _ask_requester(self, approval: Approval) -> None:
        known = self._whose.get(_run_of(approval))
        if known is not None:
            self._note_requester(approval.id, known)
            return
        person = self._people.identify(approval.requester)
        if person is None:
            return  # the thread says it
        now = self._cases.clock()
        # All gates of a run ask once, whichever of them comes first.
        run = Pathspec(flow=approval.pathspec.flow, run=approval.pathspec.run, step="requester", task="0").approval_id
        if not self._cases.ledger.claim(run, "confirm-run", self._holder, now=now, during=_HOUR):
            return
        if self._may_ask(run, person, now, most=1):
            try:
                self._send(person, replies.did_you_start_it(approval))
            except SLACK_FAILED:
                with self._lock:  # with one of the next looks
                    self._lately.pop((run, person.id), None)
                    self._runs[approval.id] = approval
                raise

    def confirm_run(self, approval_id: str, user_id: str) -> Approval:
        """Take somebody's word that a run is theirs, for all of its gates that wait.

        Raises
        ------
        NotYours, NothingToConfirm
            It does not ask them, or can no longer be confirmed.
        """
        approval = self._cases.governed(self._cases.ledger.read(approval_id).approval)
        if approval.state is not State.PENDING:
            raise NothingToConfirm(str(NothingToConfirm.__doc__))
        who = self._clicked_by(approval.requester, user_id)
        with self._lock:
            self._whose[_run_of(approval)] = who
        for one in self._queries.open(flow=approval.pathspec.flow).approvals:
            if _run_of(one) == _run_of(approval):
                self._note_requester(one.id, who)
        return approval

    def _note_requester(self, approval_id: str, who: Person) -> None:
        self._cases.ledger.update(
            approval_id,
            TrailEvent.REQUESTER_CONFIRMED,
            self._cases.clock(),
            lambda newest: transitions.confirm_requester(newest, who),
        )

    # Both.

    def _clicked_by(self, claimed: Person, user_id: str) -> Person:
        people = self._people.now()
        who, expected = people.person(user_id), people.identify(claimed)
        if expected is None or expected.id != who.id:
            raise NotYours(str(NotYours.__doc__))
        return who

    def _send(self, person: Person, message: Reply) -> None:
        self._client.chat_postMessage(
            channel=person.id, text=message["text"], blocks=message["blocks"], unfurl_links=False, unfurl_media=False
        )

    def _say_once(self, approval: Approval, claimed: Person, text: str, now: datetime) -> None:
        if self._may_ask(approval.id, claimed, now, most=1):
            self._threads.note(approval, text)

    def _may_ask(self, approval_id: str, person: Person, now: datetime, *, most: int = _ASKED_AN_HOUR) -> bool:
        with self._lock:
            asked = self._lately.setdefault((approval_id, person.id), deque(maxlen=_ASKED_AN_HOUR))
            self._lately[approval_id, person.id] = asked  # the newest now
            if sum(now - at < _HOUR for at in asked) >= most:
                return False
            asked.append(now)
            return True

    def _remember(self, key: str) -> None:
        with self._lock:
            self._asked[key] = None


def _what(proposal: Proposal) -> str:
    is_answer = isinstance(proposal, AnswerProposal)
    return "An answer from a command line" if is_answer else "Closing an obligation from a command line"


def _question(approval: Approval, proposal: Proposal) -> Reply:
    if isinstance(proposal, DoneProposal):
        return replies.is_that_done(approval, proposal)
    return replies.was_that_you(approval, proposal)


def _run_of(approval: Approval) -> tuple[str, str, str]:
    return approval.pathspec.flow, approval.pathspec.run, approval.requester.id
