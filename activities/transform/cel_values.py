"""What CEL's operators come to for plain JSON values of one type; of all others only the interpreter can tell."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

_INT64 = range(-(2**63), 2**63)
_NUMBER = re.compile(r"[+-]?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,15}", re.ASCII)


class Unsure(Exception):  # noqa: N818 - no error: the interpreter knows
    """Only the interpreter can say what these values come to."""


def alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Return two values that every comparison is defined for.

    Raises:
        Unsure: they differ in type, or are neither whole numbers of 64 bits, nor other numbers, nor texts.
    """
    kind = type(left)
    if kind is not type(right) or kind not in {int, float, str}:
        raise Unsure
    if kind is int and not (left in _INT64 and right in _INT64):
        raise Unsure
    return left, right


def computed(combine: Callable[[Any, Any], Any], left: Any, right: Any, *, texts: bool) -> Any:
    """Return what two values are together.

    Args:
        combine: Python's operator.
        left: a value.
        right: a value.
        texts: whether the operator is defined for texts.

    Raises:
        Unsure: it is not defined for them, or leaves 64 bits.
    """
    alike(left, right)
    if isinstance(left, str) and not texts:
        raise Unsure
    found = combine(left, right)
    if isinstance(found, int) and found not in _INT64:
        raise Unsure
    return found


def member(value: Any, choices: Any) -> bool:
    """Return whether a text or whole number is among others of its type.

    Raises:
        Unsure: they are anything else.
    """
    if type(value) not in {int, str} or not isinstance(choices, list):
        raise Unsure
    if any(type(choice) is not type(value) for choice in choices):
        raise Unsure
    return value in choices


def truth(value: Any) -> bool:
    """Return a boolean.

    Raises:
        Unsure: it is none.
    """
    if not isinstance(value, bool):
        raise Unsure
    return value


def text(value: Any) -> str:
    """Return a text.

    Raises:
        Unsure: it is none.
    """
    if not isinstance(value, str):
        raise Unsure
    return value


def negated(value: Any) -> Any:
    """Return a number with the other sign.

    Raises:
        Unsure: it is no number, or leaves 64 bits.
    """
    if type(value) is float:
        return -value
    return computed(operator.sub, 0, value, texts=False)


def double(value: Any) -> float:
    """Return a number, or a text that is written as one, as a number with a fraction.

    Raises:
        Unsure: it is anything else.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value if type(value) is float else float(whole(value))


def whole(value: Any) -> int:
    """Return a whole number of 64 bits, also of one written as a text.

    Raises:
        Unsure: it is anything else.
    """
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if type(value) is not int or value not in _INT64:
        raise Unsure
    return value
