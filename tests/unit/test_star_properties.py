"""The star after any loads in any order of their days, against a slow model that tells every story from the start."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.connectors.warehouse import loading, marts, model, statements
from activities.connectors.warehouse.loading import Loader
from activities.connectors.warehouse.model import VENUES, dimension
from activities.transform.star import VENUE
from contracts.errors import Transient
from contracts.etl import EtlBatch, Layer
from tests.support.duckdb_warehouse import RepeatableSql, Session, StatementByStatement, warehouse
from tests.support.warehouse_suite import Dying, layer

DAY = date(2027, 1, 1)
COMPOUND = dimension("VENUES", "VENUE_SK", VENUE, "VENUE_FINGERPRINT", key_fields=2)
Version = tuple[date, date, str | None]


@dataclass(frozen=True)
class Row:
    """A wedding as a load sees it: all values small, so that stories cross."""

    wedding: int
    on: int
    guests: int
    supplier: int | None
    category: str
    venue: tuple[int, int] | None
    city: str
    changed: int

    def record(self, *, dated: bool) -> dict[str, str]:
        values: dict[str, Any] = {
            "weddingId": f"wed-{self.wedding}",
            "weddingDate": (DAY + timedelta(days=self.on)).isoformat(),
            "guestCount": str(self.guests),
        }
        if self.supplier is not None:
            values |= {"supplierId": f"sup-{self.supplier}", "supplierCategory": self.category}
        if self.venue is not None:
            values |= {"venueId": f"ven-{self.venue[0]}", "venueName": f"hall {self.venue[1]}", "venueCity": self.city}
        if dated:
            values["updatedAt"] = f"2026-12-01T{self.changed:02d}:00:00"
        return values


ROWS = st.lists(
    st.builds(
        Row,
        wedding=st.integers(0, 3),
        on=st.integers(0, 9),
        guests=st.integers(1, 3),
        supplier=st.none() | st.integers(0, 1),
        category=st.sampled_from("ab"),
        venue=st.none() | st.tuples(st.integers(0, 1), st.integers(0, 1)),
        city=st.sampled_from("xy"),
        changed=st.integers(0, 3),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row.wedding,
)
LOADS = st.lists(st.tuples(st.integers(0, 5), ROWS), min_size=1, max_size=6)


def loaded(loads: list[tuple[int, list[Row]]], folder: Path, *, dated: bool) -> tuple[Loader, Session]:
    loader, session = warehouse()
    for number, (day, rows) in enumerate(loads):
        bring(loader, folder, number, day, rows, dated=dated)
    return loader, session


def bring(loader: Loader, folder: Path, number: int, day: int, rows: list[Row], *, dated: bool, run: str = "1") -> Any:
    batch = EtlBatch(
        etl_id=f"etl-{number}",
        organization_id="lumen",
        integration_id="main",
        run_id=f"run-{number}-{run}",
        as_of=DAY + timedelta(days=day),
    )
    files = layer(folder, Layer.STAGING, [row.record(dated=dated) for row in rows], batch.etl_id)
    loader.load_layer(batch, files)
    return loader.load_marts(batch)


def told(loads: list[tuple[int, list[Row]]], *, dated: bool, member: Any, words: Any) -> dict[Any, list[Version]]:
    """Return each member's versions: what was newest on each day, one after the other, equal neighbours being one."""
    seen: dict[Any, dict[int, str]] = defaultdict(dict)
    for day, rows in loads:
        newest = sorted(enumerate(rows), key=lambda item: (item[1].changed if dated else 0, item[0]))
        for _, row in newest:
            if member(row) is not None:
                seen[member(row)][day] = words(row)
    versions: dict[Any, list[Version]] = {}
    for key, days in seen.items():
        story = sorted(days.items())
        starts = [
            one for one, before in zip(story, [None, *story], strict=False) if before is None or before[1] != one[1]
        ]
        ends = [start for start, _ in starts[1:]]
        versions[key] = [
            (DAY + timedelta(days=start), DAY + timedelta(days=end) if end is not None else date(9999, 12, 31), said)
            for (start, said), end in zip(starts, [*ends, None], strict=True)
        ]
    return versions


def winners(loads: list[tuple[int, list[Row]]], *, dated: bool) -> dict[int, Row]:
    """Return the newest state of each wedding."""
    seen: dict[int, list[tuple[Any, Row]]] = defaultdict(list)
    for number, (day, rows) in enumerate(loads):
        for row in rows:
            seen[row.wedding].append(((row.changed if dated else 0, day, number), row))
    return {wedding: max(states, key=lambda state: state[0])[1] for wedding, states in seen.items()}


def held(versions: list[Version], day: date) -> str | None:
    """Return what a member is on a day; before its first version, what that says."""
    for start, end, said in versions:
        if day < end and (start <= day or (start, end, said) == versions[0]):
            return said
    return None


def found_versions(session: Session, table: str, keys: tuple[str, ...], words: str) -> dict[Any, list[Version]]:
    versions: dict[Any, list[Version]] = defaultdict(list)
    for row in session.rows(table, "EFFECTIVE_DATE"):
        if row[keys[0]] != "(unknown)":
            key = tuple(row[name] for name in keys)
            versions[key].append((row["EFFECTIVE_DATE"], row["EXPIRY_DATE"], row[words]))
    return dict(versions)


def facts(session: Session) -> dict[str, tuple[Any, ...]]:
    """Return wedding -> its state, and what its members are on its day."""
    found = session.connection.execute(
        "SELECT f.WEDDING_ID, f.WEDDING_DATE, f.GUEST_COUNT, s.SUPPLIER_CATEGORY, v.VENUE_CITY "
        "FROM WEDDING_MARTS.FACT_WEDDINGS f JOIN WEDDING_MARTS.DIM_SUPPLIERS s USING (SUPPLIER_SK) "
        "JOIN WEDDING_MARTS.DIM_VENUES v USING (VENUE_SK)"
    ).fetchall()
    return {row[0]: row[1:] for row in found}


@pytest.fixture(scope="module", autouse=True)
def _venues_have_two_keys():
    """A venue's halls have versions of their own here, so that keys of two columns are proven too."""
    changed = tuple(COMPOUND if one is VENUES else one for one in model.DIMENSIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "DIMENSIONS", changed)
        patch.setattr(marts, "DIMENSIONS", changed)
        patch.setattr(statements, "DIMENSIONS", changed)
        yield


@settings(max_examples=60)
@given(loads=LOADS, dated=st.booleans())
def test_any_loads_in_any_order_leave_what_the_model_says(loads: list[tuple[int, list[Row]]], *, dated: bool):
    with TemporaryDirectory() as folder:
        _, session = loaded(loads, Path(folder), dated=dated)
    suppliers = told(loads, dated=dated, member=lambda row: _key(row.supplier, "sup"), words=lambda row: row.category)
    venues = told(loads, dated=dated, member=_hall, words=lambda row: row.city)
    assert found_versions(session, "WEDDING_MARTS.DIM_SUPPLIERS", ("SUPPLIER_ID",), "SUPPLIER_CATEGORY") == suppliers
    assert found_versions(session, "WEDDING_MARTS.DIM_VENUES", ("VENUE_ID", "VENUE_NAME"), "VENUE_CITY") == venues
    expected = {}
    for row in winners(loads, dated=dated).values():
        day = DAY + timedelta(days=row.on)
        supplier, hall = _key(row.supplier, "sup"), _hall(row)
        expected[f"wed-{row.wedding}"] = (
            day,
            row.guests,
            held(suppliers[supplier], day) if supplier else None,
            held(venues[hall], day) if hall else None,
        )
    assert facts(session) == expected


def _key(number: int | None, word: str) -> tuple[str, ...] | None:
    return None if number is None else (f"{word}-{number}",)


def _hall(row: Row) -> tuple[str, ...] | None:
    return None if row.venue is None else (f"ven-{row.venue[0]}", f"hall {row.venue[1]}")


@settings(max_examples=15)
@given(loads=LOADS, dated=st.booleans())
def test_a_finished_load_that_is_run_again_changes_not_one_row(loads: list[tuple[int, list[Row]]], *, dated: bool):
    with TemporaryDirectory() as name:
        folder = Path(name)
        loader, session = loaded(loads, folder, dated=dated)
        tables = [table.name for table in model.TABLES]
        before = {table: session.rows(table) for table in tables}
        for number, (day, rows) in enumerate(loads):
            again = bring(loader, folder, number, day, rows, dated=dated, run="2")
            assert (again.created, again.updated, again.standing) == (0, 0, len(rows))
    assert {table: session.rows(table) for table in tables} == before


@settings(max_examples=15)
@given(loads=LOADS, dated=st.booleans())
def test_the_books_of_a_load_close_whatever_came_before_it(loads: Any, *, dated: bool):
    with TemporaryDirectory() as name:
        loader, _ = loaded(loads[:-1], Path(name), dated=dated)
        result = bring(loader, Path(name), len(loads) - 1, *loads[-1], dated=dated)
    rows = len(loads[-1][1])
    assert result.created + result.updated + result.unchanged == result.standing == rows


def rows_of_marts(session: Session) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of the marts, without the times at which they were written."""
    times = {"CREATED_AT", "UPDATED_AT"}
    return {
        table.name: [
            {name: value for name, value in row.items() if name not in times}
            for row in session.rows(table.name, table.names[0])
        ]
        for table in model.MART_TABLES
    }


@settings(max_examples=25)
@given(loads=LOADS, dated=st.booleans(), at=st.integers(1, 60), after=st.booleans())
def test_f3_without_transactions_a_load_cut_anywhere_ends_like_a_whole_one(
    loads: Any, *, dated: bool, at: int, after: bool
):
    held, told_books = [], []
    for cut in (0, at):
        session = StatementByStatement()
        loader = Loader(session, RepeatableSql(), "duckdb")
        loader.provision()
        with TemporaryDirectory() as folder:
            for number, (day, rows) in enumerate(loads):
                dying = Loader(Dying(session, cut, after=after), RepeatableSql(), "duckdb")
                with suppress(Transient):
                    bring(dying, Path(folder), number, day, rows, dated=dated)
                books = bring(loader, Path(folder), number, day, rows, dated=dated)
        held.append(rows_of_marts(session))
        told_books.append(books)
    assert held[0] == held[1]
    assert told_books[0] == told_books[1]


def test_versions_keep_their_keys_when_a_late_load_splits_one(tmp_path: Path):
    row = Row(wedding=0, on=9, guests=1, supplier=0, category="a", venue=None, city="x", changed=0)
    loads = [(0, [row]), (4, [row]), (2, [replace(row, category="b")])]
    _, session = loaded(loads, tmp_path, dated=False)
    versions = [
        (one["SUPPLIER_SK"], one["SUPPLIER_CATEGORY"], one["VERSION"])
        for one in session.rows("WEDDING_MARTS.DIM_SUPPLIERS", "EFFECTIVE_DATE")
        if one["SUPPLIER_SK"]
    ]
    assert [(key == 1, said, number) for key, said, number in versions] == [
        (True, "a", 1),
        (False, "b", 2),
        (False, "a", 3),
    ]
