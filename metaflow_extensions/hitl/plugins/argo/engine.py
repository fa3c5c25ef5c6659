"""Argo's engine as the flow's own commands have it: by the rights of whoever types."""

import shlex
import time
from functools import cached_property

from metaflow_extensions.hitl.approvals.errors import EngineUnavailable
from metaflow_extensions.hitl.approvals.ports import Clock, Engine
from metaflow_extensions.hitl.approvals.record import Approval, Person
from metaflow_extensions.hitl.engines import gates
from metaflow_extensions.hitl.engines.nodes import PARAMETER, Phase
from metaflow_extensions.hitl.plugins.settings import FlowSettings


class OwnRights:
    """Carries decisions out through argo-server if one is configured, or else through the person's own kubeconfig.

    Neither is looked at before there is something to carry out: most commands have nothing, and a pod has neither.

    Parameters
    ----------
    settings : FlowSettings
        Where the server is, and the namespace of workflows whose record does not say.
    clock : Clock
        The present.
    """

    def __init__(self, settings: FlowSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def carry_out(self, approval: Approval) -> str:
        """End the gate; where that is not to be, say in the error what somebody who may has to type."""
        try:
            return self._engine.carry_out(approval)
        except EngineUnavailable as error:
            raise EngineUnavailable(f"{error}\n{by_hand(approval)}") from error

    def started_by(self, approval: Approval) -> tuple[Person, ...]:
        return self._engine.started_by(approval)

    def namespace_of(self, approval: Approval) -> str | None:
        return self._engine.namespace_of(approval)

    def gone(self, approval: Approval) -> str | None:
        return self._engine.gone(approval)

    @cached_property
    def _engine(self) -> Engine:
        settings = self._settings
        if settings.argo_server_url:
            from metaflow_extensions.hitl.engines.argo_server import ArgoServerEngine  # noqa: PLC0415 - only if asked

            return ArgoServerEngine(
                settings.argo_server_url,
                settings.argo_server_token,
                ca_file=settings.argo_server_ca_file,
                namespace=settings.argo_namespace,
                clock=self._clock,
                sleep=time.sleep,
            )
        from metaflow_extensions.hitl.engines import kubernetes  # noqa: PLC0415 - its client takes 300 ms

        try:
            api = kubernetes.load_api_client()
        except kubernetes.NoCluster as error:
            raise EngineUnavailable(str(error)) from error
        return kubernetes.KubernetesEngine(api, namespace=settings.argo_namespace, clock=self._clock, sleep=time.sleep)


def by_hand(approval: Approval) -> str:
    """Say what carries a decision out with Argo's own command, and who does it otherwise."""
    ending = gates.ending(approval)
    selector = ["--node-field-selector", f"inputs.parameters.{PARAMETER}.value={approval.id}"]
    place = [
        approval.gate.workflow or "WORKFLOW",
        *(["-n", approval.gate.namespace] if approval.gate.namespace else []),
    ]
    if ending.phase is Phase.SUCCEEDED:
        command = ["argo", "resume", *place, *selector]
    else:
        command = ["argo", "node", "set", *place, *selector, "--phase", "Failed", "--message", ending.message]
    return f"The bot does it as soon as it can. Somebody with the rights can also run:\n  {shlex.join(command)}"
