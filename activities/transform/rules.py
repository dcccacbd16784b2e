"""Conditions in CEL over plain JSON, bounded in steps and in size."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import celpy
import lark
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.celtypes import BoolType
from celpy.evaluation import CELEvalError, Evaluator
from pydantic import JsonValue

from contracts.errors import InvalidInput

MAX_CONDITION_CHARS = 2_000
MAX_STEPS = 5_000
MAX_LENGTH = 1 << 20


class BudgetExceededError(Exception):
    """A condition took more steps, or made longer values, than it may."""


class _Bounded(Evaluator):
    """The evaluator, which counts its steps; those of its macros count with it."""

    def __init__(self, ast: Any, activation: Any, budget: list[int]) -> None:
        super().__init__(ast, activation)
        self._budget = budget

    def sub_evaluator(self, ast: Any) -> Evaluator:
        """Return the evaluator of a macro's expression."""
        return _Bounded(ast, self.activation, self._budget)

    def _visit_tree(self, tree: lark.Tree[Any]) -> Any:
        self._budget[0] -= 1
        if self._budget[0] < 0:
            raise BudgetExceededError
        found = super()._visit_tree(tree)
        if isinstance(found, str | bytes | list) and len(found) > MAX_LENGTH:
            raise BudgetExceededError
        return found


class _Runner(celpy.InterpretedRunner):
    def evaluate(self, context: Any) -> Any:
        """Return the value of the condition within its budget."""
        return _Bounded(self.ast, self.new_activation(), [MAX_STEPS]).evaluate(context)


def holds(condition: str, facts: Mapping[str, JsonValue], *, name: str) -> bool:
    """Return whether a CEL condition is true of the facts.

    Args:
        condition: a CEL expression, such as `notification.priority in ['high', 'critical']`.
        facts: variable name -> JSON value.
        name: what the condition belongs to, for the error sentence.

    Raises:
        InvalidInput: it does not parse, reads a field that is not there, yields no boolean, or exceeds its budget.
    """
    program = _program(condition, name)
    try:
        answer = program.evaluate({key: json_to_cel(value) for key, value in facts.items()})
    except BudgetExceededError:
        raise InvalidInput(
            "budget_exceeded",
            f"The condition of {name} takes too many steps, or makes values that are too long.",
            action="Nest fewer lists, and compare instead of building texts.",
            operation="rules.evaluate",
        ) from None
    except (CELEvalError, IndexError) as error:
        # The library ends in an IndexError where it writes an error about two errors down.
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
    environment = celpy.Environment(runner_class=_Runner)
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
