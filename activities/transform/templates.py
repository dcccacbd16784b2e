"""Templates in Jinja2's immutable sandbox, bounded in time and size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from importlib import resources
from typing import Any, cast

from jinja2 import StrictUndefined, Template, TemplateError, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from pydantic import JsonValue

from contracts.errors import InvalidInput

MAX_OUTPUT_CHARS = 20_000
MAX_OPERAND = 10_000
MAX_STEPS = 10_000
FILTERS = (
    *("abs", "capitalize", "default", "d", "e", "escape", "first", "float", "int", "join", "last", "length", "count"),
    *("lower", "replace", "reverse", "round", "sort", "string", "title", "trim", "truncate", "unique", "upper"),
)
VARIABLES = frozenset({"notification", "wedding", "target", "sender"})
"""What templates may read; `wedding` alone and `sender` in the messages of a wedding's steps."""
_LIBRARY = "templates"
_COUNTED, _SHORT = "__counted", "__short"
_REFUSED = (
    *(nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock, nodes.Block, nodes.Extends),
    *(nodes.Include, nodes.Import, nodes.FromImport, nodes.Pow),
)
_steps: ContextVar[list[int]] = ContextVar("steps")


class BudgetExceededError(SecurityError):
    """A template took more steps, or made longer texts, than it may."""


class _Bounded(ImmutableSandboxedEnvironment):
    """The sandbox with hardly any logic: no calls but `range`, no macros, few filters, every loop and text counted."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters = {name: self.filters[name] for name in FILTERS} | {_COUNTED: _counted, _SHORT: _short}
        self.globals = {"range": self.globals["range"]}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse to repeat sequences, to raise to powers, and to format with %."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator not in "*+" or not numbers or max(abs(left), abs(right)) > MAX_OPERAND:
            message = "only small numbers may be added or multiplied; join texts with ~"
            raise SecurityError(message)
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        for node in template.find_all(nodes.Node):
            if isinstance(node, _REFUSED) or (isinstance(node, nodes.For) and node.recursive):
                message = f"a template may not hold {type(node).__name__.lower()}"
                raise SecurityError(message)
            if str(_attribute(node)).startswith("_"):
                message = "a template may not look behind a name"
                raise SecurityError(message)
            if isinstance(node, nodes.Call) and not (isinstance(node.node, nodes.Name) and node.node.name == "range"):
                message = "a template may call nothing but range"
                raise SecurityError(message)
        counting: nodes.Template = _Counting().visit(template)
        return counting


class _Counting(NodeTransformer):
    """Lets every loop be counted and every text that is put together be measured."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - the library's name
        """Count the turns of a loop."""
        self.generic_visit(node)
        node.iter = _filtered(cast("nodes.Expr", node.iter), _COUNTED)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802 - the library's name
        """Measure what `~` makes."""
        self.generic_visit(node)
        return _filtered(node, _SHORT)

    def visit_Filter(self, node: nodes.Filter) -> nodes.Expr:  # noqa: N802 - the library's name
        """Measure what a filter makes."""
        self.generic_visit(node)
        return _filtered(node, _SHORT)


def _attribute(node: nodes.Node) -> object:
    """Return the name that a node reads of something, nothing when it reads none."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.arg.value if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) else ""


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    steps = _steps.get()
    for item in items:
        steps[0] -= 1
        if steps[0] < 0:
            message = "the loops are too long"
            raise BudgetExceededError(message)
        yield item


def _short(value: Any) -> Any:
    if isinstance(value, str | list) and len(value) > MAX_OUTPUT_CHARS:
        message = "a text grew too long"
        raise BudgetExceededError(message)
    return value


_PLAIN = _Bounded(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)


_HTML = _Bounded(undefined=StrictUndefined, autoescape=True, keep_trailing_newline=False)


def render(template: str, facts: Mapping[str, JsonValue], *, name: str, html: bool = False) -> str:
    """Return the template filled with the facts.

    Args:
        template: Jinja2 source.
        facts: variable name -> JSON value.
        name: what the template belongs to, for the error sentence.
        html: whether facts are escaped, so that no name becomes markup.

    Raises:
        InvalidInput: it does not parse, names something that is not there, does what the sandbox forbids,
            loops more than 10,000 turns or grows beyond 20,000 characters.
    """
    _steps.set([MAX_STEPS])
    try:
        return _filled(_compiled(template, html), facts)
    except UndefinedError as error:
        raise InvalidInput(
            "template_incomplete",
            f"The template of {name} names a field that the notification does not have.",
            action="Correct the field name, or guard it with `is defined`.",
            operation="templates.render",
        ) from error
    except BudgetExceededError as error:
        raise InvalidInput(
            "budget_exceeded",
            f"The template of {name} loops too long, or makes texts that are too long.",
            action=f"Stay within {MAX_STEPS} turns of all loops and {MAX_OUTPUT_CHARS} characters.",
            operation="templates.render",
        ) from error
    except (TemplateError, OverflowError, TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            "template_refused",
            f"The template of {name} is not valid, or does what templates may not do.",
            action="Use plain placeholders, conditions and loops only.",
            operation="templates.render",
        ) from error


def _filled(template: Template, facts: Mapping[str, JsonValue]) -> str:
    text = ""
    for part in template.generate(**facts):
        text = _short(f"{text}{part}")
    return text


def check(template: str, *, name: str) -> None:
    """Refuse a template that could never be rendered.

    Args:
        template: Jinja2 source.
        name: what it belongs to, for the error sentence.

    Raises:
        InvalidInput: it does not parse, does what the sandbox forbids, or reads a variable that there never is.
    """
    try:
        unknown = sorted(meta.find_undeclared_variables(_PLAIN.parse(template)) - VARIABLES)
    except (TemplateError, RecursionError) as error:
        raise InvalidInput(
            "template_refused",
            f"The template of {name} is not valid, or does what templates may not do.",
            action="Use plain placeholders, conditions and loops only.",
            operation="templates.check",
        ) from error
    if unknown:
        raise InvalidInput(
            "template_variable_unknown",
            f"The template of {name} reads {unknown[0][:60]!r}, which is never there.",
            action=f"Read only {', '.join(sorted(VARIABLES))}.",
            operation="templates.check",
        )


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
def _compiled(template: str, html: bool) -> Template:  # noqa: FBT001 - a cache has no keyword of its own
    return (_HTML if html else _PLAIN).from_string(template)
