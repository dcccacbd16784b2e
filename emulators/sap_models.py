"""The planning models of the emulated SAP Analytics Cloud, and what their columns take."""

from __future__ import annotations

from typing import Any

_TEXT, _NUMBER = "string", "decimal"

REGIONS = (
    *("East of England", "Greater London", "North West", "Northern Ireland", "Scotland", "South East", "South West"),
    *("Wales", "Yorkshire"),
)
"""The members of the dimension `Region`; WedSync also knows weddings elsewhere."""


def _column(name: str, kind: str, length: int, *, key: bool = False) -> dict[str, Any]:
    return {"columnName": name, "columnDataType": kind, "maxLength": length, "isKey": key}


def _model(name: str, dimensions: dict[str, int], measures: tuple[str, ...]) -> dict[str, Any]:
    return {
        "modelID": f"C{name.upper().replace('_', '')[:24]:0<24}",
        "modelName": name,
        "description": name.replace("_", " "),
        "columns": [
            _column("Version", _TEXT, 300, key=True),
            *(_column(dimension, _TEXT, length, key=True) for dimension, length in dimensions.items()),
            *(_column(measure, _NUMBER, 32) for measure in measures),
        ],
        "members": {"Region": REGIONS},
    }


MODELS = (
    _model(
        "Catering_Costs",
        {"Wedding": 256, "Date": 8, "Region": 256, "Supplier": 256},
        ("Meals", "MealCost", "CostPerMeal", "LeadDays"),
    ),
    _model("Wedding_Revenue", {"Wedding": 256, "Date": 6}, ("Revenue", "Guests")),
)


def objection(row: dict[str, Any], columns: dict[str, dict[str, Any]]) -> str:
    """Why a model does not take a row, in the vendor's words; nothing when it does."""
    faulty = [name for name, value in row.items() if not _fits(value, columns[name])]
    return f"Invalid column value for: {', '.join(faulty)}" if faulty else ""


def _fits(value: Any, column: dict[str, Any]) -> bool:
    if value is None:
        return not column["isKey"]
    if column["columnDataType"] == _NUMBER:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(value, str) or len(value) > column["maxLength"]:
        return False
    if column["columnName"] == "Date":
        return value.isdecimal() and len(value) == column["maxLength"]
    return column["columnName"] != "Region" or value in REGIONS
