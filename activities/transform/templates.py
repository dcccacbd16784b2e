"""Templates in Jinja2's immutable sandbox, bounded in time and size."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, UndefinedError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import JsonValue

from contracts.errors import InvalidInput

MAX_OUTPUT_CHARS = 20_000
MAX_OPERAND = 10_000
_LIBRARY = "templates"


class _Bounded(ImmutableSandboxedEnvironment):
    """The sandbox, which also refuses operators that multiply text or numbers without bound."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse to repeat sequences, to raise to powers, and to format with %."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator != "*" or not numbers or max(abs(left), abs(right)) > MAX_OPERAND:
            message = "only small numbers may be multiplied"
            raise SecurityError(message)
        return super().call_binop(context, operator, left, right)


_PLAIN = _Bounded(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)


def render(template: str, facts: Mapping[str, JsonValue], *, name: str) -> str:
    """Return the template filled with the facts as plain text.

    Args:
        template: Jinja2 source.
        facts: variable name -> JSON value.
        name: what the template belongs to, for the error sentence.

    Raises:
        InvalidInput: it does not parse, names something that is not there, does what the sandbox forbids,
            or grows beyond 20,000 characters.
    """
    try:
        parts: list[str] = []
        size = 0
        for part in _compiled(template).generate(**facts):
            size += len(part)
            if size > MAX_OUTPUT_CHARS:
                message = "the text grew too long"
                raise SecurityError(message)
            parts.append(part)
        return "".join(parts)
    except UndefinedError as error:
        raise InvalidInput(
            "template_incomplete",
            f"The template of {name} names a field that the notification does not have.",
            action="Correct the field name, or guard it with `is defined`.",
            operation="templates.render",
        ) from error
    except (TemplateError, OverflowError, TypeError, ValueError) as error:
        raise InvalidInput(
            "template_refused",
            f"The template of {name} is not valid, or does what templates may not do.",
            action="Use plain placeholders, conditions and loops only.",
            operation="templates.render",
        ) from error


def named(template: str, part: str) -> str:
    """Return the source of a template of the library.

    Args:
        template: its name, such as `wedding_confirmation_template`.
        part: `subject` or `text`.

    Raises:
        InvalidInput: the library has no such template.
    """
    source = resources.files("activities.transform").joinpath(_LIBRARY, f"{template}.{part}.j2")
    if not template.replace("_", "").isalnum() or not source.is_file():
        raise InvalidInput(
            "template_unknown",
            f"There is no template named {template!r}.",
            action="Use one of the templates that the README lists.",
        )
    return source.read_text()


def exists(template: str) -> bool:
    """Return whether the library has a template of that name."""
    try:
        named(template, "text")
    except InvalidInput:
        return False
    return True


@lru_cache(maxsize=512)
def _compiled(template: str) -> Template:
    return _PLAIN.from_string(template)
