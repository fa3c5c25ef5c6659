"""What a task is about to run with: metrics of its artifacts, their keys, the run's parameters, the code."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from metaflow_extensions.hitl.approvals.evidence.collected import Artifacts, Code, Evidence, Metric, failed, measure

from .evidence_arguments import MetricSpec
from .incoming import GatedTask

_PARAMETER = 200  # characters of a value that is recorded as it is
_SECRET = re.compile(r"pass(word|wd)?|secret|token|credential|api_?key|private_?key", re.IGNORECASE)
_NOT_THE_AUTHORS = frozenset({"hitl_input", "hitl_decision", "name"})  # of the gate before, and of Metaflow


def collect(task: GatedTask, specs: tuple[MetricSpec, ...], incoming: Any, environ: Mapping[str, str]) -> Evidence:
    """Note what a task is about to run with. Nothing that an artifact can do makes this fail.

    Parameters
    ----------
    task : GatedTask
        Not started.
    specs : tuple of MetricSpec
        What its author wants to be shown.
    incoming : Any
        What the task will find as ``self``, or as ``inputs`` in a join.
    environ : Mapping[str, str]
        With Metaflow's word for the code package.
    """
    return Evidence(
        metrics=tuple(_metric(spec, incoming) for spec in specs),
        parameters={name: _parameter(name, getattr(task.flow, name, None)) for name in sorted(task.parameters)},
        code=_code(environ),
        artifacts=_artifacts(task),
    )


def _metric(spec: MetricSpec, incoming: Any) -> Metric:
    try:
        found = look_up(spec.source, incoming) if isinstance(spec.source, str) else spec.source(incoming)
    except NothingThere as error:
        value, problem = None, str(error)
    except Exception as error:  # noqa: BLE001 - the author's code, and an artifact's own, may raise anything
        value, problem = None, failed(error)
    else:
        value, problem = measure(found)
    return Metric(
        name=spec.name,
        value=value,
        problem=problem,
        format=spec.format,
        better=spec.better,
        warn_below=spec.warn_below,
        warn_above=spec.warn_above,
        warn_change=spec.warn_change,
    )


class NothingThere(Exception):
    """What is missing."""


def look_up(path: str, incoming: Any) -> Any:
    """Return an artifact, or what is at a path into dicts; raise NothingThere."""
    name, *inner = path.split(".")
    try:
        value = getattr(incoming, name)
    except AttributeError:
        raise NothingThere(f"no artifact {name!r} comes in") from None
    for position, part in enumerate(inner):
        if not isinstance(value, dict):
            raise NothingThere(f"{'.'.join([name, *inner[:position]])} is not a dict")
        if part not in value:
            raise NothingThere(f"{'.'.join([name, *inner[:position]])} has no {part!r}")
        value = value[part]
    return value


def _parameter(name: str, value: Any) -> str:
    try:
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    except Exception as error:  # noqa: BLE001 - a parameter's type is the author's own
        return failed(error)
    if len(text) <= _PARAMETER and not _SECRET.search(name):
        return text
    # Enough to tell whether it is the same, and nothing to read.
    return f"SHA-256 {sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()}"


def _artifacts(task: GatedTask) -> Artifacts:
    """Note Metaflow's content-addressed keys of everything that comes in."""
    keys: dict[str, str] = {}
    for datastore in task.inputs:
        # The names and keys that the datastore holds in memory (metaflow 2.19, datastore/task_datastore.py).
        for name, key in datastore._objects.items():
            if not name.startswith("_") and name not in _NOT_THE_AUTHORS:
                prefix = f"{datastore.step_name}/{datastore.task_id}/" if task.is_join else ""
                keys[f"{prefix}{name}"] = str(key)
    return Artifacts.of(keys)


def _code(environ: Mapping[str, str]) -> Code:
    commit, changed = _commit()
    return Code(commit=commit, changed=changed, package=environ.get("METAFLOW_CODE_SHA") or None)


def _commit() -> tuple[str | None, bool | None]:
    """Ask Metaflow for the commit: of the folder that the flow is in, or as the code package says."""
    from metaflow.metaflow_git import get_repository_info  # noqa: PLC0415 - heavy
    from metaflow.packaging_sys import MetaflowCodeContent  # noqa: PLC0415

    try:
        info = MetaflowCodeContent.get_info() or get_repository_info(Path(sys.argv[0]).resolve().parent)
    except Exception:  # noqa: BLE001 - an unknown commit must not keep the question from being asked
        return None, None
    commit, changed = info.get("commit_sha"), info.get("has_uncommitted_changes")
    return commit if isinstance(commit, str) else None, changed if isinstance(changed, bool) else None
