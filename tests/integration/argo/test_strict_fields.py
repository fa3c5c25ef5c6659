"""What is compiled has no field that Argo's own schema does not know, by a real API server's strict validation.

The full schema comes from Argo's Go module, which Go downloads: its text is not in this repository.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from tests.cluster.control_plane import ADMIN, Cluster
from tests.tools.build import CannotBuildError, source

VERSIONS = {"3.7.3": "github.com/argoproj/argo-workflows/v3", "4.0.5": "github.com/argoproj/argo-workflows/v4"}
SHAPES = ["linear", "foreach", "triggered"]

Json = dict[str, Any]


@pytest.fixture(scope="module", params=VERSIONS)
def group(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A group of resources of its own that has Argo's workflow templates with their full schema."""
    try:
        files = source(VERSIONS[request.param], f"v{request.param}") / "manifests" / "base" / "crds" / "full"
    except CannotBuildError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)  # nothing is skipped there
        pytest.skip(str(error))
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with (files / "argoproj.io_workflowtemplates.yaml").open(encoding="utf-8") as text:
        definition: Json = yaml.load(text, loader)  # noqa: S506 - a safe loader either way
    own = f"strict-{request.param.replace('.', '-')}.example"
    definition["metadata"] = {"name": f"workflowtemplates.{own}"}
    definition["spec"]["group"] = own
    api = kubernetes.client.ApiextensionsV1Api(cluster.api_client(ADMIN))
    api.create_custom_resource_definition(definition)
    watch = kubernetes.watch.Watch()
    selector = f"metadata.name=workflowtemplates.{own}"
    for event in watch.stream(api.list_custom_resource_definition, field_selector=selector, timeout_seconds=240):
        if any(one.type == "Established" and one.status == "True" for one in event["object"].status.conditions or ()):
            break
    yield own
    api.delete_custom_resource_definition(f"workflowtemplates.{own}")


def without_nothing(value: Any) -> Any:
    """Leave out what is null.

    Metaflow writes every field of the newest Kubernetes client, ``fileKeyRef`` for one, as null where it isn't set.
    """
    if isinstance(value, dict):
        return {name: without_nothing(part) for name, part in value.items() if part is not None}
    return [without_nothing(part) for part in value] if isinstance(value, list) else value


def create(cluster: Cluster, group: str, namespace: str, template: Json) -> None:
    """Have the API server check a template strictly, and store nothing."""
    body = {**without_nothing(template), "apiVersion": f"{group}/v1alpha1"}
    body["metadata"]["namespace"] = namespace
    place = (group, "v1alpha1", namespace, "workflowtemplates")
    kubernetes.client.CustomObjectsApi(cluster.api_client(ADMIN)).create_namespaced_custom_object(
        *place, body, dry_run="All", field_validation="Strict"
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_no_field_is_unknown_to_argo(cluster: Cluster, group: str, namespace: str, compiled: Any, shape: str) -> None:
    """A gated flow's template passes the strict check of Argo 3.7 and 4.0; one with a misspelt field doesn't."""
    template = compiled(shape).template
    create(cluster, group, namespace, template)
    misspelt = copy.deepcopy(template)
    next(one for one in misspelt["spec"]["templates"] if "suspend" in one)["suspended"] = True
    with pytest.raises(ApiException, match="unknown field"):
        create(cluster, group, namespace, misspelt)
