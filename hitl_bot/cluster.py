"""The way from here to Argo, as the settings say."""

import time

from metaflow_extensions.hitl.approvals.ports import Clock
from metaflow_extensions.hitl.engines.argo import ArgoEngine
from metaflow_extensions.hitl.engines.kubernetes import KubernetesEngine, load_api_client

from .settings import Settings


def argo_engine(settings: Settings, clock: Clock, *, connections: int) -> ArgoEngine:
    """Build the engine for workflows: through argo-server where its address is set, else through the Kubernetes API.

    Parameters
    ----------
    connections : int
        How many are kept open: one for each thread that uses it.

    Raises
    ------
    NoCluster
        Neither is there.
    """
    namespace = settings.argo_namespace
    if settings.argo_server_url is None:
        return KubernetesEngine(
            load_api_client(connections=connections), namespace=namespace, clock=clock, sleep=time.sleep
        )
    # Not at the top: requests takes 100 ms to import.
    from metaflow_extensions.hitl.engines.argo_server import ArgoServerEngine  # noqa: PLC0415 - see above

    token = settings.argo_server_token
    return ArgoServerEngine(
        settings.argo_server_url,
        None if token is None else token.get_secret_value(),
        ca_file=settings.argo_server_ca_file,
        connections=connections,
        namespace=namespace,
        clock=clock,
        sleep=time.sleep,
    )
