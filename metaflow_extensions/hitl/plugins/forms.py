"""Forms that the run fills in: choices, defaults and limits that come from artifacts."""

import re
import string
from collections.abc import Mapping
from typing import Any

from metaflow_extensions.hitl.approvals.errors import HitlError
from metaflow_extensions.hitl.approvals.schema import normalise
from metaflow_extensions.hitl.slack import FORM

_FROM_RUN = ("choices", "default", "min", "max", "min_length", "max_length")
_TEMPLATE = re.compile(r"\{(self|inputs)\b[^{}]*\}")
_KINDS = (str, int, float)


class BadForm(HitlError, ValueError):
    """What the run makes of a form can't be shown. Nothing was asked."""


def depends_on_run(input_schema: object) -> bool:
    """Whether anything in a schema comes from artifacts, so that it is settled when the question is asked."""
    if callable(input_schema) and not isinstance(input_schema, type):
        return True
    if not isinstance(input_schema, Mapping):
        return False
    return any(_is_open(value) for one in input_schema.values() for value in _open_settings(one).values())


def check_form(input_schema: object) -> dict[str, Any]:
    """Refuse what is wrong whatever the run brings; raises an InputSchemaError that names the field.

    Returns
    -------
    dict
        The form, as far as it is known already.
    """
    if not isinstance(input_schema, Mapping):
        return {}
    return normalise({name: _stand_in(one) for name, one in input_schema.items()}, FORM)


def settle_form(step: str, input_schema: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    """Fill a form in from the artifacts that come in.

    Parameters
    ----------
    step : str
        For the error.
    input_schema : dict or callable
        One that depends on the run. A function is called with ``self``, in a join with ``inputs``.
    names : Mapping[str, object]
        What a template may name.

    Returns
    -------
    dict
        As ``normalise`` makes it, within what a form can show.

    Raises
    ------
    BadForm
        An artifact is missing, a function fails, or what they give can't be shown.
    """
    try:
        if callable(input_schema):
            return normalise(input_schema(_incoming(names)), FORM)
        return normalise({name: _settled(one, names) for name, one in input_schema.items()}, FORM)
    except HitlError as error:
        raise BadForm(f"Step {step}: the form can't be shown with what this run brings. {error}") from error
    except Exception as error:  # the author's code, and an artifact's own, may raise anything
        said = f"{type(error).__name__}: {error}"
        raise BadForm(f"Step {step}: `input_schema` can't be filled in from this run: {said}") from error


def templates(input_schema: object) -> list[tuple[str, str]]:
    """Return those settings of a form that are templates, each with the name of its field."""
    if not isinstance(input_schema, Mapping):
        return []
    return [
        (str(name), value)
        for name, one in input_schema.items()
        for value in _open_settings(one).values()
        if isinstance(value, str) and _is_open(value)
    ]


def _open_settings(settings: object) -> dict[str, Any]:
    """Return those settings of a field that may come from the run."""
    if not isinstance(settings, Mapping):
        return {}
    return {name: settings[name] for name in _FROM_RUN if name in settings}


def _is_open(value: object) -> bool:
    return callable(value) or (isinstance(value, str) and _TEMPLATE.fullmatch(value) is not None)


def _stand_in(settings: Any) -> Any:
    """Leave out what is not known yet; choices become one that is shown to nobody."""
    opened = {name for name, value in _open_settings(settings).items() if _is_open(value)}
    if not opened:
        return settings
    kept = {name: value for name, value in settings.items() if name not in opened}
    if "choices" in opened:
        # A default among choices that are not known can't be judged either.
        kept = {name: value for name, value in kept.items() if name not in {"default", "min_length", "max_length"}}
        kept["choices"] = ["-"]
    return kept


def _settled(settings: Any, names: Mapping[str, Any]) -> Any:
    values = {name: _value(value, names) for name, value in _open_settings(settings).items() if _is_open(value)}
    return {**settings, **values} if values else settings


def _value(given: Any, names: Mapping[str, Any]) -> Any:
    found = given(_incoming(names)) if callable(given) else string.Formatter().get_field(given[1:-1], (), names)[0]
    return _plain(found)


def _incoming(names: Mapping[str, Any]) -> Any:
    return names["inputs"] if "inputs" in names else names["self"]


def _plain(value: Any) -> Any:
    """Turn what numpy, pandas and dicts hold into the texts and numbers that a form takes."""
    if value is None or isinstance(value, _KINDS):
        return value
    if isinstance(value, Mapping):
        return list(value)
    if callable(convert := getattr(value, "tolist", None)):  # arrays, series and their scalars
        return convert()
    try:
        return [_plain(one) for one in value]
    except TypeError:
        return value
