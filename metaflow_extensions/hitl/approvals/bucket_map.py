"""The map of the bucket: every part, who writes it, who reads it, what a false object costs, and when one may go.

``bucket.py`` makes the keys and takes them apart.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from .errors import BadKey
from .record import is_part

KEEP_MARKERS_FOR = timedelta(days=7)
"""How long the change markers of what is settled are kept, and what was only needed to carry it out."""


KEPT_APPROVED = 20
"""How many of a step's approvals, or of one of its shards, are kept to be compared with."""


class Role(str, Enum):
    """Who reads or writes a part of the bucket."""

    BOT = "bot"
    RUN = "runs"
    CLI = "command lines"


_ALL = (Role.BOT, Role.RUN, Role.CLI)
_BOT = (Role.BOT,)


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """One part of the bucket.

    Attributes
    ----------
    pattern : str
        What its keys look like.
    holds : str
        What is there.
    written_by, written_by_if_sealed : tuple[Role, ...]
        Who writes it where no signing key is configured, and where one is.
    removed_by : tuple[Role, ...]
        Who removes it, of those who write it.
    read_by : tuple[Role, ...]
        Who reads it.
    if_false : str
        What an object costs that somebody else planted, or one that was removed, when the bot signs what it writes.
    ends : str
        When it may be removed, and who does it.
    """

    pattern: str
    holds: str
    written_by: tuple[Role, ...]
    written_by_if_sealed: tuple[Role, ...] = _BOT
    removed_by: tuple[Role, ...] = ()
    read_by: tuple[Role, ...]
    if_false: str
    ends: str

    @property
    def root(self) -> str:
        """What all its keys begin with: up to the first slash, which is included."""
        return self.pattern.partition("/")[0] + "/"

    def key(self, *parts: str) -> str:
        """Return a key below this prefix.

        Raises
        ------
        BadKey
            A part holds something else than ASCII letters, digits, ``_``, ``@``, ``.`` and ``-``, or begins with a dot.
        """
        for part in parts:
            if not is_part(part):
                raise BadKey(f"{part[:80]!a} can't be part of a key: use ASCII letters, digits and _ @ . - in it.")
        return self.root + "/".join(parts)

    def folder(self, *parts: str) -> str:
        """Return what all keys below these parts begin with."""
        return self.key(*parts) + "/" if parts else self.root


APPROVALS = Prefix(
    pattern="approvals/<id>/<number>.json",
    holds="the versions of each record; the one with the highest number is current",
    written_by=_ALL,
    read_by=_ALL,
    if_false="nothing opens: a version that the bot did not sign is refused, and shown as damaged",
    ends="never; a lifecycle rule may remove records whose runs nobody needs to explain",
)
OPEN = Prefix(
    pattern="open/<id>",
    holds="a marker for each record that is not settled",
    written_by=_ALL,
    removed_by=_ALL,
    read_by=_ALL,
    if_false="one request; without it, an approval is missing from lists and the bot forgets it at its next start",
    ends="when the record is settled (whoever settles it), or has no record after two full rounds of the bot",
)
CHANGES = Prefix(
    pattern="changes/<time>-<id>-<n>",
    holds="a marker for each version: the tail that every bot follows",
    written_by=_ALL,
    removed_by=_BOT,
    read_by=_BOT,
    if_false="one request; without it, the bot learns of a change in its next full round",
    ends="after 7 days, by the bot",
)
DECIDED = Prefix(
    pattern="decided/<flow>/<step>/<newest first>-<id>",
    holds="a marker for each decision, and each question closed without one: the history of a step",
    written_by=_ALL,
    read_by=_ALL,
    if_false="one request; without it, a decision is missing from history and statistics",
    ends="never; it may go with the record",
)
ASKED = Prefix(
    pattern="asked/<flow>/<step>/<shard>/<newest first>-<id>",
    holds="a marker for each open question that a newer one may replace",
    written_by=_ALL,
    removed_by=_ALL,
    read_by=_ALL,
    if_false="one request; without it, an older question is not closed when a newer one is asked",
    ends="when the record is settled, by whoever settles it",
)
APPROVED = Prefix(
    pattern="approved/<flow>/<step>/<shard>/<newest first>-<id>",
    holds="a marker for each of the last 20 approvals with evidence: what the next question is compared with",
    written_by=_ALL,
    removed_by=_BOT,
    read_by=_ALL,
    if_false="one request; without it, a question is compared with an older approval, or with none",
    ends="when there are 20 newer ones and the record was settled 7 days ago, by the bot",
)
PLOTS = Prefix(
    pattern="plots/<id>/<hash>.png",
    holds="pictures of the run itself that its question names by their SHA-256",
    written_by=(Role.RUN,),
    written_by_if_sealed=(Role.RUN,),
    removed_by=_BOT,
    read_by=(Role.BOT, Role.RUN),
    if_false="a picture is missing: one whose bytes are not what the question names is not shown",
    ends="7 days after the last change of the record, by the bot",
)
PICTURES = Prefix(
    pattern="pictures/<id>/course.png, pictures/<id>/shown",
    holds="the picture of how the metrics developed, and a marker: the question's thread has its pictures",
    written_by=_BOT,
    removed_by=_BOT,
    read_by=(Role.BOT, Role.RUN),
    if_false="a picture is missing from a thread or a card, is there twice, or is wrong on a card beside its table",
    ends="7 days after the last change of the record, by the bot",
)
CLAIMS = Prefix(
    pattern="claims/<id>/<what>-<span of time>",
    holds="which process may do what must not be done twice, for a span of time",
    written_by=_ALL,
    removed_by=_BOT,
    read_by=_ALL,
    if_false="a message is late by a minute, or is posted twice",
    ends="7 days after the last change of the record it is about, by the bot",
)
SAID = Prefix(
    pattern="said/<id>/<number>",
    holds="a marker for each version that the thread below the message shows",
    written_by=_BOT,
    removed_by=_BOT,
    read_by=_BOT,
    if_false="a line is missing from a thread, or is there twice",
    ends="7 days after the last change of the record, by the bot",
)
THREADS = Prefix(
    pattern="threads/<time>",
    holds="a marker: until when every thread is up to date",
    written_by=_BOT,
    removed_by=_BOT,
    read_by=_BOT,
    if_false="lines that were not written while the bot was down stay missing, or the bot reads more at its start",
    ends="when a newer one is written, by the bot",
)
BATCHES = Prefix(
    pattern="batches/<batch>/post, batches/<batch>/of/<id>, batches/<batch>/reminded/<second>-<kind>",
    holds="where a message of many gates is, which gates are on it, and when its people were reminded",
    written_by=_BOT,
    removed_by=_BOT,
    read_by=_BOT,
    if_false="a message shows the wrong gates, which the records of the gates correct before anything is answered",
    ends="7 days after the last change of the last of its gates, by the bot",
)
SURPLUS = Prefix(
    pattern="surplus/<id>/<message>",
    holds="where a second message about a question stands, or one about the gates of a batch: the bot removes it",
    written_by=_ALL,
    removed_by=_BOT,
    read_by=_BOT,
    if_false="nothing: a note that the bot did not sign is refused; without it, a message that decides nothing stays",
    ends="when that message is removed, by the bot",
)
IN_ADVANCE = Prefix(
    pattern="in-advance/<batch>/<number>.json",
    holds="answers to all shards of a foreach, also to those that have not asked yet; the newest for a message counts",
    written_by=_BOT,
    removed_by=_BOT,
    read_by=_BOT,
    if_false="nothing: an answer that the bot did not sign is refused; without it, shards to come wait for people",
    ends="7 days after the last change of the last gate of its message, by the bot",
)
DELEGATIONS = Prefix(
    pattern="delegations/<person>/<number>.json",
    holds="who decides for somebody absent, and until when",
    written_by=_BOT,
    read_by=_BOT,
    if_false="nothing: a delegation that the bot did not sign is refused",
    ends="never",
)
DELEGATES = Prefix(
    pattern="delegates/<who decides>/<who is absent>",
    holds="a marker: whose delegations to look up when somebody decides",
    written_by=_BOT,
    removed_by=_BOT,
    read_by=_BOT,
    if_false="two requests; without it, a delegate can't answer",
    ends="when the delegation is taken back, by the bot",
)
DIGESTS = Prefix(
    pattern="digests/<day>.json",
    holds="what was decided on one day that is over, in short: history and statistics read it instead of the records",
    written_by=_BOT,
    read_by=_ALL,
    if_false="open, history and statistics show something wrong; sealed, only what the bot signed is read",
    ends="when the records of that day go; a missing one is written again",
)
PROPOSALS = Prefix(
    pattern="proposals/questions/<id>.json, proposals/closings/<id>.json, proposals/answers/<id>/<nonce>.json",
    holds="questions and closings of runs, and answers of command lines, that wait for the bot to check and sign them",
    written_by=(Role.RUN, Role.CLI),
    written_by_if_sealed=(Role.RUN, Role.CLI),
    removed_by=_BOT,
    read_by=_ALL,
    if_false="one request: the bot accepts nothing that its rules and the cluster do not confirm",
    ends="when the bot has accepted or refused it, by the bot",
)
WAITING = Prefix(
    pattern="waiting/<id>/<time>-<seconds>",
    holds="the heartbeat of a local run that waits, which writes the next one within that many seconds",
    written_by=(Role.RUN,),
    written_by_if_sealed=(Role.RUN,),
    removed_by=(Role.RUN, Role.BOT),
    read_by=_ALL,
    if_false="a message says wrongly that somebody waits, or that nobody does; what is decided stays the same",
    ends="when the next one is written, or the wait ends, by the run; else 7 days after the record's last change, "
    "by the bot",
)
GATES = Prefix(
    pattern="gates/<flow>/<run>/<step>/<place>/<id>",
    holds="a marker: which question a gate of a local run asked, for `resume` to find",
    written_by=(Role.RUN,),
    written_by_if_sealed=(Role.RUN,),
    read_by=(Role.RUN, Role.BOT),
    if_false="one request: the record has to ask the same question about the same artifacts; without it, `resume` asks "
    "again",
    ends="never; it may go with the record",
)
STARTED = Prefix(
    pattern="started/<id>",
    holds="which task of a local run started with an answer: `resume` doesn't use that answer again",
    written_by=(Role.RUN,),
    written_by_if_sealed=(Role.RUN,),
    read_by=(Role.RUN, Role.BOT),
    if_false="an approved step of a local run does not start, and says which object is why; `resume` asks again. "
    "Without it, an answer may start the step that it is about a second time",
    ends="never; it may go with the record",
)
OUTBOX = Prefix(
    pattern="outbox/waiting/<time>-<id>-<number>-<where>, outbox/sent/<id>/<number>-<where>, outbox/seen/<time>",
    holds="events that wait to be delivered to other systems, those that were, and up to when all have been found",
    written_by=_BOT,
    removed_by=_BOT,
    read_by=_BOT,
    if_false="an event is delivered twice, or not at all",
    ends="what waits, when it is delivered or after 7 days; what was sent, 7 days after the last change of the record; "
    "by the bot",
)
OWED = Prefix(
    pattern="owed/<day>-<id>-<number>",
    holds="a marker for each obligation that is open, by the day on which it is due",
    written_by=_ALL,
    removed_by=_ALL,
    read_by=_ALL,
    if_false="one request; without it, nobody is reminded of an obligation, and lists of them leave it out",
    ends="when the obligation is closed, by whoever closes it; what was left behind, by the bot",
)
PROBE = Prefix(
    pattern="probe/<token>",
    holds="the proof that this store creates a key once and no more",
    written_by=_BOT,
    removed_by=_BOT,
    read_by=_BOT,
    if_false="nothing",
    ends="at once, by the bot",
)

PREFIXES = (
    APPROVALS,
    OPEN,
    CHANGES,
    DECIDED,
    ASKED,
    APPROVED,
    PLOTS,
    PICTURES,
    CLAIMS,
    SAID,
    THREADS,
    BATCHES,
    SURPLUS,
    IN_ADVANCE,
    DELEGATIONS,
    DELEGATES,
    DIGESTS,
    PROPOSALS,
    WAITING,
    GATES,
    STARTED,
    OUTBOX,
    OWED,
    PROBE,
)


def nobody_s_key(prefix: Prefix) -> str:
    """Return a key below a prefix that no object ever has: something can be tried on it."""
    return f"{prefix.root}nobody"
