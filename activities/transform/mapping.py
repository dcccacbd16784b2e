"""Field mappings as SQL: which source column or checked expression each target column comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from activities.transform.expression import Compiled, compile_expression, listed
from activities.transform.identifiers import quote, resolve
from contracts.errors import InvalidInput
from contracts.integration import FieldMapping

__all__ = ["check_expression", "compile_mapping", "missing_column"]


def check_expression(expression: str, columns: Sequence[str], *, target: str = "") -> str:
    """Return the DuckDB SQL of a tenant's scalar expression; it yields NULL where a value cannot be read.

    Args:
        expression: an SQL scalar expression over source columns.
        columns: names of the source's columns.
        target: the mapping's target, for the error's sentence.

    Raises:
        InvalidInput: the expression is not scalar, not allowed or names an unknown column.
    """
    return compile_expression(expression, columns, target).sql


def compile_mapping(mapping: Sequence[FieldMapping], columns: Sequence[str]) -> Mapping[str, Compiled]:
    """Return target -> compiled SQL for every mapping.

    Args:
        mapping: the tenant's mappings; a target may occur once.
        columns: names of the source's columns.

    Raises:
        InvalidInput: a source column is missing, a target occurs twice, or an expression is refused.
    """
    compiled: dict[str, Compiled] = {}
    for field in mapping:
        if field.target in compiled:
            raise InvalidInput(
                "target_mapped_twice",
                f"The mapping names the target {field.target!r} twice.",
                action="Keep one mapping for each target.",
            )
        if field.expression is not None:
            compiled[field.target] = compile_expression(field.expression, columns, field.target)
            continue
        found = resolve(field.source or "", columns)
        if found is None:
            raise missing_column(field.source or "", columns, field.target)
        compiled[field.target] = Compiled(quote(found), columns=(found,))
    return compiled


def missing_column(name: str, columns: Sequence[str], target: str) -> InvalidInput:
    """Return the error of a column that the source lacks, with the columns it has."""
    return InvalidInput(
        "missing_column",
        f"The source has no column {name!r} for the target {target!r}.",
        action=f"Map {target!r} to one of: {listed(columns)}.",
    )
