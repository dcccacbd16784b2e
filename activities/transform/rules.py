"""Conditions in CEL over plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import celpy
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.celtypes import BoolType
from celpy.evaluation import CELEvalError
from pydantic import JsonValue

from contracts.errors import InvalidInput

MAX_CONDITION_CHARS = 2_000


def holds(condition: str, facts: Mapping[str, JsonValue], *, name: str) -> bool:
    """Return whether a CEL condition is true of the facts.

    Args:
        condition: a CEL expression, such as `notification.priority in ['high', 'critical']`.
        facts: variable name -> JSON value.
        name: what the condition belongs to, for the error sentence.

    Raises:
        InvalidInput: it does not parse, reads a field that is not there, or yields no boolean.
    """
    program = _program(condition, name)
    try:
        answer = program.evaluate({key: json_to_cel(value) for key, value in facts.items()})
    except CELEvalError as error:
        raise InvalidInput(
            "condition_unevaluable",
            f"The condition of {name} reads something the notification does not have.",
            action="Guard optional fields with has(...), and compare values of one type.",
            operation="rules.evaluate",
        ) from error
    if not isinstance(answer, BoolType):
        raise InvalidInput(
            "condition_not_boolean",
            f"The condition of {name} yields a value that is neither true nor false.",
            action="Write a comparison, such as notification.priority == 'high'.",
            operation="rules.evaluate",
        )
    return bool(answer)


def check(condition: str, *, name: str) -> None:
    """Refuse a condition that is not CEL; the arguments are those of `holds`.

    Raises:
        InvalidInput: it does not parse.
    """
    _program(condition, name)


@lru_cache(maxsize=512)
def _program(condition: str, name: str) -> celpy.Runner:
    if len(condition) > MAX_CONDITION_CHARS:
        raise InvalidInput(
            "condition_too_long", f"The condition of {name} is longer than {MAX_CONDITION_CHARS} characters."
        )
    environment = celpy.Environment()
    try:
        return environment.program(environment.compile(condition))
    except CELParseError as error:
        raise InvalidInput(
            "condition_unreadable",
            f"The condition of {name} is not valid CEL.",
            action="Compare it with the examples in the README.",
            operation="rules.compile",
            evidence={"line": error.line, "column": error.column},
        ) from error
