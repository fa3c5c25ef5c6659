"""A pydantic model as ``input_schema``: the step gets what the model makes of an answer, and its validators have a say.

They run where the flow is: on a command line before anything is decided, and at the gate before the step's code. A bot
has no flow, so what it takes fits the form and no more.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import takewhile
from typing import Any, get_args

from metaflow_extensions.hitl.approvals.record import Approval, Verdict
from metaflow_extensions.hitl.approvals.refusals import ApprovalError
from metaflow_extensions.hitl.approvals.schema import InvalidInput, Problem, nested, typed

CheckInput = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]


class RefusedByModel(ApprovalError):
    """Somebody approved with an input that fits the form, and that the model's own validators refuse."""

    def __init__(self, approval: Approval, model: Any, error: InvalidInput) -> None:
        super().__init__(
            approval,
            f"{approval.id} was approved with an input that {model.__name__} refuses: {error} The step does not run. "
            "Start a new run to ask again.",
        )


def model_of(input_schema: object) -> Any:
    """Return the model class that was given as ``input_schema``, or None."""
    is_model = isinstance(input_schema, type) and callable(getattr(input_schema, "model_validate", None))
    return input_schema if is_model else None


def entered(model: Any, approval: Approval) -> Any:
    """Return what the step sees as its input: an instance of the model, where there is one and somebody approved.

    Raises
    ------
    RefusedByModel
        The model's validators refuse it.
    """
    schema, decision = approval.question.schema, approval.decision
    values = decision.input if decision is not None else {}
    if model is not None and decision is not None and decision.verdict is Verdict.APPROVE:
        try:
            return _instance(model, nested(schema, values) if schema else values)
        except InvalidInput as error:
            raise RefusedByModel(approval, model, error) from error
    return typed(schema, values) if schema else dict(values)


def checked_by(flow: Any, check: CheckInput) -> CheckInput:
    """Return a check that also asks the model of the step that a form belongs to."""

    def check_both(schema: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        complete = check(schema, values)
        for model in (model for _, model, form in _models(flow) if form == schema):
            _instance(model, nested(schema, complete))
        return complete

    return check_both


def notes(flow: Any) -> Iterator[str]:
    """Say of each step with validators where they run; a sentence each."""
    for step, model, _ in _models(flow):
        if _has_validators(model):
            yield (
                f"The validators of {model.__name__} can't run in Slack: if somebody approves {step} with an input "
                "that fits the form and that they refuse, the step fails and says why."
            )


@lru_cache(maxsize=1)
def notes_once(flow: Any, say: Callable[[str], object]) -> None:
    """Say them once in this process, however many gates a flow has."""
    for line in notes(flow):
        say(line)


def _instance(model: Any, values: Mapping[str, Any]) -> Any:
    try:
        return model.model_validate(_given(model, values))
    except ValueError as error:  # pydantic's own is one, and needs no import here
        raise InvalidInput(_problems(error)) from error
    except Exception as error:  # an author's validator may raise anything
        raise InvalidInput([Problem("the input", f"is refused: {type(error).__name__}: {error}")]) from error


def _given(model: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was left empty, which is None in the record, where the model itself says what that means."""
    by_name = {str(key): field for name, field in model.model_fields.items() for key in (name, field.alias or name)}
    given: dict[str, Any] = {}
    for name, value in values.items():
        field = by_name.get(name)
        inner = None if field is None or not isinstance(value, Mapping) else _model_in(field.annotation)
        if inner is not None:
            given[name] = _given(inner, value)
        elif field is None or field.is_required() or not _says_nothing(field, value):
            given[name] = value
    return given


def _says_nothing(field: Any, value: Any) -> bool:
    # A form can't show what a factory makes, so an empty list there is one that nobody emptied.
    return value is None or (value == [] and field.default_factory is not None)


def _model_in(annotation: Any) -> Any:
    """Return the model in a field's type, also in ``Model | None``."""
    return model_of(annotation) or next(filter(None, map(_model_in, get_args(annotation))), None)


def _problems(error: ValueError) -> Iterator[Problem]:
    seen: set[str] = set()
    found = getattr(error, "errors", None)
    for one in found() if callable(found) else [{"loc": (), "msg": str(error)}]:
        # What follows a number is within a list, which is one field.
        place = ".".join(map(str, takewhile(lambda part: isinstance(part, str), one["loc"])))
        field = place or "the input"
        if field not in seen:
            seen.add(field)
            yield Problem(field, f"is refused: {str(one['msg'])[:300]}")


def _models(flow: Any) -> Iterator[tuple[str, Any, object]]:
    for node in flow._graph:
        for deco in node.decorators:
            if deco.name == "hitl" and deco.arguments.model is not None:
                yield node.name, deco.arguments.model, deco.arguments.question.schema


def _has_validators(model: Any) -> bool:
    declared = getattr(model, "__pydantic_decorators__", None)
    return any(getattr(declared, kind, None) for kind in ("field_validators", "model_validators", "validators"))
