"""Where Metaflow compiles a flow for Argo Workflows, and where the gates come in."""

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.plugins import root
from metaflow_extensions.hitl.plugins.settings import FlowSettings, read_settings
from metaflow_extensions.hitl.plugins.step_guard import NotDeployed
from metaflow_extensions.hitl.stores import Scheme, scheme_of

from .notify_container import SecretKey, Small
from .wrapper import COPIES, MOST_TEMPLATES, WORKFLOW_SIZE, GateSpec, NotCompiled, Pods, stored_size, wrap

_COMPILER = "metaflow.plugins.argo.argo_workflows"
_MARK = "_puts_gates_in"


def put_gates_in() -> None:
    """Let Metaflow's Argo compiler put gates into what it compiles, if this process has that compiler loaded."""
    compiler = sys.modules.get(_COMPILER)
    if compiler is None:
        return  # every other command: its import takes a second
    workflows = compiler.ArgoWorkflows
    compile_template = workflows._compile_workflow_template
    if hasattr(compile_template, _MARK):
        return

    @wraps(compile_template)
    def with_gates(self: Any) -> Any:
        return _with_gates(self, compile_template)

    setattr(with_gates, _MARK, True)
    workflows._compile_workflow_template = with_gates


def _with_gates(workflows: Any, compile_template: Callable[[Any], Any]) -> Any:
    template = compile_template(workflows)
    gated = {node.name: deco.arguments for node in workflows.graph for deco in node.decorators if deco.name == "hitl"}
    if not gated:
        return template
    gates = {
        step: GateSpec(timeout=one.question.timeout, on_timeout=one.question.on_timeout) for step, one in gated.items()
    }
    datastore = workflows.flow_datastore
    try:
        _check_no_gang(node.name for node in workflows.graph if node.name in gates and node.parallel_step)
        pods = _pods(read_settings(), datastore.TYPE, datastore.datastore_root)
        template.payload = wrap(template.payload, gates, pods)
    except HitlError as error:
        raise NotDeployed(str(error)) from error
    for warning in _warnings(template.payload["spec"], len(gates)):
        print(warning, file=sys.stderr)  # noqa: T201 - no refusal: whoever runs the cluster may have raised the limits
    return template


def _check_no_gang(parallel: Iterable[str]) -> None:
    """Refuse steps that Argo starts as a JobSet, which is a resource template and asks nobody."""
    for step in parallel:
        raise NotCompiled(
            f"Step {step}: @hitl can't gate a step with @parallel on Argo Workflows, where its tasks start together as "
            "one JobSet. Put @hitl on the step before it: nothing of the gang starts without its answer."
        )


def _warnings(spec: dict[str, Any], gates: int) -> Iterator[str]:
    count = len(spec["templates"])
    alike = "Gates of steps with the same image, resources and decorators take little, because they share templates."
    if count > MOST_TEMPLATES:
        yield (
            f"{gates} gates make {count} templates. Argo's full resource definitions, the default since 4.0, take "
            f"{MOST_TEMPLATES}; on such a cluster, split the flow or install Argo's minimal definitions. {alike}"
        )
    size = stored_size(spec)
    if size > WORKFLOW_SIZE:
        yield (
            f"Argo keeps {COPIES} copies of this specification in each workflow, {size // 1024} KiB, and "
            f"accepts {WORKFLOW_SIZE // 1024} KiB in all. Split the flow, or raise MAX_WORKFLOW_SIZE of Argo's "
            "controller (up "
            f"to what etcd takes), or let it offload the status of nodes. {alike}"
        )


def _pods(settings: FlowSettings, datastore_type: str, datastore_root: str | None) -> Pods:
    from metaflow.metaflow_version import get_version  # noqa: PLC0415 - only when compiling

    records = root.root_of(datastore_type, datastore_root)
    if scheme_of(records) is not Scheme.S3:
        raise NotCompiled(
            f"The records would be at {records}, where neither a pod nor the bot can find them. "
            "Set METAFLOW_HITL_ROOT to s3://bucket/prefix."
        )
    place = {"METAFLOW_HITL_ROOT": records}
    if settings.public_keys:
        place["METAFLOW_HITL_PUBLIC_KEYS"] = " ".join(map(str, settings.public_keys))
    environment = {
        **place,
        # A pod has a token only if a secret is named; without one the bot posts what the record asks for.
        "METAFLOW_HITL_NOTIFIER": ",".join(settings.named_notifiers or ("slack", "terminal")),
        "METAFLOW_HITL_SLACK_CHANNEL": settings.slack_channel,
        "METAFLOW_HITL_SLACK_API_URL": settings.slack_api_url,
        "METAFLOW_HITL_UI_URL": settings.ui_url,
        "METAFLOW_HITL_ARGO_UI_URL": settings.argo_ui_url,
    }
    return Pods(
        notify=Small(
            environment={name: value for name, value in environment.items() if value},
            cpu=settings.notify_cpu,
            memory=settings.notify_memory,
            slack_secret=SecretKey.parse(settings.slack_secret) if settings.slack_secret else None,
        ),
        gated_environment=place,
        metaflow_version=get_version(),
    )
