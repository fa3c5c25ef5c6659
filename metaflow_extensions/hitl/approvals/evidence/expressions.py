"""Conditions over metrics: ``accuracy >= 0.95 and abs(delta.accuracy) < 0.01``.

A grammar of its own, small enough to be read in one sitting, and never ``eval``::

    condition   ``or`` of ``and`` of ``not`` of comparisons
    comparison  sum, then any number of ``< <= > >= == !=`` sum
    sum         product, then ``+ -`` product
    product     factor, then ``* /`` factor
    factor      ``- factor``, ``( condition )``, a number, a quoted text, ``True``, ``False``, a name,
                or ``abs(…)``, ``min(…, …)``, ``max(…, …)``

A name is a metric (``accuracy``, ``report.f1``), its change since the last approval (``delta.accuracy``), or the value
that was approved then (``previous.accuracy``). Length and depth are bounded, so the time is.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from metaflow_extensions.hitl.approvals.errors import HitlError

LONGEST = 500  # characters
DEEPEST = 20  # parentheses, functions, `not` and minus signs within each other

Value = float | bool | str


@dataclass(frozen=True)
class Missing:
    """Why a name has no value."""

    why: str


Scope = Mapping[str, Value | Missing]
_Node = Callable[[Scope], Value]


class BadExpression(HitlError, ValueError):
    """A text that is not a condition."""


class NoAnswer(HitlError):
    """A condition that can be neither true nor false: something is missing, or of another type."""


@dataclass(frozen=True)
class Expression:
    """A condition that was read.

    Attributes
    ----------
    text : str
        As it was written.
    names : frozenset of str
        Every name that it reads; it reads no other.
    """

    text: str
    names: frozenset[str]
    _root: _Node = field(repr=False, compare=False)

    def holds(self, scope: Scope) -> bool:
        """Say whether the condition is true.

        Raises
        ------
        NoAnswer
            A name has no value, a text is compared with a number, a division by zero, or the whole is not a condition.
        """
        value = self._root(scope)
        if not isinstance(value, bool):
            raise NoAnswer(f"{self.text} is {_shown(value)}, and not true or false")
        return value


def parse_expression(text: str) -> Expression:
    """Read a condition; raise BadExpression with the place where it can't be read."""
    if len(text) > LONGEST:
        raise BadExpression(f"A condition may have up to {LONGEST} characters, but this one has {len(text)}.")
    parser = _Parser(text)
    root = parser.condition()
    parser.expect_end()
    return Expression(text=text.strip(), names=frozenset(parser.names), _root=root)


def check_names(expression: Expression, known: frozenset[str]) -> None:
    """Refuse a condition that names what does not exist."""
    unknown = sorted(expression.names - known)
    if unknown:
        listed = ", ".join(sorted(known)) or "nothing, because the step has no metrics"
        raise BadExpression(f"{expression.text!r} uses {unknown[0]!r}. It can use: {listed}.")


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![\w.])
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)(?![\w.])
    | (?P<text>"[^"\\\n]*"|'[^'\\\n]*')
    | (?P<sign><=|>=|==|!=|[<>+\-*/(),])
    )""",
    re.VERBOSE | re.ASCII,
)
_WORDS = frozenset({"and", "or", "not"})
_CONSTANTS: dict[str, Value] = {"True": True, "False": False}
_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SIGNS_OF_SUMS, _SIGNS_OF_PRODUCTS = ("+", "-"), ("*", "/")
_FUNCTIONS: dict[str, tuple[int, int]] = {"abs": (1, 1), "min": (2, 20), "max": (2, 20)}  # with how many values


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0
        self.names: set[str] = set()

    def condition(self) -> _Node:
        return self._joined("or", self._conjunction, stops_at=True)

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            raise self._bad(f"{self._peek()!r} is not expected here")

    def _conjunction(self) -> _Node:
        return self._joined("and", self._negation, stops_at=False)

    def _joined(self, word: str, part: Callable[[], _Node], *, stops_at: bool) -> _Node:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else _Joined(word, tuple(parts), stops_at)

    def _negation(self) -> _Node:
        if not self._take("not"):
            return self._comparison()
        inner = self._deeper(self._negation)
        return lambda scope: not _truth(inner(scope), "not")

    def _comparison(self) -> _Node:
        first, rest = self._sum(), list[tuple[str, _Node]]()
        while self._peek() in {*_ORDER, "==", "!="}:
            rest.append((self._next(), self._sum()))
        return _Comparison(first, tuple(rest)) if rest else first

    def _sum(self) -> _Node:
        return self._left_to_right(_SIGNS_OF_SUMS, self._product)

    def _product(self) -> _Node:
        return self._left_to_right(_SIGNS_OF_PRODUCTS, self._factor)

    def _left_to_right(self, signs: tuple[str, ...], part: Callable[[], _Node]) -> _Node:
        first, rest = part(), list[tuple[str, _Node]]()
        while self._peek() in signs:
            rest.append((self._next(), part()))
        return _Arithmetic(first, tuple(rest)) if rest else first

    def _factor(self) -> _Node:
        if self._take("-"):
            inner = self._deeper(self._factor)
            return lambda scope: -_number(inner(scope), "-")
        if self._take("("):
            inner = self._deeper(self.condition)
            self._expect(")")
            return inner
        if self._at >= len(self._tokens):
            raise self._bad("it ends too early")
        kind, word = self._tokens[self._at][:2]
        if kind == "sign" or word in _WORDS:
            raise self._bad(f"{word!r} is not expected here")
        self._at += 1
        return self._operand(kind, word)

    def _operand(self, kind: str, word: str) -> _Node:
        if kind == "number":
            number = float(word)
            if not math.isfinite(number):
                raise BadExpression(f"{self._text!r} can't be read: {word} is too large.")
            return lambda _: number
        if kind == "text":
            return lambda _: word[1:-1]
        if word in _CONSTANTS:
            return lambda _: _CONSTANTS[word]
        if self._take("("):
            return self._call(word)
        self.names.add(word)
        return lambda scope: _look_up(word, scope)

    def _call(self, name: str) -> _Node:
        if name not in _FUNCTIONS:
            raise self._bad(f"there is no function {name}; use one of {', '.join(_FUNCTIONS)}")
        least, most = _FUNCTIONS[name]
        arguments = [self._deeper(self._sum)]
        while self._take(","):
            arguments.append(self._deeper(self._sum))
        self._expect(")")
        if not least <= len(arguments) <= most:
            raise self._bad(f"{name}() takes {least if least == most else f'{least} to {most}'} values")
        return lambda scope: _apply(name, [_number(argument(scope), name) for argument in arguments])

    def _deeper(self, part: Callable[[], _Node]) -> _Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._bad(f"it is nested more than {DEEPEST} deep")
        node = part()
        self._depth -= 1
        return node

    def _peek(self) -> str:
        kind, word = self._tokens[self._at][:2] if self._at < len(self._tokens) else ("end", "")
        return "" if kind == "text" else word

    def _next(self) -> str:
        word = self._peek()
        self._at += 1
        return word

    def _take(self, word: str) -> bool:
        if self._peek() != word:
            return False
        self._at += 1
        return True

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._bad(f"{word!r} is missing")

    def _bad(self, what: str) -> BadExpression:
        place = self._tokens[self._at][2] if self._at < len(self._tokens) else len(self._text)
        return BadExpression(f"{self._text!r} can't be read at character {place + 1}: {what}.")


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """Split a text into kind, token and place."""
    tokens: list[tuple[str, str, int]] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            start = place + len(text[place:]) - len(text[place:].lstrip())
            raise BadExpression(
                f"{text!r} can't be read at character {start + 1}: {text[start]!r} is not part of a condition."
            )
        tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        place = match.end()
    return tokens


@dataclass(frozen=True)
class _Joined:
    """``and`` and ``or``: as in Python, what is decided is not looked at further."""

    word: str
    parts: tuple[_Node, ...]
    stops_at: bool

    def __call__(self, scope: Scope) -> bool:
        for part in self.parts:
            if _truth(part(scope), self.word) is self.stops_at:
                return self.stops_at
        return not self.stops_at


@dataclass(frozen=True)
class _Comparison:
    """``a < b <= c``, as in Python."""

    first: _Node
    rest: tuple[tuple[str, _Node], ...]

    def __call__(self, scope: Scope) -> bool:
        left = self.first(scope)
        for sign, node in self.rest:
            right = node(scope)
            if not _compare(sign, left, right):
                return False
            left = right
        return True


@dataclass(frozen=True)
class _Arithmetic:
    first: _Node
    rest: tuple[tuple[str, _Node], ...]

    def __call__(self, scope: Scope) -> Value:
        value = self.first(scope)
        for sign, node in self.rest:
            left, right = _number(value, sign), _number(node(scope), sign)
            value = _calculate(left, sign, right)
            if not math.isfinite(value):
                raise NoAnswer(f"{left:g} {sign} {right:g} is too large")
        return value


def _calculate(left: float, sign: str, right: float) -> float:
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    if sign == "*":
        return left * right
    if right == 0:
        raise NoAnswer("it divides by zero")
    return left / right


def _apply(function: str, values: list[float]) -> float:
    if function == "abs":
        return abs(values[0])
    return min(values) if function == "min" else max(values)


def _look_up(name: str, scope: Scope) -> Value:
    value = scope.get(name, Missing("it was not recorded"))
    if isinstance(value, Missing):
        raise NoAnswer(f"{name} has no value: {value.why}")
    # Every number is a float here: no whole number can grow without bound.
    if isinstance(value, (bool, str)):
        return value
    return _finite(name, value)


def _finite(name: str, value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise NoAnswer(f"{name} is not a finite number")
    return number


def _compare(sign: str, left: Value, right: Value) -> bool:
    if _kind(left) != _kind(right):
        raise NoAnswer(f"it compares {_shown(left)} with {_shown(right)}")
    if sign in {"==", "!="}:
        return (left == right) is (sign == "==")
    return _ORDER[sign](_number(left, sign), _number(right, sign))


def _number(value: Value, sign: str) -> float:
    if isinstance(value, (bool, str)):
        raise NoAnswer(f"{sign} needs numbers, not {_shown(value)}")
    return value


def _truth(value: Value, word: str) -> bool:
    if not isinstance(value, bool):
        raise NoAnswer(f"{word} needs conditions, not {_shown(value)}")
    return value


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "condition"
    return "text" if isinstance(value, str) else "number"


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return str(value) if isinstance(value, bool) else f"the number {value:g}"
