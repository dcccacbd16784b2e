"""Turns a CEL condition into plain Python for the values that most records have.

The interpreter builds an object for every value and every step, about a hundred microseconds for a small condition.
What is built here answers in about one, as the interpreter would or not at all: it knows the operators over values of
one type, and raises `Unsure` for every other value, which is then left to the interpreter. It has no loops,
so that its time is bounded by the lengths of condition and record.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import lark
from celpy.evaluation import CELEvalError, base_functions, celstr
from pydantic import JsonValue

from activities.transform.cel_values import Unsure, alike, computed, double, member, negated, text, truth, whole

Record = Mapping[str, JsonValue]
Condition = Callable[[Record], Any]
_TYPES = ("bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "type", "uint")
_OWN = frozenset((*base_functions, *_TYPES))
"""Names that mean something where no field has them."""
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "relation_lt": operator.lt,
    "relation_le": operator.le,
    "relation_gt": operator.gt,
    "relation_ge": operator.ge,
    "relation_eq": operator.eq,
    "relation_ne": operator.ne,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "addition_add": operator.add,
    "addition_sub": operator.sub,
    "multiplication_mul": operator.mul,
}
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}


class _NoValue(Exception):  # noqa: N818 - CEL's own error value, which `&&` and `||` may absorb
    """The interpreter would end in an error here."""


class _NotPlain(Exception):  # noqa: N818 - the condition is left to the interpreter
    """The condition holds something that is not turned into Python."""


def plain(tree: lark.Tree[Any]) -> Condition | None:
    """Return the condition as a function, None where only the interpreter can evaluate it.

    Args:
        tree: as celpy parses it.

    The function returns what the condition comes to, None for an error of CEL's, and raises `Unsure`.
    """
    try:
        step = _step(tree)
    except (_NotPlain, RecursionError):
        return None

    def decided(record: Record) -> Any:
        try:
            return step(record)
        except _NoValue:
            return None

    return decided


def _step(tree: lark.Tree[Any]) -> Condition:
    children = tree.children
    build = _BUILDERS.get(str(tree.data))
    if build is not None:
        return build(tree)
    if len(children) == 1 and isinstance(children[0], lark.Tree) and tree.data in _PASSED:
        return _step(children[0])
    raise _NotPlain


def _expr(tree: lark.Tree[Any]) -> Condition:
    if len(tree.children) == 1:
        return _step(tree.children[0])
    condition, left, right = (_step(part) for part in tree.children)
    return lambda record: left(record) if truth(condition(record)) else right(record)


def _logic(decisive: bool) -> Callable[[lark.Tree[Any]], Condition]:  # noqa: FBT001 - the value that decides
    """Return the builder of `||`, which True decides, or of `&&`."""

    def build(tree: lark.Tree[Any]) -> Condition:
        if len(tree.children) == 1:
            return _step(tree.children[0])
        left, right = (_step(part) for part in (tree.children[0].children[0], tree.children[1]))

        def step(record: Record) -> bool:
            try:
                known: bool | None = truth(left(record))
            except _NoValue:
                known = None
            if known is decisive:
                return decisive
            if truth(right(record)) is decisive:
                return decisive
            if known is None:
                raise _NoValue
            return not decisive

        return step

    return build


def _pair(tree: lark.Tree[Any]) -> Condition:
    """Build a comparison, a membership or a sum of two values."""
    if len(tree.children) == 1:
        return _step(tree.children[0])
    head, last = tree.children
    name, left, right = str(head.data), _step(head.children[0]), _step(last)
    if name in _COMPARISONS:
        compare = _COMPARISONS[name]
        return lambda record: compare(*alike(left(record), right(record)))
    if name in _ARITHMETIC:
        combine = _ARITHMETIC[name]
        texts = name == "addition_add"
        return lambda record: computed(combine, left(record), right(record), texts=texts)
    if name == "relation_in":
        return lambda record: member(left(record), right(record))
    raise _NotPlain


def _unary(tree: lark.Tree[Any]) -> Condition:
    if len(tree.children) == 1:
        return _step(tree.children[0])
    sign, value = str(tree.children[0].data), _step(tree.children[1])
    if sign == "unary_not":
        return lambda record: not truth(value(record))
    return lambda record: negated(value(record))


def _field(tree: lark.Tree[Any]) -> Condition:
    name = str(tree.children[0])

    def step(record: Record) -> JsonValue:
        if name in record:
            return record[name]
        if name in _OWN:
            raise Unsure
        raise _NoValue

    return step


def _part(tree: lark.Tree[Any]) -> Condition:
    """Build `value.name`, a part of an object."""
    whole, name = _step(tree.children[0]), str(tree.children[1])

    def step(record: Record) -> JsonValue:
        found = whole(record)
        if not isinstance(found, dict):
            raise Unsure
        if name not in found:
            raise _NoValue
        part: JsonValue = found[name]
        return part

    return step


def _method(tree: lark.Tree[Any]) -> Condition:
    subject, name, *given = tree.children
    value, arguments = _step(subject), _arguments(given)
    test = _TESTS.get(str(name))
    if test is not None and len(arguments) == 1:
        wanted = arguments[0]
        return lambda record: test(text(value(record)), text(wanted(record)))
    if str(name) == "size" and not arguments:
        return lambda record: len(text(value(record)))
    raise _NotPlain


def _call(tree: lark.Tree[Any]) -> Condition:
    name, *given = tree.children
    arguments = _arguments(given)
    if len(arguments) != 1:
        raise _NotPlain
    value = arguments[0]
    if str(name) == "has":
        return _has(given[0].children[0], value)
    if str(name) == "size":
        return lambda record: len(text(value(record)))
    convert = _CONVERSIONS.get(str(name))
    if convert is None:
        raise _NotPlain
    return lambda record: convert(value(record))


def _has(argument: lark.Tree[Any], value: Condition) -> Condition:
    while len(argument.children) == 1 and argument.data != "member_dot":
        argument = argument.children[0]
        if not isinstance(argument, lark.Tree):
            raise _NotPlain
    if argument.data != "member_dot":
        raise _NotPlain

    def step(record: Record) -> bool:
        try:
            value(record)
        except _NoValue:
            return False
        return True

    return step


def _list(tree: lark.Tree[Any]) -> Condition:
    parts = _arguments(tree.children)
    return lambda record: [part(record) for part in parts]


def _literal(tree: lark.Tree[Any]) -> Condition:
    token = tree.children[0]
    try:
        value = _LITERALS[token.type](token)
    except (KeyError, ValueError, Unsure, CELEvalError):
        raise _NotPlain from None
    return lambda _: value


def _arguments(given: list[Any]) -> list[Condition]:
    return [_step(part) for part in given[0].children] if given else []


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {"double": double, "int": whole, "string": text}
_LITERALS: dict[str, Callable[[lark.Token], Any]] = {
    "BOOL_LIT": lambda written: written == "true",
    "FLOAT_LIT": float,
    "INT_LIT": whole,
    "STRING_LIT": lambda written: str(celstr(written)),
}
_PASSED = frozenset({"member", "primary", "paren_expr"})
_BUILDERS: dict[str, Callable[[lark.Tree[Any]], Condition]] = {
    "expr": _expr,
    "conditionalor": _logic(decisive=True),
    "conditionaland": _logic(decisive=False),
    "relation": _pair,
    "addition": _pair,
    "multiplication": _pair,
    "unary": _unary,
    "member_dot": _part,
    "member_dot_arg": _method,
    "ident": _field,
    "ident_arg": _call,
    "list_lit": _list,
    "literal": _literal,
}
