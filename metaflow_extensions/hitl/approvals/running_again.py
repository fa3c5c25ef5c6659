"""Running a workflow again from a message, after a request for changes: who may, and what stands in the way."""

from collections.abc import Mapping

from .errors import EngineUnavailable, HitlError
from .ports import Engine, People, Starter
from .record import Approval, EngineKind, Person, Verdict

_HOW = "You can also use the command on the message."


class CantRunAgain(HitlError):
    """The run can't be started again from here. Nothing was started."""

    def __init__(self, words: str) -> None:
        super().__init__(f"{words} Nothing was started. {_HOW}")


class AlreadyRunAgain(CantRunAgain):
    """It was started again before, with other parameters or by somebody else."""

    def __init__(self, workflow: str) -> None:
        super().__init__(f"It has already been run again, as workflow {workflow}.")
        self.workflow = workflow


class BadParameter(HitlError):
    """A parameter can't have this value. Nothing was started."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name


class RunningAgain:
    """Starts workflows again, for who asked for them in the first place and nobody else.

    Parameters
    ----------
    engines : Mapping[EngineKind, Engine]
        What can start them here.
    people : People
        Who the requester is in the chat system.
    """

    def __init__(self, engines: Mapping[EngineKind, Engine], people: People) -> None:
        self._engines = engines
        self._people = people

    def parameters(self, approval: Approval, who: Person) -> dict[str, str]:
        """Return what the run was started with, as people write it.

        Raises
        ------
        CantRunAgain
            No changes were requested, somebody else asked for the run, or its workflow can't be found.
        PeopleUnavailable, EngineUnavailable
            It can't be known now.
        """
        return self._starter(approval, who).parameters(approval)

    def run_again(self, approval: Approval, parameters: Mapping[str, str], who: Person) -> str:
        """Start the run again, once, and return the new workflow's name.

        Raises
        ------
        CantRunAgain, PeopleUnavailable, EngineUnavailable
            As for ``parameters``; AlreadyRunAgain where others were faster.
        BadParameter
            A value is of another kind than the one before.
        """
        return self._starter(approval, who).run_again(approval, parameters, who)

    def _starter(self, approval: Approval, who: Person) -> Starter:
        if approval.decision is None or approval.decision.verdict is not Verdict.CHANGES or approval.closing:
            raise CantRunAgain(f"Nobody requested changes to {approval.id}.")
        if not can_run_again(approval):
            raise CantRunAgain("This run was started on someone's own machine, so only they can start it again.")
        self._check_asked(approval, who)
        engine = self._engines.get(approval.gate.engine)
        if not isinstance(engine, Starter):
            raise EngineUnavailable("This bot has no access to the cluster. Nothing was started.")
        return engine

    def _check_asked(self, approval: Approval, who: Person) -> None:
        bar = self._people.barred(who)
        if bar is not None:
            raise CantRunAgain(f"{who.name} can't run it again: {bar}")
        requester = approval.requester
        known = self._people.identify(requester)
        if known is None:
            raise CantRunAgain(
                f"Only the person who started the run can run it again, and {requester.name} isn't linked to a "
                f"{self._people.system} user. An operator can link them under `people` in the policy file: "
                f"`{requester.id}: their email address`."
            )
        if known.id != who.id:
            raise CantRunAgain(f"Only {known.name}, who started the run, can run it again from here.")


def can_run_again(approval: Approval) -> bool:
    """Whether what the approval waited in is something that a bot can start."""
    return approval.gate.engine is EngineKind.ARGO
