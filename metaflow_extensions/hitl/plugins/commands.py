"""Which of Metaflow's deployments have gates."""

from __future__ import annotations

from metaflow._vendor import click
from metaflow.exception import MetaflowException

_WITH_GATES = "argo-workflows"
_NO_DEPLOYER = "card"  # `card create` draws a card of a task that has run


class NotDeployed(MetaflowException):
    """The flow can't be deployed with its gates."""

    headline = "The gates can't be deployed"


def refuse_without_gates(step: str) -> None:
    """Raise NotDeployed if this process deploys the flow to where nobody would be asked.

    Every deployer of Metaflow's, and of its extensions, has a command ``create``: ``airflow create``, say.
    """
    context = click.get_current_context(silent=True)
    command: list[str] = list(getattr(context.find_root(), "saved_args", ())) if context is not None else []
    if command[1:2] == ["create"] and command[0] not in {_WITH_GATES, _NO_DEPLOYER}:
        raise NotDeployed(
            f"Step {step} is gated with @hitl, and `{command[0]}` does not deploy gates: nobody would be asked, "
            f"and the step would never start. Deploy the flow with `{_WITH_GATES} create`, or remove @hitl from it."
        )
