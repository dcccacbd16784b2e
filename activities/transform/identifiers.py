"""Names and literals in DuckDB SQL, whatever characters they hold."""

from __future__ import annotations

from collections.abc import Sequence


def quote(name: str) -> str:
    """Return `name` as a quoted DuckDB identifier, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as a DuckDB string literal, whatever it contains."""
    return "'" + text.replace("'", "''") + "'"


def resolve(name: str, columns: Sequence[str]) -> str | None:
    """Return the column meant by `name`: the same, else the same but for case and underscores, else None."""
    if name in columns:
        return name
    wanted = _plain(name)
    found = [column for column in columns if _plain(column) == wanted]
    return found[0] if len(found) == 1 else None


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
