"""What every warehouse connector promises, as tests that a connector's own test class inherits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import duckdb
import pytest

from activities.connectors.warehouse.model import (
    CLIENTS,
    FACT_TABLE,
    FOREVER,
    METRICS_TABLE,
    SEASONS_TABLE,
    SUPPLIERS,
    VENUES,
)
from activities.connectors.warehouse.sql_warehouse import SqlWarehouse, WarehouseSession
from activities.ports.warehouse import LayerFiles, WarehouseConnector
from activities.transform import quality
from activities.transform.star import FIELDS
from contracts.errors import Permanent, Transient
from contracts.etl import EtlBatch, Layer, MartsLoaded


class Stand(Protocol):
    """A stand-in as the suite sees it; names are SCHEMA.TABLE in upper case, days ISO texts or dates."""

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return a table's rows, columns in upper case."""
        ...

    def writes(self) -> int:
        """Return how many statements have changed something so far."""
        ...

    def reset(self) -> None:
        """Drop all data."""
        ...


def batch(etl_id: str = "etl-1", run_id: str = "run-1", day: str = "2027-01-10") -> EtlBatch:
    return EtlBatch(
        etl_id=etl_id,
        organization_id="lumen",
        integration_id="warehouse-main",
        run_id=run_id,
        as_of=date.fromisoformat(day),
    )


def layer(folder: Path, name: Layer, weddings: list[dict[str, str]], etl_id: str = "etl-1") -> LayerFiles:
    """Write the rows as one Parquet part, the way the extract does."""
    path = folder / f"{name}-{etl_id}.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE TABLE judged ({quality.ROW} BIGINT, {', '.join(f'{field.column} VARCHAR' for field in FIELDS)})"
        )
        values = [[number, *(one.get(field.name) for field in FIELDS)] for number, one in enumerate(weddings, 1)]
        if values:
            connection.executemany(f"INSERT INTO judged VALUES ({', '.join('?' * len(values[0]))})", values)
        lineage = f"'{etl_id}' AS BATCH_ID, {quality.ROW} AS ROW_NUMBER"
        texts = ", ".join(field.column for field in FIELDS)
        select = (
            f"SELECT {lineage}, {texts}, NULL::VARCHAR AS REJECTED_BECAUSE, NULL::VARCHAR AS REJECTED_RECORD, "
            "now()::TIMESTAMP AS LOADED_AT FROM judged"
            if name is Layer.RAW
            else quality.typed_rows(lineage, "TRUE")
        )
        connection.execute(f"COPY ({select}) TO '{path}'")
    digest = hashlib.md5(json.dumps(weddings).encode(), usedforsecurity=False).hexdigest()
    return LayerFiles(name, [path], len(weddings), digest)


WEDDINGS = [
    {
        "weddingId": f"wed-{number}",
        "weddingDate": "2027-06-12",
        "guestCount": "80",
        "totalRevenue": "1000.50",
        "completionStatus": "completed",
        "supplierId": f"sup-{number % 2}",
        "supplierName": "Lumen",
        "supplierCategory": "photography",
        "clientId": f"cl-{number}",
        "venueId": "ven-1",
        "isActive": "true",
        "joinedDate": "2020-02-29",
        "updatedAt": "2027-01-09T10:11:12",
    }
    for number in range(4)
]
CHANGED = [
    {**wedding, "supplierCategory": "video", "guestCount": "90", "updatedAt": "2027-01-31T00:00:00"}
    for wedding in WEDDINGS
    if wedding["supplierId"] == "sup-0"
]


async def load(
    connector: WarehouseConnector, folder: Path, weddings: list[dict[str, str]], given: EtlBatch
) -> MartsLoaded:
    for name in Layer:
        await connector.load_layer(given, layer(folder, name, weddings, given.etl_id))
    return await connector.load_marts(given)


class Dying:
    """A session that is lost with its `at`-th statement, before or after it took effect."""

    def __init__(self, session: WarehouseSession, at: int, *, after: bool) -> None:
        self._session, self._at, self._after, self._count = session, at, after, 0

    def run(self, operation: str, sql: str, *, writes: bool = True) -> list[tuple[Any, ...]]:
        return self._mortal(lambda: self._session.run(operation, sql, writes=writes))

    def transaction(self, operation: str) -> AbstractContextManager[None]:
        return self._session.transaction(operation)

    def stage(self, *given: Any) -> None:
        self._mortal(lambda: self._session.stage(*given))

    def append(self, *given: Any) -> None:
        self._mortal(lambda: self._session.append(*given))

    def unstage(self, *given: Any) -> None:
        self._session.unstage(*given)

    def tag(self, query_tag: str) -> None:
        self._session.tag(query_tag)

    def close(self) -> None:
        self._session.close()

    def _mortal(self, call: Callable[[], Any]) -> Any:
        self._count += 1
        if self._count == self._at and not self._after:
            self._session.close()
            raise Transient("worker_lost", "The worker was lost.")
        answer = call()
        if self._count == self._at:
            self._session.close()
            raise Transient("worker_lost", "The worker was lost.")
        return answer


def content(stand: Stand) -> dict[str, list[str]]:
    """Return what the marts and the analytics say, without the times at which they were written."""
    tables = [FACT_TABLE.name, *(one.table.name for one in (SUPPLIERS, CLIENTS, VENUES)), METRICS_TABLE, SEASONS_TABLE]
    return {
        table: sorted(
            json.dumps({name: _plain(value) for name, value in row.items() if name not in {"CREATED_AT", "UPDATED_AT"}})
            for row in stand.rows(table)
        )
        for table in tables
    }


def _plain(value: Any) -> Any:
    """Return a value as every warehouse shows it: numbers without trailing zeros, days and instants as ISO texts."""
    if isinstance(value, bool) or value is None:
        return value
    try:
        return f"{float(value):.6g}"
    except (TypeError, ValueError):
        return str(value).replace(" ", "T").removesuffix("T00:00:00")


class WarehouseSuite:
    """The promises; a subclass named `Test...` says whose they are and gives the fixture `stand`."""

    seams: ClassVar[int] = 1
    """Every how many statements a worker is lost in the test of the seams; `--every-seam` tries those between too."""

    def connector(self, stand: Any) -> SqlWarehouse:
        """Return an open connector to the stand-in."""
        raise NotImplementedError

    async def test_it_is_a_warehouse_that_answers(self, stand):
        connector = self.connector(stand)
        assert isinstance(connector, WarehouseConnector)
        assert (await connector.probe()).ok

    async def test_a_second_provision_changes_nothing(self, stand):
        connector = self.connector(stand)
        assert FACT_TABLE.name in (await connector.provision()).created
        before = stand.writes()
        assert (await connector.provision()).created == []
        assert stand.writes() == before

    async def test_a_table_of_an_earlier_release_gets_the_columns_it_lacks(self, stand):
        connector = self.connector(stand)
        await connector.provision()
        drop = f"ALTER TABLE {FACT_TABLE.name} DROP COLUMN SOURCE_UPDATED_AT"
        await connector._in_session(1, "test", lambda _, session: session.run("test", drop))
        await connector.provision()
        await connector._in_session(
            1, "test", lambda _, session: session.run("test", f"SELECT SOURCE_UPDATED_AT FROM {FACT_TABLE.name}")
        )

    async def test_a_load_fills_facts_and_dimensions_once(self, stand, tmp_path):
        connector = self.connector(stand)
        await connector.provision()
        first = await load(connector, tmp_path, WEDDINGS, batch())
        assert (first.created, first.updated, first.standing, first.dimension_rows) == (4, 0, 4, 2 + 4 + 1)
        before = stand.writes()
        again = await load(connector, tmp_path, WEDDINGS, batch(run_id="run-2"))
        assert (again.created, again.updated, again.unchanged, again.standing) == (0, 0, 4, 4)
        assert stand.writes() == before

    async def test_values_arrive_as_they_were_sent(self, stand, tmp_path):
        connector = self.connector(stand)
        await connector.provision()
        await load(connector, tmp_path, WEDDINGS, batch())
        fact = next(row for row in stand.rows(FACT_TABLE.name) if row["WEDDING_ID"] == "wed-1")
        supplier = next(row for row in stand.rows(SUPPLIERS.table.name) if row["SUPPLIER_ID"] == "sup-1")
        assert (_plain(fact["TOTAL_REVENUE"]), _plain(fact["WEDDING_DATE"])) == ("1000.5", "2027-06-12")
        assert (fact["BATCH_ID"], _plain(fact["ROW_NUMBER"]), _plain(fact["DATE_SK"])) == ("etl-1", "2", "2.02706e+07")
        assert (bool(supplier["IS_ACTIVE"]), _plain(supplier["JOINED_DATE"])) == (True, "2020-02-29")

    async def test_the_same_rows_under_another_id_leave_every_fact_as_it_is(self, stand, tmp_path):
        connector = self.connector(stand)
        await connector.provision()
        await load(connector, tmp_path, WEDDINGS, batch())
        again = await load(connector, tmp_path, WEDDINGS, batch("etl-2", "run-2"))
        assert (again.created, again.updated, again.unchanged, again.dimension_rows) == (0, 0, 4, 0)

    async def test_a_changed_supplier_gets_a_new_version_and_keeps_the_old_one(self, stand, tmp_path):
        connector = self.connector(stand)
        await connector.provision()
        await load(connector, tmp_path, WEDDINGS, batch())
        await load(connector, tmp_path, CHANGED, batch("etl-2", "run-2", "2027-02-01"))
        assert self.versions(stand) == [("photography", "2027-01-10", "2027-02-01"), ("video", "2027-02-01", FOREVER)]

    async def test_a_late_load_takes_its_place_and_overwrites_nothing_newer(self, stand, tmp_path):
        connector = self.connector(stand)
        await connector.provision()
        await load(connector, tmp_path, CHANGED, batch("etl-2", "run-2", "2027-02-01"))
        late = await load(connector, tmp_path, WEDDINGS, batch())
        assert self.versions(stand) == [("photography", "2027-01-10", "2027-02-01"), ("video", "2027-02-01", FOREVER)]
        assert (late.created, late.updated, late.unchanged, late.standing) == (2, 0, 2, 4)
        guests = {row["WEDDING_ID"]: int(row["GUEST_COUNT"]) for row in stand.rows(FACT_TABLE.name)}
        assert guests == {"wed-0": 90, "wed-1": 80, "wed-2": 90, "wed-3": 80}

    def versions(self, stand: Stand) -> list[tuple[str, str, str]]:
        """Return category, first day and day after the last of the first supplier's versions."""
        return sorted(
            (row["SUPPLIER_CATEGORY"], _plain(row["EFFECTIVE_DATE"]), _plain(row["EXPIRY_DATE"]))
            for row in stand.rows(SUPPLIERS.table.name)
            if row["SUPPLIER_ID"] == "sup-0"
        )

    async def test_a_wedding_without_supplier_points_to_the_unknown_member(self, stand, tmp_path):
        connector = self.connector(stand)
        await connector.provision()
        await load(connector, tmp_path, [{"weddingId": "wed-1", "weddingDate": "2027-06-12"}], batch())
        [fact] = stand.rows(FACT_TABLE.name)
        keys = ("SUPPLIER_SK", "CLIENT_SK", "VENUE_SK", "DATE_SK")
        assert [int(fact[key]) for key in keys] == [0, 0, 0, 20270612]

    async def test_a_part_with_too_few_rows_commits_nothing(self, stand, tmp_path):
        connector = self.connector(stand)
        await connector.provision()
        files = layer(tmp_path, Layer.RAW, WEDDINGS)
        with pytest.raises(Permanent):
            await connector.load_layer(batch(), LayerFiles(files.layer, files.files, 5, files.digest))
        assert not await self.finished(connector, batch())

    async def finished(self, connector: SqlWarehouse, given: EtlBatch) -> bool:
        """Whether the warehouse holds a finished layer of a batch."""
        query = f"SELECT COUNT(*) FROM WEDDING_RAW.ETL_LOADS WHERE BATCH_ID = '{given.etl_id}'"
        found = await connector._in_session(1, "test", lambda _, session: session.run("test", query, writes=False))
        return int(found[0][0]) > 0

    async def test_the_analytics_are_built_once_per_change_of_the_marts(self, stand, tmp_path):
        connector = self.connector(stand)
        await connector.provision()
        await load(connector, tmp_path, WEDDINGS, batch())
        assert (await connector.build_analytics(batch())).tables == {METRICS_TABLE: 2, SEASONS_TABLE: 1}
        assert not (await connector.build_analytics(batch())).rebuilt
        [season] = stand.rows(SEASONS_TABLE)
        assert [_plain(season[name]) for name in ("BOOKING_COUNT", "AVG_REVENUE", "MEDIAN_GUESTS")] == [
            "4",
            "1000.5",
            "80",
        ]

    async def test_optimising_leaves_every_row_as_it_is_and_tells_what_it_brought(self, stand, tmp_path):
        connector = self.connector(stand)
        await connector.provision()
        await load(connector, tmp_path, WEDDINGS, batch())
        await connector.build_analytics(batch())
        before = content(stand)
        done = (await connector.optimize(batch())).optimizations
        assert FACT_TABLE.name in {one.table for one in done}
        assert content(stand) == before

    @pytest.fixture(scope="class")
    def uninterrupted(self) -> dict[str, Any]:
        """What is told when no worker is lost, found by the first test that asks."""
        return {}

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    async def test_f3_a_worker_lost_at_any_seam_leaves_what_an_uninterrupted_one_does(
        self, stand, tmp_path, uninterrupted, first_seam, after
    ):
        if not uninterrupted:
            uninterrupted["told"], _ = await self.told(stand, tmp_path, 0, after=after)
        at, lost = first_seam, True
        while lost:
            found, lost = await self.told(stand, tmp_path, at, after=after)
            assert found == uninterrupted["told"], f"lost at statement {at}"
            at += self.seams
        assert at > 10

    async def told(
        self, stand: Stand, folder: Path, at: int, *, after: bool
    ) -> tuple[tuple[dict[str, list[str]], list[MartsLoaded]], bool]:
        """Return (content, books) after three loads, two losing a worker at each step's statement `at`.

        No worker is lost at 0. Of the two, one changes a supplier of whose weddings it knows one, and one is late. The
        other value says whether any step had so many statements.
        """
        stand.reset()
        connector = self.connector(stand)
        await connector.provision()
        await load(connector, folder, WEDDINGS, batch())
        await connector.build_analytics(batch())
        books, lost = [], False
        between = [{**CHANGED[0], "supplierCategory": "film", "updatedAt": "2027-01-15T00:00:00"}]
        for given, weddings in (
            (batch("etl-2", "run-2", "2027-02-01"), CHANGED[:1]),
            (batch("etl-3", "run-3", "2027-01-20"), between),
        ):
            layers = [layer(folder, name, weddings, given.etl_id) for name in Layer]
            steps: list[Callable[[], Any]] = [
                *(partial(connector.load_layer, given, files) for files in layers),
                partial(connector.load_marts, given),
                partial(connector.build_analytics, given),
            ]
            for step in steps:
                await connector.aclose()
                with pytest.MonkeyPatch.context() as patch:
                    opened = connector._open
                    patch.setattr(connector, "_open", lambda tag, opened=opened: Dying(opened(tag), at, after=after))
                    try:
                        await step()
                    except Transient:
                        lost = True
                await connector.aclose()
                done = await step()
                if isinstance(done, MartsLoaded):
                    books.append(done)
        await connector.aclose()
        return (content(stand), books), lost
