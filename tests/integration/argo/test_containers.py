"""What runs around a gate: the small container that asks, the node that waits, and the step's own container."""

from __future__ import annotations

import json

import pytest

from hitl_bot.keys import PrivateKey
from tests.integration.argo.conftest import environment_of

GPU = "nvidia.com/gpu"
LIMITS = {  # by gate of "linear": what the suspend node's clock does, in seconds
    "start": ("7800", "start"),  # 2 h and 10 minutes for whoever expires it by the record
    "deploy-it": ("1800", "deploy_it"),  # on_timeout="approve": Argo lets it go at the deadline
    "watch": (None, "watch"),  # on_timeout="notify"
    "end": (None, "end"),  # timeout=None
}


@pytest.mark.parametrize("name", LIMITS)
def test_argo_ends_the_wait_only_where_the_timeout_rule_needs_it(compiled, name):
    """A deadline that approves is Argo's own; one that rejects has a safety net behind it; others have none."""
    duration, step = LIMITS[name]
    suspend = compiled("linear").gate(name, step).suspend
    assert suspend["suspend"] == ({} if duration is None else {"duration": duration})
    assert "retryStrategy" not in suspend


def test_asking_needs_no_expensive_machine(compiled):
    """No GPU, accelerator, big memory, disk, tmpfs, shared memory, claim or port; and what leads to such machines."""
    gate = compiled("decorated").gate("heavy")
    container, task = gate.notify["container"], gate.task["container"]
    assert task["resources"]["limits"][GPU] == "2"
    assert container["resources"] == {
        "requests": {"cpu": "0.25", "memory": "512Mi"},
        "limits": {"cpu": "0.25", "memory": "512Mi"},  # the step has limits of these
    }
    assert {volume["name"] for volume in gate.task["volumes"]} == {"out", "tmpfs-ephemeral-volume", "dhsm", "models"}
    assert [volume["name"] for volume in gate.notify["volumes"]] == ["out"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/mnt/out"]
    assert "ports" not in container
    assert gate.notify["nodeSelector"] == {"pool": "batch"}
    assert [one["key"] for one in gate.notify["tolerations"]] == ["batch"]
    assert environment_of(gate.task)["METAFLOW_TEMPDIR"] == "/metaflow_temp"
    assert "METAFLOW_TEMPDIR" not in environment_of(gate.notify)


def test_asking_runs_as_the_step_does(compiled):
    """The same image, service account, pull secrets and cluster secrets: it reads the same artifacts."""
    gate = compiled("decorated").gate("heavy")
    assert gate.notify["serviceAccountName"] == "worker"
    assert json.loads(gate.notify["podSpecPatch"]) == {"imagePullSecrets": [{"name": "registry"}]}
    for key in ("image", "envFrom"):
        assert gate.notify["container"][key] == gate.task["container"][key]
    assert gate.notify["container"]["envFrom"] == [{"secretRef": {"name": "warehouse"}}]


def test_a_steps_timeout_is_not_the_gates(compiled):
    """`@timeout` limits the step's own container alone."""
    gate = compiled("decorated").gate("timed")
    assert gate.task["activeDeadlineSeconds"] == 90
    assert gate.notify["activeDeadlineSeconds"] == 3600
    assert "activeDeadlineSeconds" not in gate.dag


def test_the_step_is_the_container_that_metaflow_made(compiled):
    """But for its name, the place of the records, what was asked, and attempts after a refusal."""
    plain = compiled("linear").templates["ungated"]
    gate = compiled("linear").gate("deploy-it", "deploy_it")
    differs = {key for key in plain if gate.task.get(key) != plain[key]}
    assert differs - {"serviceAccountName", "tolerations"} == {"name", "container", "metadata", "inputs"}
    assert plain["serviceAccountName"] is plain["tolerations"] is None  # left out: null says nothing
    assert gate.task["metadata"] == {
        **plain["metadata"],
        "annotations": {**plain["metadata"]["annotations"], "metaflow/step_name": "deploy_it"},
    }
    more = set(environment_of(gate.task)) - set(environment_of(plain))
    assert more == {"METAFLOW_HITL_ROOT", "METAFLOW_HITL_QUESTION_SHA256"}


def test_a_refusal_is_not_retried(compiled):
    """`@retry` and `@catch` keep their limits, and an exit code of 202 ends the attempts. The gate's DAG has none."""
    for name, limit in {"retried": 3, "caught": 3}.items():
        gate = compiled("decorated").gate(name)
        assert gate.task["retryStrategy"]["limit"] == limit
        assert gate.task["retryStrategy"]["retryPolicy"] == "Always"
        assert gate.task["retryStrategy"]["expression"] == "asInt(lastRetry.exitCode) != 202"
        assert "retryStrategy" not in gate.dag
    assert "retryStrategy" not in compiled("linear").gate("start").task


def test_asking_is_tried_again(compiled):
    """Three times with growing pauses, unless another attempt can't help."""
    assert compiled("linear").gate("start").notify["retryStrategy"] == {
        "retryPolicy": "Always",
        "limit": 3,
        "backoff": {"duration": "10s", "factor": 3},
        "expression": "asInt(lastRetry.exitCode) != 202",
    }


def test_settings_reach_the_container_that_asks(compiled):
    """A pod reads no configuration of the machine that compiled: what it needs is in its environment."""
    settings = {
        "METAFLOW_HITL_ROOT": "s3://records/hitl",
        "METAFLOW_HITL_NOTIFIER": "slack",
        "METAFLOW_HITL_SLACK_CHANNEL": "#ml-approvals",
        "METAFLOW_HITL_SLACK_API_URL": "http://slack.internal/api/",
        "METAFLOW_HITL_UI_URL": "https://ui/{flow}/{run}",
        "METAFLOW_HITL_ARGO_NAMESPACE": "elsewhere",
        "METAFLOW_HITL_ARGO_UI_URL": "https://argo",
    }
    made = compiled("triggered", METAFLOW_HITL_NOTIFY_CPU="100m", METAFLOW_HITL_NOTIFY_MEMORY="256", **settings)
    gate = made.gate("deploy")
    ours = {name: value for name, value in environment_of(gate.notify).items() if "_HITL_" in name}
    files = {
        "METAFLOW_HITL_ID_FILE": "/mnt/out/approval_id",
        "METAFLOW_HITL_SETTLED_FILE": "/mnt/out/approval_settled",
        "METAFLOW_HITL_QUESTION_FILE": "/mnt/out/question_sha256",
    }
    # Kubernetes itself says in which namespace a pod is, and not who deploys.
    del settings["METAFLOW_HITL_ARGO_NAMESPACE"]
    assert ours == settings | files
    assert gate.notify["container"]["resources"]["requests"] == {"cpu": "100m", "memory": "256Mi"}
    ours = {name: value for name, value in environment_of(gate.task).items() if "_HITL_" in name}
    digest = "{{inputs.parameters.question-sha256}}"
    assert ours == {"METAFLOW_HITL_ROOT": "s3://records/hitl", "METAFLOW_HITL_QUESTION_SHA256": digest}
    assert "_HITL_" not in json.dumps(made.templates["start"])


def test_the_public_keys_are_baked_in(compiled):
    """Both containers know whom to believe, and neither knows a private key that somebody's environment holds."""
    key = PrivateKey.new()
    given = {"METAFLOW_HITL_PUBLIC_KEYS": str(key.public_key), "METAFLOW_HITL_SIGNING_KEY": key.text}
    made = compiled("linear", **given)
    gate = made.gate("start")
    for container in (gate.notify, gate.task):
        assert environment_of(container)["METAFLOW_HITL_PUBLIC_KEYS"] == str(key.public_key)
    assert key.text not in json.dumps(made.templates)


def test_records_are_beside_the_artifacts_by_default(compiled):
    """Both containers look at the same place, whatever their own configuration would say."""
    gate = compiled("linear", METAFLOW_HITL_ROOT="").gate("start")
    assert environment_of(gate.notify)["METAFLOW_HITL_ROOT"] == "s3://argo-templates/metaflow/hitl"
    assert environment_of(gate.task)["METAFLOW_HITL_ROOT"] == "s3://argo-templates/metaflow/hitl"


def test_slack_is_asked_for_although_no_token_is_here(compiled):
    """Whoever deploys needs no token: the record asks for Slack, and the bot posts what the pod could not."""
    assert environment_of(compiled("linear").gate("start").notify)["METAFLOW_HITL_NOTIFIER"] == "slack,terminal"


@pytest.mark.parametrize(
    ("secret", "name", "key"),
    [("slack", "slack", "slack-bot-token"), ("slack/token", "slack", "token")],
)
def test_the_token_comes_from_the_cluster(compiled, secret, name, key):
    """It is referred to, in the container that asks alone; a token on the deploying machine stays there."""
    made = compiled(
        "decorated",
        METAFLOW_HITL_SLACK_SECRET=secret,
        METAFLOW_HITL_SLACK_BOT_TOKEN="xoxb-2-deployer",
        METAFLOW_HITL_ARGO_SERVER_TOKEN="bearer-3-deployer",
    )
    assert "xoxb-" not in made.output  # @environment of the step "secret" has one, too
    assert "bearer-3" not in made.output
    for gate in (made.gate("secret"), made.gate("retried")):
        reference = {"secretKeyRef": {"name": name, "key": key}}
        assert environment_of(gate.notify)["METAFLOW_HITL_SLACK_BOT_TOKEN"] == reference
        assert "METAFLOW_HITL_SLACK_BOT_TOKEN" not in environment_of(gate.task)
    assert environment_of(made.gate("secret").task)["REGION"] == "eu"


def test_no_notifiers_secret_is_compiled_in(compiled):
    """What a webhook, a mailbox or Apprise is reached by stays on the deploying machine; the bot asks there."""
    secrets = {"SLACK_WEBHOOK": "https://hooks/a-5", "SMTP_PASSWORD": "a-6", "APPRISE_URLS": "json://a-7"}
    made = compiled("decorated", **{f"METAFLOW_HITL_{name}": value for name, value in secrets.items()})
    assert not [value for value in secrets.values() if value in made.output]
    assert not [name for name in secrets if f"METAFLOW_HITL_{name}" in environment_of(made.gate("secret").notify)]
    assert "a-8-careless" not in made.output  # @environment of the step "secret" has one, too
