"""One data set from every kind of source: the loads that come of it hold the same rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from temporalio.testing import ActivityEnvironment

from activities.access import Access
from activities.etl import Etl
from activities.protection import Protection
from activities.security.envelope import MasterKey
from activities.sources import Sources
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, metadata
from activities.storage.imports import ImportStores
from activities.storage.staging import Staging
from activities.storage.subject_keys import SubjectKeys
from contracts.errors import InvalidInput
from contracts.etl import EtlRequest, EtlTarget, ExtractResult
from contracts.integration import IntegrationConfiguration, IntegrationState
from emulators.wedding_files import write
from emulators.wedding_rows import DataSet
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.object_store import Bucket, point_at, s3_server
from tests.support.postgres import OWNER, PASSWORD, Postgres

ORGANIZATION, OTHER = "lumen-studios", "oak-barn"
ROWS = 2_000
MAPPING = [
    {"target": "weddingId", "expression": "upper(wedding_id)"},
    {"target": "weddingDate", "source": "event_day"},
    {"target": "guestCount", "expression": "adults + children"},
    {"target": "totalRevenue", "expression": "round(price * nights, 2)"},
]
_SQL_TYPES = {
    "string": "text", "int64": "bigint", "double": "numeric", "bool": "boolean", "date32[day]": "date",
    "timestamp[ms]": "timestamp",
}  # fmt: skip
_ZONED = "ALTER TABLE weddings ALTER updated_at TYPE timestamptz USING updated_at AT TIME ZONE 'UTC'"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    started = Postgres()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as url:
        yield url


class House:
    """The loading activities with a store, a staging area and two integrations."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        key = MasterKey(bytes(32))
        self._postgres = postgres
        self._database = Database(f"sqlite:///{folder}/store.db")
        self._connections = ConnectionStore(self._database, key)
        self._secrets = SealedSecretStore(self._database, key)
        self._access = Access(self._connections, self._secrets, self._no_endpoint, IN_DEVELOPMENT)
        self._staging = staging = Staging(f"file://{folder}/objects", key, folder / "scratch")
        stores = ImportStores(["s3://exports/{organization}/"])
        self.etl = Etl(
            self._access,
            staging,
            Sources(self._access, staging, [folder], stores=stores),
            Protection(SubjectKeys(self._database, key), key),
        )

    @staticmethod
    async def _no_endpoint(_platform: str) -> str | None:
        return None

    async def connect(self) -> None:
        async with self._database.begin() as connection:
            await connection.run_sync(metadata.create_all)
        report = {"table": "weddings", "columns": [row[0] for row in await self._columns()]}
        where = {"host": "127.0.0.1", "port": self._postgres.port, "database": "postgres", "reports": {"all": report}}
        await self._put("wedsync-db", "postgresql", {"user": OWNER, "password": PASSWORD}, where)
        account = {"account": "sandbox", "warehouse": "W", "database": "D"}
        for organization_id in (ORGANIZATION, OTHER):
            user = {"user": "sandbox", "password": "sandbox"}
            await self._put("warehouse", "snowflake", user, account, organization_id)

    async def _columns(self) -> list[Any]:
        return await self._postgres.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('weddings') AND attnum > 0 ORDER BY attnum"
        )

    async def _put(
        self,
        name: str,
        platform: str,
        secrets: dict[str, str],
        settings: dict[str, Any],
        organization_id: str = ORGANIZATION,
    ) -> None:
        reference = await self._secrets.put(organization_id, name, secrets)
        given = {"credentialRef": reference.model_dump(by_alias=True), **settings}
        configuration = IntegrationConfiguration.model_validate(
            {"integrationId": name, "organizationId": organization_id, "platform": platform, "connectionConfig": given}
        )
        await self._connections.put(configuration, IntegrationState.ACTIVE)

    async def check(self, source: dict[str, Any], organization_id: str = ORGANIZATION) -> EtlTarget:
        return await ActivityEnvironment().run(self.etl.check, _request(source, organization_id))

    async def extract(self, source: dict[str, Any], **changes: Any) -> ExtractResult:
        return await ActivityEnvironment().run(self.etl.extract, _request(source, **changes))

    async def rows(self, extracted: ExtractResult) -> list[dict[str, Any]]:
        """The rows of STAGING, by wedding, without the place they had in their source."""
        with self._staging.scratch() as folder:
            parts = [pq.read_table(await self._staging.fetch(ref, folder)) for ref in extracted.staging.parts]
        loaded = pa.concat_tables(parts).drop_columns("ROW_NUMBER").sort_by("WEDDING_ID")
        return loaded.to_pylist()

    async def aclose(self) -> None:
        await self._access.aclose()
        await self._database.aclose()


def _request(source: dict[str, Any], organization_id: str = ORGANIZATION, **changes: Any) -> EtlRequest:
    return EtlRequest.model_validate(
        {
            "etlId": "etl-1",
            "organizationId": organization_id,
            "targetIntegration": {"integrationId": "warehouse"},
            "source": source,
            "dataMapping": MAPPING,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weddings")
    for file_format in ("csv", "ndjson", "parquet"):
        write(DataSet(ROWS, 7, 0.0), folder / f"weddings.{file_format}", file_format=file_format, layout="raw-csv")
    return folder


@pytest.fixture
async def house(
    tmp_path: Path, files: Path, postgres: Postgres, s3: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    await _fill(postgres, pq.read_table(files / "weddings.parquet"))
    point_at(s3, monkeypatch)
    bucket = Bucket(s3, "exports")
    for path in files.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
        bucket.put(f"{ORGANIZATION}/{path.name}", path.read_bytes())
    made = House(tmp_path, postgres)
    await made.connect()
    yield made
    await made.aclose()


async def _fill(postgres: Postgres, weddings: pa.Table) -> None:
    columns = ", ".join(f"{field.name} {_SQL_TYPES[str(field.type)]}" for field in weddings.schema)
    await postgres.execute("DROP TABLE IF EXISTS weddings", f"CREATE TABLE weddings ({columns})")
    await postgres.copy("weddings", [tuple(row.values()) for row in weddings.to_pylist()])
    await postgres.execute(_ZONED)


def sources(folder: Path) -> dict[str, dict[str, Any]]:
    formats = ("csv", "ndjson", "parquet")
    return {
        **{f"file {one}": _file((folder / f"weddings.{one}").as_uri(), one) for one in formats},
        **{f"s3 {one}": _file(f"s3://exports/{ORGANIZATION}/weddings.{one}", one) for one in formats},
        "database": {"kind": "database", "integrationId": "wedsync-db", "reportId": "all"},
    }


def _file(uri: str, file_format: str) -> dict[str, Any]:
    return {"kind": "file", "uri": uri, "format": file_format}


async def test_the_same_weddings_are_the_same_load_wherever_they_lie(house: House, tmp_path: Path):
    expected = None
    for name, source in sources(tmp_path).items():
        loaded = await house.rows(await house.extract(source))
        expected = expected or loaded
        assert (len(loaded), loaded == expected) == (ROWS, True), name


@pytest.mark.parametrize("name", ["file csv", "database"])
async def test_columns_are_known_before_anything_is_loaded(house: House, tmp_path: Path, name: str):
    assert "wedding_id" in (await house.check(sources(tmp_path)[name])).columns


async def test_a_missing_column_of_a_database_is_refused_before_anything_is_read(house: House, tmp_path: Path):
    with pytest.raises(InvalidInput) as caught:
        await house.extract(
            sources(tmp_path)["database"], dataMapping=[*MAPPING, {"target": "venueName", "source": "nowhere"}]
        )
    assert caught.value.detail.code == "missing_column"


async def test_an_organisation_reads_no_other_ones_database(house: House, tmp_path: Path):
    with pytest.raises(InvalidInput) as caught:
        await house.check(sources(tmp_path)["database"], OTHER)
    assert caught.value.detail.code == "integration_not_found"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({"kind": "database", "reportId": "all"}, "integration_missing"),
        ({"kind": "database", "integrationId": "wedsync-db"}, "report_missing"),
        ({"kind": "database", "integrationId": "wedsync-db", "reportId": "other"}, "report_not_found"),
        ({"kind": "database", "integrationId": "warehouse", "reportId": "all"}, "capability_missing"),
        ({"kind": "wedsync"}, "report_missing"),
    ],
)
async def test_a_source_that_names_too_little_is_refused(house: House, source: dict[str, Any], code: str):
    with pytest.raises(InvalidInput) as caught:
        await house.check(source)
    assert caught.value.detail.code == code


async def test_a_files_slices_of_time_are_all_of_it_and_share_no_row(house: House, tmp_path: Path):
    changes = sorted(row["updated_at"] for row in pq.read_table(tmp_path / "weddings.parquet").to_pylist())
    middle = f"{changes[len(changes) // 2].isoformat()}Z"
    source = sources(tmp_path)["file csv"]
    early = await house.rows(await house.extract({**source, "changedBefore": middle}))
    late = await house.rows(await house.extract({**source, "changedSince": middle}))
    whole = await house.rows(await house.extract(source))
    assert 0 < len(early) < ROWS
    assert sorted([*early, *late], key=lambda row: row["WEDDING_ID"]) == whole


async def test_a_slice_without_rows_is_an_empty_load_and_no_mistake(house: House, tmp_path: Path):
    found = await house.extract({**sources(tmp_path)["file csv"], "changedBefore": "1999-01-01T00:00:00Z"})
    assert (found.quality.total_records, found.quality.passes, found.staging.parts) == (0, True, [])


async def test_a_row_that_does_not_say_when_it_changed_is_rejected_by_a_slice(house: House, tmp_path: Path):
    path = tmp_path / "undated.csv"
    path.write_text("wedding_id,event_day,adults,children,price,nights,updated_at\nw-1,2027-06-12,1,1,1,1,\n")
    found = await house.extract({**_file(path.as_uri(), "csv"), "changedSince": "2026-01-01T00:00:00Z"})
    assert found.quality.reasons == {"updated_at_missing": 1}
