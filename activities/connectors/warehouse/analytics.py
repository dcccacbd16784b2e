"""The ANALYTICS tables, each a function of the marts."""

from __future__ import annotations

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.model import FACT_TABLE, METRICS_TABLE, SEASONS_TABLE, SUPPLIERS

_MEASURES = ("WEDDING_COUNT", "AVG_SATISFACTION", "TOTAL_REVENUE", "AVG_GUEST_COUNT")


def analytics(dialect: Dialect) -> dict[str, str]:
    """Return table -> the query whose answer it holds (WS-333: monthly supplier metrics, seasonal patterns)."""
    facts = f"FROM {FACT_TABLE.name} w JOIN {SUPPLIERS.table.name} s ON w.SUPPLIER_SK = s.SUPPLIER_SK"
    day, average, part = "w.WEDDING_DATE", dialect.average, dialect.part
    supplier = "s.SUPPLIER_ID, s.SUPPLIER_NAME, s.SUPPLIER_CATEGORY"
    season = f"{part('MONTH', day)}, {part('YEAR', day)}, s.SUPPLIER_CATEGORY"
    medians = dialect.median_join("w.GUEST_COUNT", facts, "w.WEDDING_SK", season)
    return {
        METRICS_TABLE: f"SELECT {supplier}, {dialect.month(day)} AS MONTH, COUNT(*) AS WEDDING_COUNT, "
        f"{average('w.SATISFACTION_SCORE')} AS AVG_SATISFACTION, SUM(w.TOTAL_REVENUE) AS TOTAL_REVENUE, "
        f"{average('w.GUEST_COUNT')} AS AVG_GUEST_COUNT {facts} WHERE w.COMPLETION_STATUS = 'completed' "
        f"GROUP BY {supplier}, {dialect.month(day)}",
        SEASONS_TABLE: f"SELECT {part('MONTH', day)} AS WEDDING_MONTH, {part('YEAR', day)} AS WEDDING_YEAR, "
        f"s.SUPPLIER_CATEGORY, COUNT(*) AS BOOKING_COUNT, {average('w.TOTAL_REVENUE')} AS AVG_REVENUE, "
        f"{dialect.median('w.GUEST_COUNT')} AS MEDIAN_GUESTS {facts}{medians} GROUP BY {season}",
    }


def usual_query(dialect: Dialect) -> str:
    """Return what is asked of the marts most, answered with one row.

    Thousands of rows on their way here would hide what an arrangement of the tables brings.
    """
    highest = ", ".join(f"MAX(q.{name})" for name in _MEASURES)
    return f"SELECT {highest} FROM ({analytics(dialect)[METRICS_TABLE]}) q"
