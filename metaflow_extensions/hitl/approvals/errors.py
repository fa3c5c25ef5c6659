"""Everything that this project refuses or fails with, in one tree.

A message says what happened, to which approval, and the next button or command: it is read by a person, in
a chat as well as in a terminal.
"""


class HitlError(Exception):
    """The root of the tree. Catch this; everything else is a defect."""


# The store.


class StoreError(HitlError):
    """Something is wrong with a key or with the store that should hold it."""


class KeyTaken(StoreError):
    """Somebody wrote this key first. Nothing was changed."""


class KeyMissing(StoreError):
    """Nothing was ever written at this key."""


class BadKey(StoreError):
    """The key could leave its place in the store: `..`, a control character, a leading or doubled slash."""


class StoreUnavailable(StoreError):
    """The store did not answer, or refused. What was asked of it may be tried again."""


class StoreUnfit(StoreError):
    """The store overwrites where it must refuse, so two answers could both win. It can't be used."""


# The record.


class RecordError(HitlError):
    """The record can't be used. The gate stays closed."""


class NoSuchApproval(RecordError):
    """No approval has this id."""

    def __init__(self, approval_id: str, store_url: str) -> None:
        super().__init__(
            f"No approval {approval_id} was found in {store_url}. `hitl list --all` shows all approvals "
            "there; if this one should exist, compare METAFLOW_HITL_ROOT on both sides."
        )


class NotTakenOverYet(NoSuchApproval):
    """A run proposed the question, and no bot has taken it over."""

    def __init__(self, approval_id: str, store_url: str) -> None:
        RecordError.__init__(
            self,
            f"A run has asked for {approval_id}, and no bot has taken it over yet, so it can be neither shown nor "
            f"answered. Check that a bot with METAFLOW_HITL_SIGNING_KEY is running on {store_url}, then try again.",
        )


class AmbiguousId(RecordError):
    """Several approvals begin like this."""

    def __init__(self, beginning: str, ids: list[str]) -> None:
        super().__init__(
            f"{beginning} is the beginning of several approvals: {', '.join(ids)}, … Enter more of the ID."
        )


class CorruptRecord(RecordError):
    """A version can't be read. The gate stays closed."""

    def __init__(self, key: str, cause: str) -> None:
        self.key, self.cause = key, cause
        super().__init__(
            f"The record {key} can't be trusted: {cause}. The gate stays closed; start a new run to ask again."
        )


class NewerFormat(RecordError):
    """A later release wrote this version."""

    def __init__(self, key: str, found: int, known: int) -> None:
        super().__init__(
            f"The record {key} has format {found}, but this release reads formats up to {known}. Upgrade "
            "metaflow-hitl here."
        )


class OlderFormat(RecordError):
    """A development release before the first one wrote this version."""

    def __init__(self, key: str, found: int, known: int) -> None:
        super().__init__(
            f"The record {key} has format {found}, but this release reads only format {known}. Finish or abandon its "
            "run with the release that wrote it, and set METAFLOW_HITL_ROOT to an empty place for new ones."
        )


class NeedsNewer(RecordError):
    """The record depends on something that this release does not know."""

    def __init__(self, key: str, needs: str, release: str) -> None:
        super().__init__(
            f"The record {key} depends on {needs!r}, which this release does not know. Nothing was decided and the "
            f"gate stays closed; upgrade metaflow-hitl here to {release} or newer."
        )


class NotVouchedFor(RecordError):
    """No bot that is trusted here signed this object. The gate stays closed."""

    def __init__(self, key: str, cause: str) -> None:
        self.key, self.cause = key, cause
        super().__init__(
            f"No bot vouches for {key}: {cause}. The gate stays closed. If a bot did write it, compare "
            "METAFLOW_HITL_PUBLIC_KEYS here with what `hitl-bot key list` prints there."
        )


class OnlyTheBotWrites(RecordError):
    """The records here are sealed, and this process has no key to sign with."""

    def __init__(self, approval_id: str) -> None:
        super().__init__(
            f"The record {approval_id} is sealed: only a bot with the signing key can change it. Nothing was written; "
            "answer where it was asked, or start the bot with METAFLOW_HITL_SIGNING_KEY."
        )


class OtherQuestion(RecordError):
    """Under this id another question was asked, so this task must not go by its answer."""

    def __init__(self, approval_id: str, fields: str) -> None:
        super().__init__(
            f"{approval_id} was asked with a different question (changed: {fields}), so its answer is not for "
            "this step. The gate stays closed; start a new run to ask again."
        )


class OtherPlace(RecordError):
    """The record is about a gate in another place of the cluster, where other rules may hold."""

    def __init__(self, approval_id: str, expected: str, found: str) -> None:
        super().__init__(
            f"{approval_id} was asked for {found}, and this task runs in {expected}, so the answer is not for it. "
            "The gate stays closed; start a new run to ask again."
        )


class OtherPathspec(RecordError):
    """The record under this id is about another task."""

    def __init__(self, approval_id: str, expected: str, found: str) -> None:
        self.found = found
        super().__init__(
            f"The record {approval_id} is about {found}, not about {expected}. The gate stays closed; "
            "start a new run to ask again."
        )


class TooManyWriters(RecordError):
    """Others kept writing versions first."""

    def __init__(self, approval_id: str) -> None:
        super().__init__(f"{approval_id} was being changed by others at the same time. Nothing was written; try again.")


# People, engines and notifiers.


class PeopleUnavailable(HitlError):
    """Nobody can say who this is or which groups they are in. The decision is refused; the buttons stay."""


class NoUserGroups(PeopleUnavailable):
    """The people have no groups, and can't have any: whoever is asked for as one will never answer."""


class EngineUnavailable(HitlError):
    """The workflow could not be reached. The record is unchanged; the sweeper tries again."""


class GateNotReached(EngineUnavailable):
    """The workflow has not come to the gate yet. Nothing is wrong: it goes on as was decided as soon as it does."""


class NotifierError(HitlError):
    """A question could not be shown, or could not be brought up to date. The record is unchanged.

    Parameters
    ----------
    words : str
        What happened, and what to do.
    cause : str
        The same for every approval that suffers the same, so that an operator hears of it once. Default: the words.
    """

    def __init__(self, words: str, *, cause: str = "") -> None:
        super().__init__(words)
        self.cause = cause or words


class NotifierUnavailable(NotifierError):
    """It could not be done now, and may work soon. The record is unchanged; the sweeper tries again."""


class NotifierBusy(NotifierUnavailable):
    """Others are before this one, at the pace that the medium allows. Nothing is wrong.

    Parameters
    ----------
    words : str
        What it waits for.
    seconds : float
        After how many seconds its turn comes.
    queue : str
        Whose turns are alike: of those that wait in one queue any may take the turn of another. Empty: of its own.
    """

    def __init__(self, words: str, *, seconds: float, queue: str = "") -> None:
        super().__init__(words)
        self.seconds = seconds
        self.queue = queue


class NotifierRefused(NotifierError):
    """An operator has to fix what the message names. The sweeper tries again, less and less often."""


class MessageUnreachable(NotifierError):
    """The message is gone or can no longer be changed: the only failure that is final. Nothing is tried again."""
