"""PostgreSQL as a source, against a real server."""

from __future__ import annotations

import asyncio
import csv
import ssl
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import SecretStr

from activities.connectors.source import postgresql
from activities.connectors.source.postgresql import PostgreSql
from activities.ports.connection import Connection
from activities.ports.outbound import OutboundRules
from activities.ports.sources import TableConnector
from contracts.errors import AuthExpired, InvalidInput, Permanent, Transient, WedSyncError
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.postgres import OWNER, PASSWORD, Postgres
from tests.support.tls_servers import NAME, Authority, Listener

ORGANIZATION, OTHER = "lumen-studios", "oak-barn"
WEDDINGS: dict[str, Any] = {
    "table": "weddings",
    "columns": ["wedding_id", "wedding_date", "guests", "revenue", "confirmed", "note", "updated_at"],
    "organizationColumn": "organization_id",
    "changedColumn": "updated_at",
}
COLUMNS = (
    "wedding_id text, organization_id text, wedding_date date, guests int, revenue numeric(12,2), confirmed boolean, "
    "note text, updated_at timestamptz"
)
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
NOTE = 'line one\nline "two", after a comma; \\N \\. ünïcode'


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    started = Postgres()
    yield started
    started.stop()


@pytest.fixture
async def postgres(server: Postgres) -> Postgres:
    await server.execute(
        "DROP TABLE IF EXISTS weddings",
        f"CREATE TABLE weddings ({COLUMNS})",
        "INSERT INTO weddings SELECT 'wed-' || i, CASE WHEN mod(i, 4) = 0 THEN 'oak-barn' ELSE 'lumen-studios' END, "
        "DATE '2027-06-12' + i, i, i + 0.5, mod(i, 2) = 0, CASE WHEN mod(i, 3) = 0 THEN NULL ELSE 'a, b' END, "
        "TIMESTAMPTZ '2026-01-01 00:00:00+02' + make_interval(hours => i) FROM generate_series(1, 40) AS i",
    )
    return server


def opened(server: Postgres, *, password: str = PASSWORD, **settings: Any) -> PostgreSql:
    reports = settings.pop("reports", {"weddings": WEDDINGS})
    rules = settings.pop("rules", IN_DEVELOPMENT)
    where = {"host": "127.0.0.1", "port": server.port, "database": "postgres", "reports": reports, **settings}
    return PostgreSql(
        Connection(
            *(ORGANIZATION, "wedsync-db", "postgresql", ""),
            settings=where,
            credential={"user": SecretStr(OWNER), "password": SecretStr(password)},
            outbound=rules,
        )
    )


async def exported(
    connector: PostgreSql, folder: Path, since: datetime | None = None, before: datetime | None = None
) -> list[dict[str, str]]:
    path = folder / "report.csv"
    await connector.export("weddings", path, since, before)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


async def until(server: Postgres, question: str) -> None:
    answered = False
    while not answered:
        answered = (await server.fetch(question))[0][0]


async def failing(connector: PostgreSql) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        await connector.probe()
    assert PASSWORD not in str(caught.value)
    return caught.value


async def test_it_fulfils_the_port_and_shows_its_reports(postgres: Postgres):
    connector = opened(postgres)
    assert isinstance(connector, TableConnector)
    assert (await connector.probe()).features == ["weddings"]


async def test_every_value_is_written_as_postgresql_writes_it(postgres: Postgres, tmp_path: Path):
    await postgres.execute("UPDATE weddings SET note = $tag$" + NOTE + "$tag$ WHERE wedding_id = 'wed-2'")
    rows = {row["wedding_id"]: row for row in await exported(opened(postgres), tmp_path)}
    assert rows["wed-2"] == {
        "wedding_id": "wed-2", "wedding_date": "2027-06-14", "guests": "2", "revenue": "2.50", "confirmed": "true",
        "note": NOTE, "updated_at": "2026-01-01 00:00:00+00",
    }  # fmt: skip
    assert rows["wed-3"]["note"] == ""


async def test_rows_of_another_organisation_are_never_read(postgres: Postgres, tmp_path: Path):
    rows = await exported(opened(postgres), tmp_path)
    assert len(rows) == 30
    assert not [row for row in rows if int(row["guests"]) % 4 == 0]


async def test_slices_of_time_hold_every_row_once(postgres: Postgres, tmp_path: Path):
    connector = opened(postgres)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    early, late = await exported(connector, tmp_path, None, noon), await exported(connector, tmp_path, noon)
    assert {row["updated_at"] < "2026-01-01 12" for row in early} == {True}
    assert sorted(int(row["guests"]) for row in early + late) == [i for i in range(1, 41) if i % 4]


async def test_a_report_without_a_changed_column_has_no_slices(postgres: Postgres, tmp_path: Path):
    reports = {"weddings": {**WEDDINGS, "changedColumn": None}}
    with pytest.raises(InvalidInput) as caught:
        await exported(opened(postgres, reports=reports), tmp_path, datetime.now(UTC))
    assert caught.value.detail.code == "window_unsupported"


async def test_a_million_rows_take_no_more_memory_than_a_few(postgres: Postgres, tmp_path: Path):
    await postgres.execute(
        "INSERT INTO weddings SELECT 'wed-' || i, 'lumen-studios', DATE '2027-06-12', 1, 1, true, repeat('x', 100), "
        "now() FROM generate_series(100, 300000) AS i"
    )
    tracemalloc.start()
    await opened(postgres).export("weddings", tmp_path / "report.csv", None, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "report.csv").stat().st_size > 40 << 20
    assert peak < 8 << 20


async def test_nothing_can_be_written_through_it(postgres: Postgres):
    connector = opened(postgres)
    with pytest.raises(Permanent) as caught:
        async with connector._session("test") as session:
            await session.execute("DELETE FROM public.weddings")
    assert caught.value.detail.evidence["sqlState"] == "25006"
    assert (await postgres.fetch("SELECT count(*) FROM weddings"))[0][0] == 40


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(postgresql, "_STATEMENT_TIMEOUT_S", 1)
    with pytest.raises(Permanent) as caught:
        async with opened(postgres)._session("test") as session:
            await session.execute("SELECT pg_sleep(60)")
    assert caught.value.detail.code == "statement_timeout"


async def test_no_session_is_left_behind_by_a_call_that_is_cancelled(postgres: Postgres):
    connector = opened(postgres)

    async def hang() -> None:
        async with connector._session("test") as session:
            await session.execute("SELECT pg_sleep(600)")

    mine = "FROM pg_stat_activity WHERE application_name = 'wedsync'"
    task = asyncio.create_task(hang())
    await until(postgres, f"SELECT count(*) = 1 {mine} AND wait_event = 'PgSleep'")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(postgres, f"SELECT count(*) = 0 {mine}")


async def test_a_refused_password_asks_for_a_new_one(postgres: Postgres):
    error = await failing(opened(postgres, password="canary-wrong"))
    assert isinstance(error, AuthExpired)
    assert "canary-wrong" not in str(error)


async def test_a_server_that_is_away_is_tried_again(postgres: Postgres):
    gone = Listener()
    gone.close()
    assert isinstance(await failing(opened(postgres, port=gone.port)), Transient)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"database": "nowhere"}, Permanent),
        ({"reports": {"weddings": {**WEDDINGS, "table": "nowhere"}}}, Permanent),
        ({"reports": {"weddings": {**WEDDINGS, "columns": ["wedding_id", "missing"]}}}, Permanent),
        ({"reports": {"weddings": {**WEDDINGS, "table": "pg_shadow"}}}, Permanent),
        ({"reports": "weddings"}, InvalidInput),
    ],
)
async def test_settings_that_do_not_fit_the_database_are_the_tenants_to_mend(
    postgres: Postgres, changes: dict[str, Any], kind: type[WedSyncError]
):
    assert type(await failing(opened(postgres, **changes))) is kind


@pytest.mark.parametrize(
    "name",
    [
        'weddings"; DROP TABLE weddings; --',
        "../weddings",
        "wed\x00dings",
        "%2e%2e",
        "public.weddings",
        "w" * 300,
        "w\u2215x",
        "",
    ],
)
@pytest.mark.parametrize("part", ["table", "schema", "columns", "organizationColumn", "changedColumn"])
async def test_f62_a_name_with_more_than_letters_is_refused_before_the_database(
    postgres: Postgres, part: str, name: str
):
    report = {**WEDDINGS, part: [name] if part == "columns" else name}
    error = await failing(opened(postgres, reports={"weddings": report}))
    assert (type(error), error.detail.code) == (InvalidInput, "reports_invalid")
    assert (await postgres.fetch("SELECT count(*) FROM weddings"))[0][0] == 40


async def test_a_report_that_the_settings_do_not_name_is_not_found(postgres: Postgres):
    with pytest.raises(InvalidInput) as caught:
        await opened(postgres).columns("pg_shadow")
    assert caught.value.detail.code == "report_not_found"


@pytest.mark.parametrize("host", ["10.0.0.5", "169.254.169.254", "2130706433"])
async def test_f61_a_database_on_a_private_address_is_refused(postgres: Postgres, host: str):
    error = await failing(opened(postgres, host=host, port=5432))
    assert error.detail.code == "url_not_allowed"


class Encrypted:
    """TLS in front of a server that was built without it."""

    def __init__(self, server: Postgres, context: ssl.SSLContext) -> None:
        self._server, self._context = server, context

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        await writer.start_tls(self._context)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer), return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    writer.close()


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Postgres, int], PostgreSql]:
    """Opens a connector that finds a name on loopback, as a database far away would be found."""

    def opened_by_name(server: Postgres, port: int) -> PostgreSql:
        monkeypatch.setattr(PostgreSql, "manifest", replace(PostgreSql.manifest, ports=(port,)))
        rules = OutboundRules(
            development=True, ca_file=tmp_path / "authority.pem", resolve=lambda _host, _port: ["127.0.0.1"]
        )
        return opened(server, rules=rules, host=NAME, port=port)

    return opened_by_name


async def test_a_server_is_asked_for_the_certificate_of_its_name(postgres: Postgres, far_away: Any, tmp_path: Path):
    async with Encrypted(postgres, Authority(tmp_path).server_context()) as there:
        assert (await far_away(postgres, there.port).probe()).ok


async def test_a_certificate_for_another_name_ends_the_login(postgres: Postgres, far_away: Any, tmp_path: Path):
    async with Encrypted(postgres, Authority(tmp_path).server_context("other.test")) as there:
        error = await failing(far_away(postgres, there.port))
    assert (error.detail.code, error.detail.evidence["reason"]) == ("tls_error", "wrong_name")


async def test_a_server_without_tls_is_told_nothing(postgres: Postgres, far_away: Any, tmp_path: Path):
    Authority(tmp_path)
    plain = Listener(lambda client: client.sendall(b"N" if client.recv(len(SSL_REQUEST)) else b""))
    await failing(far_away(postgres, plain.port))
    plain.close()
    assert plain.received == SSL_REQUEST
