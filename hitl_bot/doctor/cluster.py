"""Whether workflows on Argo can be resumed from here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from hitl_bot.cluster import argo_engine
from hitl_bot.doctor.finding import Finding, bad, good, unknown
from hitl_bot.settings import PREFIX, Settings
from metaflow_extensions.hitl.approvals.errors import EngineUnavailable
from metaflow_extensions.hitl.engines.kubernetes import NoCluster


def check_cluster(settings: Settings) -> Iterator[Finding]:
    """Look for the cluster, for Argo in it, and for the rights to resume a workflow. Nothing is changed."""
    try:
        engine = argo_engine(settings, lambda: datetime.now(timezone.utc), connections=1)
    except NoCluster as error:
        yield unknown("cluster", f"{error} Workflows on Argo can't be resumed from here; runs without Argo still work")
        return
    try:
        yield good("cluster", f"{engine.version()}: {engine}")
    except EngineUnavailable as error:
        fix = f"Check the kubeconfig or service account, or {PREFIX}ARGO_SERVER_URL and _TOKEN, and the network path."
        yield bad("cluster", str(error), fix)
        return
    try:
        yield good("workflows", engine.check_access())
    except EngineUnavailable as error:
        elsewhere = f"If the workflows are not in namespace {settings.argo_namespace}, set {PREFIX}ARGO_NAMESPACE"
        yield bad("workflows", str(error), f"{elsewhere}; otherwise ask an operator to fix it.")
    try:
        version = engine.argo_version()
    except EngineUnavailable:
        version = None
    if version is None:
        yield unknown("argo", f"its version is only known through argo-server ({PREFIX}ARGO_SERVER_URL)")
    else:
        yield good("argo", version)
