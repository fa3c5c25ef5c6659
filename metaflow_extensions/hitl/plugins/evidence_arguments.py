"""The arguments of ``@hitl`` about what a decision is based on: metrics, links, conditions."""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.evidence.collected import Better
from metaflow_extensions.hitl.approvals.evidence.comparing import names_of
from metaflow_extensions.hitl.approvals.evidence.expressions import BadExpression, check_names, parse_expression

MOST_METRICS = 40
MOST_PEOPLE = 20
MOST_PLOTS = 4
_MOST_LINKS = 10
_MOST_CONDITIONS = 10
_NAME = 60  # characters
_FORMAT = 20
_URL = 1_000
_SETTINGS = ("value", "format", "better", "warn_below", "warn_above", "warn_change")
_IN_LINKS = {"flow": "F", "run": "1", "run_id": "1", "step": "s", "task": "1"}
_RESERVED = ("delta", "previous", "and", "or", "not", "True", "False", "abs", "min", "max")


class BadEvidence(HitlError, ValueError):
    """An argument about metrics, links or conditions that can't be used."""


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """A metric as the author of a step asks for it.

    Attributes
    ----------
    name : str
        What people read.
    source : str or Callable
        An artifact, with dots into the dicts within, or a function of ``self`` (of ``inputs`` in a join).
    """

    name: str
    source: str | Callable[[Any], Any]
    format: str = ""
    better: Better | None = None
    warn_below: float | None = None
    warn_above: float | None = None
    warn_change: float | None = None


@dataclass(frozen=True, kw_only=True)
class PlotSpec:
    """A picture as the author of a step asks for it.

    Attributes
    ----------
    name : str
        What people read.
    source : str or Callable
        An artifact, with dots into the dicts within, or a function of ``self`` (of ``inputs`` in a join).
    """

    name: str
    source: str | Callable[[Any], Any]


def read_plots(value: Any) -> tuple[PlotSpec, ...]:
    """Read names of artifacts, or a dict from names to artifacts or functions."""
    if value is None:
        return ()
    pairs = list(value.items()) if isinstance(value, Mapping) else [(one, one) for one in _list_of_plots(value)]
    if not 0 < len(pairs) <= MOST_PLOTS:
        raise BadEvidence(f"`plots` must name 1 to {MOST_PLOTS} pictures, not {len(pairs)}.")
    return tuple(_plot(name, source) for name, source in pairs)


def _list_of_plots(value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)) or len({str(one) for one in value}) < len(value):
        raise BadEvidence(
            '`plots` must be a list of artifacts such as ["confusion_matrix"], or a dict from names to artifacts or '
            f"functions, not {value!r}."
        )
    return list(value)


def _plot(name: Any, source: Any) -> PlotSpec:
    if not isinstance(name, str) or not name.strip() or len(name) > _NAME or not name.isprintable():
        raise BadEvidence(f"A picture must have a name of 1 to {_NAME} characters, not {name!r}.")
    if not callable(source) and not (isinstance(source, str) and all(part for part in source.split("."))):
        raise BadEvidence(f'The picture {name!r} must be an artifact such as "confusion_matrix" or a function.')
    return PlotSpec(name=name.strip(), source=source)


def read_metrics(value: Any) -> tuple[MetricSpec, ...]:
    """Read names and functions, or a dict from names to settings."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        pairs = [(name, _settings(name, given)) for name, given in value.items()]
    elif isinstance(value, (list, tuple)):
        pairs = [_named(part) for part in value]
    else:
        raise BadEvidence(
            '`metrics` must be a list such as ["accuracy", "report.f1"], or a dict from names to settings, '
            f"not {value!r}."
        )
    names = [name for name, _ in pairs]
    if len(names) > MOST_METRICS or not names:
        raise BadEvidence(f"`metrics` must name 1 to {MOST_METRICS} metrics, not {len(names)}.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadEvidence(f"`metrics` names {twice!r} twice.")
    return tuple(_spec(name, settings) for name, settings in pairs)


def _named(part: Any) -> tuple[str, dict[str, Any]]:
    if callable(part):
        name = getattr(part, "__name__", "")
        if name in {"", "<lambda>"}:
            raise BadEvidence('A function without a name needs one: metrics={"error_rate": lambda self: ...}.')
        return name, {"value": part}
    return part, {}


def _settings(name: Any, given: Any) -> dict[str, Any]:
    if callable(given) or isinstance(given, str):
        return {"value": given}
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BadEvidence(f"The metric {name!r} must have a dict of settings ({', '.join(_SETTINGS)}), not {given!r}.")
    settings = {str(key): setting for key, setting in given.items()}
    unknown = sorted(set(settings) - set(_SETTINGS))
    if unknown:
        raise BadEvidence(f"The metric {name!r} has an unknown setting {unknown[0]!r}. Use {', '.join(_SETTINGS)}.")
    return settings


def _spec(name: Any, settings: dict[str, Any]) -> MetricSpec:
    if not isinstance(name, str) or not name.strip() or len(name) > _NAME or not name.isprintable():
        raise BadEvidence(f"A metric must have a name of 1 to {_NAME} characters, not {name!r}.")
    if name.split(".")[0] in _RESERVED:
        raise BadEvidence(f"A metric can't be called {name!r}: conditions use that word.")
    source = settings.get("value", name)
    if not callable(source) and not (isinstance(source, str) and all(part for part in source.split("."))):
        raise BadEvidence(f'`value` of the metric {name!r} must be an artifact such as "report.f1" or a function.')
    limits = {key: _limit(name, key, settings.get(key)) for key in ("warn_below", "warn_above", "warn_change")}
    if limits["warn_change"] == 0:
        raise BadEvidence(f"`warn_change` of the metric {name!r} must not be 0: -0.02 warns of a loss, 0.02 of a gain.")
    return MetricSpec(
        name=name.strip(),
        source=source,
        format=_format(name, settings.get("format", "")),
        better=_better(name, settings.get("better")),
        **limits,
    )


def _format(name: str, spec: Any) -> str:
    try:
        if isinstance(spec, str) and len(spec) <= _FORMAT and len(format(0.5, spec)) <= 2 * _NAME:
            return spec
        if isinstance(spec, str) and len(spec) <= _FORMAT and len(format(5, spec)) <= 2 * _NAME:
            return spec
    except (ValueError, OverflowError, MemoryError):
        pass
    raise BadEvidence(
        f'`format` of the metric {name!r} must be as for format(), such as ".1%" or ",.0f", not {spec!r}.'
    )


def _better(name: str, value: Any) -> Better | None:
    if value is None:
        return None
    try:
        return Better(value)
    except ValueError as error:
        raise BadEvidence(f'`better` of the metric {name!r} must be "higher" or "lower", not {value!r}.') from error


def _limit(name: str, key: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < float("inf"):
        raise BadEvidence(f"`{key}` of the metric {name!r} must be a number, not {value!r}.")
    return float(value)


def read_links(value: Any) -> dict[str, str]:
    """Read templates of addresses by what is there: ``{"Model card": "https://models/{run}"}``."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not 0 < len(value) <= _MOST_LINKS:
        raise BadEvidence(
            f'`links` must be a dict of up to {_MOST_LINKS} addresses such as {{"Card": "https://cards/{{run}}"}}, '
            f"not {value!r}."
        )
    return {_link_name(name): _template(url) for name, url in value.items()}


def _link_name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or len(name) > _NAME:
        raise BadEvidence(f"A link must have a name of 1 to {_NAME} characters, not {name!r}.")
    return name.strip()


def _template(url: Any) -> str:
    try:
        names = {field for _, field, _, _ in string.Formatter().parse(url) if field is not None}
        if len(url) <= _URL and url.startswith(("https://", "http://")) and names <= set(_IN_LINKS):
            return str(url)
    except (TypeError, ValueError, AttributeError):
        pass
    raise BadEvidence(
        f"A link must be an http(s) address that may contain {', '.join(_IN_LINKS)} in braces, not {url!r}."
    )


def fill_in_links(templates: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Put flow, run, step and task into the addresses, each quoted for an address."""
    from urllib.parse import quote  # noqa: PLC0415 - only where there are links

    quoted = {name: quote(value, safe="") for name, value in names.items()}
    quoted["run_id"] = quoted["run"]  # as messages call it
    return {name: template.format(**quoted) for name, template in templates.items()}


def read_condition(name: str, value: Any, metrics: tuple[MetricSpec, ...]) -> str | None:
    """Read a condition over the step's metrics; None if there is none."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise BadEvidence(f'`{name}` must be a condition over metrics such as "accuracy >= 0.95", not {value!r}.')
    try:
        expression = parse_expression(value)
        check_names(expression, names_of(metric.name for metric in metrics))
    except BadExpression as error:
        raise BadEvidence(f"`{name}`: {error}") from error
    return expression.text


def read_quorum_if(value: Any, metrics: tuple[MetricSpec, ...]) -> dict[str, int]:
    """Read conditions and how many people have to agree where they hold: ``{"accuracy < 0.9": 2}``."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not 0 < len(value) <= _MOST_CONDITIONS:
        raise BadEvidence(
            f'`quorum_if` must be a dict of up to {_MOST_CONDITIONS} conditions such as {{"accuracy < 0.9": 2}}, '
            f"not {value!r}."
        )
    read: dict[str, int] = {}
    for condition, people in value.items():
        if isinstance(people, bool) or not isinstance(people, int) or not 1 < people <= MOST_PEOPLE:
            raise BadEvidence(
                f"`quorum_if` must ask for a whole number from 2 to {MOST_PEOPLE} people, "
                f"not {people!r} for {condition!r}."
            )
        read[read_condition("quorum_if", condition, metrics) or ""] = people
    return read
