"""The queries that find what a load changes in the star; each fills one of the loader's own tables.

A MERGE then writes exactly these rows, so that what is created and updated is counted before it is written, alike in
every warehouse, and a load that changes nothing writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.model import (
    CHANGED_AT,
    DATES_TABLE,
    DIMENSIONS,
    FACT_TABLE,
    FIRST_DAY,
    FOREVER,
    LOADS_TABLE,
    NEXT_FACTS,
    STAGING_TABLE,
    Dimension,
    Type,
)

CREATED, UPDATED, SEEN = "created", "updated", "seen"
"""What a row about to be written is to the facts: new, changed, or in a known state with a later date or version."""


class Statements:
    """The queries of one load.

    Args:
        dialect: how the warehouse spells what differs.
        batch_id: the load.
        as_of: the day from which its new versions hold.
        loaded_at: the instant written beside the facts.
        late: whether a load of a later day has been here before, so that this one is put in its place.
    """

    def __init__(self, dialect: Dialect, batch_id: str, as_of: date, loaded_at: datetime, *, late: bool) -> None:
        self._dialect = dialect
        self._batch = dialect.text(batch_id)
        self._as_of = dialect.day(as_of)
        self._now = dialect.instant(loaded_at)
        self._forever = dialect.day(FOREVER)
        self.late = late

    def dates(self) -> str:
        """Return the query for the batch's days that DIM_DATES lacks."""
        part, day = self._dialect.part, "s.WEDDING_DATE"
        weekday = self._dialect.weekday(day)
        return (
            f"SELECT {self._date_key(day)}, {day}, {part('YEAR', day)}, {part('QUARTER', day)}, {part('MONTH', day)}, "
            f"{part('DAY', day)}, {weekday}, {self._dialect.boolean(f'{weekday} >= 6')} "
            f"FROM (SELECT DISTINCT WEDDING_DATE FROM {STAGING_TABLE.name} WHERE BATCH_ID = {self._batch}) s "
            f"LEFT JOIN {DATES_TABLE.name} d ON d.FULL_DATE = s.WEDDING_DATE WHERE d.FULL_DATE IS NULL"
        )

    def incoming(self, dimension: Dimension, *, anew: bool) -> str:
        """Return the query for what is to be told of the batch's members.

        Of a load's rows about one member the newest counts, and of two loads of one day the later one.

        Args:
            dimension: whose members.
            anew: whether their whole story is told again, from what STAGING keeps of every load, because this one is
                late or corrects a version of its own day; else only what is new or has changed.
        """
        names = _listed("x", dimension.attributes)
        newest = f"COALESCE(w.{CHANGED_AT}, {self._dialect.instant(_NEVER)}) DESC, w.ROW_NUMBER DESC"
        members = _listed("w", dimension.business_key)
        mine = f"w.BATCH_ID = {self._batch} AND {_all_there('w', dimension)}"
        if anew:
            loads = (
                f"SELECT BATCH_ID, AS_OF, SEQUENCE FROM {LOADS_TABLE.name} WHERE LAYER = 'MARTS' "
                f"AND BATCH_ID <> {self._batch} UNION ALL SELECT {self._batch}, {self._as_of}, {_LAST}"
            )
            turn = f"ROW_NUMBER() OVER (PARTITION BY {members}, l.AS_OF ORDER BY l.SEQUENCE DESC, {newest})"
            return (
                f"SELECT {names}, x.{dimension.fingerprint}, x.ROW_NUMBER, x.AS_OF "
                f"FROM (SELECT w.*, l.AS_OF, {turn} AS TURN FROM {STAGING_TABLE.name} w "
                f"JOIN (SELECT DISTINCT {members} FROM {STAGING_TABLE.name} w WHERE {mine}) m "
                f"ON {_same('m', 'w', dimension)} JOIN ({loads}) l ON l.BATCH_ID = w.BATCH_ID) x WHERE x.TURN = 1"
            )
        turn = f"ROW_NUMBER() OVER (PARTITION BY {members} ORDER BY {newest})"
        return (
            f"SELECT {names}, x.{dimension.fingerprint}, x.ROW_NUMBER, {self._as_of} "
            f"FROM (SELECT w.*, {turn} AS TURN FROM {STAGING_TABLE.name} w WHERE {mine}) x "
            f"LEFT JOIN {self._current(dimension, 'x')} "
            f"WHERE x.TURN = 1 AND (c.{dimension.key} IS NULL OR c.ROW_FINGERPRINT <> x.{dimension.fingerprint})"
        )

    def begun_today(self, dimension: Dimension) -> str:
        """Return the count of the changed members whose version began on this very day, or later."""
        return (
            f"SELECT COUNT(*) FROM {dimension.incoming.name} i JOIN {self._current(dimension, 'i')} "
            f"WHERE c.EFFECTIVE_DATE >= {self._as_of}"
        )

    def versions(self, dimension: Dimension, *, anew: bool) -> str:
        """Return the query for the versions to write, from what is incoming."""
        return self._told_anew(dimension) if anew else self._changed(dimension)

    def _changed(self, dimension: Dimension) -> str:
        """The version that holds ends and is followed."""
        key, incoming = dimension.key, dimension.incoming.name
        own, told = _listed("c", dimension.attributes), _listed("i", dimension.attributes)
        current = self._current(dimension, "i")
        fresh = f"{_highest(dimension.table.name, key)} + ROW_NUMBER() OVER (ORDER BY i.ROW_NUMBER)"
        return (
            f"SELECT c.{key}, {own}, c.EFFECTIVE_DATE, {self._as_of}, c.VERSION, c.ROW_FINGERPRINT "
            f"FROM {incoming} i JOIN {current} UNION ALL "
            f"SELECT {fresh}, {told}, {self._as_of}, {self._forever}, COALESCE(c.VERSION, 0) + 1, i.FINGERPRINT "
            f"FROM {incoming} i LEFT JOIN {current}"
        )

    def _told_anew(self, dimension: Dimension) -> str:
        """A version keeps its key when it begins on the same day as before, or only its beginning has moved."""
        key, table, members = dimension.key, dimension.table.name, ", ".join(dimension.business_key)
        by_day = f"PARTITION BY {members} ORDER BY AS_OF"
        changes = f"SELECT i.*, LAG(FINGERPRINT) OVER ({by_day}) AS EARLIER FROM {dimension.incoming.name} i"
        versions = (
            f"SELECT {', '.join(dimension.attributes)}, FINGERPRINT, ROW_NUMBER, AS_OF AS EFFECTIVE_DATE, "
            f"COALESCE(LEAD(AS_OF) OVER ({by_day}), {self._forever}) AS EXPIRY_DATE, "
            f"ROW_NUMBER() OVER ({by_day}) AS VERSION FROM ({changes}) b "
            "WHERE EARLIER IS NULL OR EARLIER <> FINGERPRINT"
        )
        kept = (
            f"SELECT {_listed('o', dimension.business_key)}, o.EFFECTIVE_DATE, MIN(c.{key}) AS KEPT "
            f"FROM ({versions}) o JOIN {table} c ON {_same('c', 'o', dimension)} "
            "AND c.ROW_FINGERPRINT = o.FINGERPRINT AND c.EFFECTIVE_DATE >= o.EFFECTIVE_DATE "
            "AND c.EFFECTIVE_DATE < o.EXPIRY_DATE "
            f"GROUP BY {_listed('o', dimension.business_key)}, o.EFFECTIVE_DATE"
        )
        order = f"v.ROW_NUMBER, v.VERSION, {_listed('v', dimension.business_key)}"
        # Numbered among themselves, so that a story told again gives the keys it gave before.
        fresh = f"ROW_NUMBER() OVER (PARTITION BY CASE WHEN k.KEPT IS NULL THEN 1 ELSE 0 END ORDER BY {order})"
        return (
            f"SELECT COALESCE(k.KEPT, {_highest(table, key)} + {fresh}), {_listed('v', dimension.attributes)}, "
            f"v.EFFECTIVE_DATE, v.EXPIRY_DATE, v.VERSION, v.FINGERPRINT FROM ({versions}) v LEFT JOIN ({kept}) k "
            f"ON {_same('k', 'v', dimension)} AND k.EFFECTIVE_DATE = v.EFFECTIVE_DATE"
        )

    def new_versions(self, dimension: Dimension) -> str:
        """Return the query for two numbers: the versions about to be added, and those known before."""
        added = f"CASE WHEN c.{dimension.key} IS NULL THEN 1 ELSE 0 END"
        return (
            f"SELECT COALESCE(SUM({added}), 0), COALESCE(SUM(1 - {added}), 0) FROM {dimension.next.name} n "
            f"LEFT JOIN {dimension.table.name} c ON c.{dimension.key} = n.{dimension.key}"
        )

    def drop_versions(self, dimension: Dimension) -> str:
        """Return the DELETE of the versions for which a story told anew has no place."""
        table, following, key = dimension.table.name, dimension.next.name, dimension.key
        # Without a schema: GoogleSQL takes the rest of a dotted name for fields.
        own = table.rpartition(".")[2]
        told = " AND ".join(f"n.{name} = {own}.{name}" for name in dimension.business_key)
        return (
            f"DELETE FROM {table} WHERE EXISTS (SELECT 1 FROM {following} n WHERE {told}) "
            f"AND {key} NOT IN (SELECT {key} FROM {following})"
        )

    def moved_facts(self, dimension: Dimension, *, anew: bool) -> str:
        """Return the query for the facts whose wedding day now lies in another version of a changed member."""
        table, key, following = dimension.table.name, dimension.key, dimension.next.name
        columns = ", ".join(f"v.{name}" if name == key else f"f.{name}" for name in FACT_TABLE.names)
        told = f"SELECT 1 FROM {following} n WHERE {_same('n', 'o', dimension)}"
        # Told anew, only what stands among the following versions stays.
        stays = f" AND v.{key} IN (SELECT {key} FROM {following})" if anew else ""
        return (
            f"SELECT {columns}, '{SEEN}' FROM {FACT_TABLE.name} f JOIN {table} o ON o.{key} = f.{key} "
            f"JOIN {table} v ON {_same('v', 'o', dimension)} AND {_covers(self._dialect, 'v', 'f.WEDDING_DATE')} "
            f"WHERE v.{key} <> f.{key} AND EXISTS ({told}){stays}"
        )

    def facts(self) -> str:
        """Return the query for the batch's facts that are new, changed, or known with an earlier date of change.

        A fact has the newest state by the source's date of change, else by the day of the load, and leads to the
        versions of its members that hold on the wedding day.
        """
        joins = " ".join(
            f"LEFT JOIN {dimension.table.name} d{index} ON {_same(f'd{index}', 'w', dimension)} "
            f"AND {_covers(self._dialect, f'd{index}', 'w.WEDDING_DATE')}"
            for index, dimension in enumerate(DIMENSIONS)
        )
        found = {dimension.key: f"COALESCE(d{index}.{dimension.key}, 0)" for index, dimension in enumerate(DIMENSIONS)}
        new = "f.WEDDING_SK IS NULL"
        changed = "f.ROW_FINGERPRINT <> w.FACT_FINGERPRINT"
        fresh = f"{_highest(FACT_TABLE.name, 'WEDDING_SK')} + ROW_NUMBER() OVER (ORDER BY w.ROW_NUMBER)"
        values = {
            "WEDDING_SK": f"COALESCE(f.WEDDING_SK, {fresh})",
            "DATE_SK": self._date_key("w.WEDDING_DATE"),
            "SOURCE_UPDATED_AT": f"COALESCE(w.{CHANGED_AT}, f.SOURCE_UPDATED_AT)",
            "CREATED_AT": f"COALESCE(f.CREATED_AT, {self._now})",
            "UPDATED_AT": f"CASE WHEN {changed} THEN {self._now} ELSE f.UPDATED_AT END",
            "ROW_FINGERPRINT": "w.FACT_FINGERPRINT",
            **found,
        }
        kind = f"CASE WHEN {new} THEN '{CREATED}' WHEN {changed} THEN '{UPDATED}' ELSE '{SEEN}' END"
        columns = ", ".join(values.get(name, f"w.{name}") for name in FACT_TABLE.names)
        return (
            f"SELECT {columns}, {kind} FROM {STAGING_TABLE.name} w {joins} "
            f"LEFT JOIN {FACT_TABLE.name} f ON f.WEDDING_ID = w.WEDDING_ID {self._later()}"
            f"WHERE w.BATCH_ID = {self._batch} AND ({new} OR {changed} OR w.{CHANGED_AT} > f.SOURCE_UPDATED_AT) "
            f"AND ({new} OR {self._not_superseded()})"
        )

    def standing(self) -> str:
        """Return the count of the batch's rows whose fact has their state, or one that a later load gave it."""
        done = f"FROM {LOADS_TABLE.name} WHERE LAYER = 'MARTS'"
        later = f"SELECT BATCH_ID {done} AND SEQUENCE > (SELECT MAX(SEQUENCE) {done} AND BATCH_ID = {self._batch})"
        return (
            f"SELECT COUNT(*) FROM {STAGING_TABLE.name} w JOIN {FACT_TABLE.name} f ON f.WEDDING_ID = w.WEDDING_ID "
            f"{self._later()}WHERE w.BATCH_ID = {self._batch} "
            f"AND (f.ROW_FINGERPRINT = w.FACT_FINGERPRINT OR NOT ({self._not_superseded()}) OR f.BATCH_ID IN ({later}))"
        )

    def _not_superseded(self) -> str:
        """Whether no newer state than the row's is known, as a condition that is never NULL."""
        newer = f"f.SOURCE_UPDATED_AT > w.{CHANGED_AT}"
        dated = f"f.SOURCE_UPDATED_AT IS NOT NULL AND w.{CHANGED_AT} IS NOT NULL"
        if not self.late:
            return f"CASE WHEN {dated} AND {newer} THEN 1 ELSE 0 END = 0"
        same = f"NOT ({dated}) OR f.SOURCE_UPDATED_AT = w.{CHANGED_AT}"
        seen = f"w.{CHANGED_AT} IS NULL OR later.CHANGED >= w.{CHANGED_AT}"
        known = f"({same}) AND later.WEDDING_ID IS NOT NULL AND ({seen})"
        return f"CASE WHEN {dated} AND {newer} THEN 1 WHEN {known} THEN 1 ELSE 0 END = 0"

    def _later(self) -> str:
        """Return the join with what loads of later days have seen, for a load that is late."""
        if not self.late:
            return ""
        forever = f"CAST({self._forever} AS {self._dialect.types[Type.TIMESTAMP]})"
        return (
            f"LEFT JOIN (SELECT x.WEDDING_ID, MAX(COALESCE(x.{CHANGED_AT}, {forever})) AS CHANGED "
            f"FROM {STAGING_TABLE.name} x JOIN {LOADS_TABLE.name} l ON l.BATCH_ID = x.BATCH_ID "
            f"WHERE l.LAYER = 'MARTS' AND l.AS_OF > {self._as_of} GROUP BY x.WEDDING_ID) later "
            "ON later.WEDDING_ID = w.WEDDING_ID "
        )

    def _date_key(self, day: str) -> str:
        part = self._dialect.part
        return f"{part('YEAR', day)} * 10000 + {part('MONTH', day)} * 100 + {part('DAY', day)}"

    def _current(self, dimension: Dimension, alias: str) -> str:
        return f"{dimension.table.name} c ON {_same('c', alias, dimension)} AND c.EXPIRY_DATE = {self._forever}"


_NEVER = datetime.fromisoformat(FIRST_DAY)
_LAST = 2_000_000_000
"""The sequence of the load at work, which has none yet: it is the latest."""

CHANGES = f"SELECT CHANGE_KIND, COUNT(*) FROM {NEXT_FACTS.name} GROUP BY CHANGE_KIND"
"""The query for (kind, number) of the facts about to be written."""


def later_loads(dialect: Dialect, batch_id: str, as_of: date) -> str:
    """Return the count of other finished loads of later days."""
    return (
        f"SELECT COUNT(*) FROM {LOADS_TABLE.name} WHERE LAYER = 'MARTS' AND AS_OF > {dialect.day(as_of)} "
        f"AND BATCH_ID <> {dialect.text(batch_id)}"
    )


def _listed(alias: str, names: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


def _same(left: str, right: str, dimension: Dimension) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in dimension.business_key)


def _all_there(alias: str, dimension: Dimension) -> str:
    return " AND ".join(f"{alias}.{name} IS NOT NULL" for name in dimension.business_key)


def _highest(table: str, key: str) -> str:
    return f"(SELECT COALESCE(MAX({key}), 0) FROM {table})"


def _covers(dialect: Dialect, version: str, day: str) -> str:
    """Return the condition that a version holds on a day; the first one holds before its beginning too.

    Each side of a comparison is of one table: an OR over both keeps some engines from hashing the outer join, and they
    compare every row with every version.
    """
    begins = f"CASE WHEN {version}.VERSION = 1 THEN {dialect.day(FIRST_DAY)} ELSE {version}.EFFECTIVE_DATE END"
    return f"{begins} <= {day} AND {version}.EXPIRY_DATE > {day}"
