"""What a command prints: a table for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from contracts.base import Contract
from contracts.errors import ErrorDetail

_LIST_MARK = ", "


def console() -> Console:
    """Return the console of standard output."""
    return Console(soft_wrap=True, highlight=False, markup=False)


def print_json(value: Contract | JsonValue | Mapping[str, JsonValue]) -> None:
    """Print one JSON document in one line."""
    text = value.model_dump_json() if isinstance(value, Contract) else json.dumps(value, ensure_ascii=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Print a line for people."""
    console().print(text)


def line(text: str) -> None:
    """Print a line that is the command's result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print a line about progress where it disturbs no program: on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    found = Table(title=title, title_justify="left")
    for column in columns:
        found.add_column(column, overflow="fold")
    for row in rows:
        found.add_row(*("" if cell is None else str(cell) for cell in row))
    console().print(found)


def facts(title: str, values: Mapping[str, object]) -> None:
    """Print named values, leaving empty ones out."""
    rows = [(name, _plain(value)) for name, value in values.items() if value not in (None, "", [], {})]
    table(title, ("", ""), rows)


def fail(detail: ErrorDetail, *, as_json: bool) -> None:
    """Say what went wrong: a sentence on standard error, and the error as JSON on standard output when asked for."""
    if as_json:
        print_json({"error": detail.model_dump(mode="json")})
    note(detail.sentence())


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return _LIST_MARK.join(f"{name} {inner}" for name, inner in value.items() if inner not in (None, "", [], {}))
    if isinstance(value, list | tuple):
        return _LIST_MARK.join(str(one) for one in value)
    return str(value)
