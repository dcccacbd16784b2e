"""Personal columns of a load: none of their bytes is in anything that the extract writes."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from temporalio.testing import ActivityEnvironment

from activities.etl import Etl
from activities.protection import Protection
from activities.security import fields
from activities.security.envelope import MasterKey
from activities.sources import Sources
from activities.storage.database import Database, metadata
from activities.storage.staging import Staging
from activities.storage.subject_keys import SubjectKeys
from contracts.dataset import DatasetRef
from contracts.errors import InvalidInput, Permanent
from contracts.etl import EtlRequest, ExtractResult
from contracts.integration import IntegrationConfiguration
from tests.support.canaries import canary, forms

ORGANIZATION, OTHER = "lumen-studios", "oak-barn"
KEY = MasterKey(b"k" * 32)
MAPPING: list[dict[str, Any]] = [
    {"target": "weddingId", "source": "id"},
    {"target": "weddingDate", "source": "day"},
    {"target": "clientId", "source": "email", "protection": "token"},
    {"target": "clientName", "expression": "concat(first, ' ', last)", "protection": "encrypt"},
    {"target": "referralSource", "source": "phone", "protection": "drop"},
    {"target": "venueId", "source": "venue"},
]
CONFIGURATION: dict[str, Any] = {
    "integrationId": "warehouse",
    "organizationId": ORGANIZATION,
    "platform": "snowflake",
    "securityConfig": {"piiFields": ["home"]},
}


class Configured:
    """An access that knows one integration."""

    def __init__(self, **changes: Any) -> None:
        self._configuration = IntegrationConfiguration.model_validate({**CONFIGURATION, **changes})

    async def configuration(self, *_: str) -> IntegrationConfiguration:
        return self._configuration


class House:
    """The extract over files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(f"sqlite:///{folder}/store.db")
        self.staging = Staging(f"file://{folder}/objects", KEY, folder / "scratch")
        self.protection = Protection(SubjectKeys(self.database, KEY), KEY)

    async def extract(self, path: Path, organization_id: str = ORGANIZATION, **changes: Any) -> ExtractResult:
        access: Any = Configured()
        etl = Etl(access, self.staging, Sources(access, self.staging, [self.folder]), self.protection)
        return await ActivityEnvironment().run(etl.extract, request(path, organization_id, **changes))

    async def opened(self, refs: list[DatasetRef]) -> list[dict[str, Any]]:
        """The rows of sealed Parquet files or of the sealed quarantine."""
        rows: list[dict[str, Any]] = []
        for ref in refs:
            with self.staging.scratch() as folder:
                path = await self.staging.fetch(ref, folder)
                if path.suffix == ".parquet":
                    rows += pq.read_table(path).to_pylist()
                else:
                    rows += [json.loads(line) for line in path.read_text().splitlines()]
        return rows

    async def everything(self, found: ExtractResult) -> list[dict[str, Any]]:
        quarantine = [found.quality.quarantine] if found.quality.quarantine else []
        return await self.opened([*found.raw.parts, *found.staging.parts, *quarantine])


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    async with made.database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield made
    await made.database.aclose()


def request(path: Path, organization_id: str = ORGANIZATION, **changes: Any) -> EtlRequest:
    return EtlRequest.model_validate(
        {
            "etlId": "etl-1",
            "organizationId": organization_id,
            "targetIntegration": {"integrationId": "warehouse"},
            "source": {"kind": "file", "uri": path.as_uri(), "format": path.suffix[1:]},
            "dataMapping": MAPPING,
            "dataQuality": {"failureThreshold": 1.0},
            **changes,
        }
    )


PERSONAL = ("email", "first", "last", "phone", "home", "notes")
COLUMNS = ("id", "day", *PERSONAL, "venue")


def couple(number: int, **changes: str) -> dict[str, str]:
    personal = {name: f"{name}{number}@canary.example" for name in PERSONAL}
    return {"id": f"wed-{number}", "day": "2027-06-12", "venue": "The Orangery", **personal, **changes}


def written(folder: Path, *rows: dict[str, str], more: str = "") -> Path:
    path = folder / "weddings.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        file.write(more)
    return path


def names(row: dict[str, str]) -> str:
    return f"{row['first']} {row['last']}"


async def test_no_personal_byte_is_in_anything_that_is_written(house: House, tmp_path: Path):
    secrets = {name: canary(name) for name in PERSONAL}
    rows = [
        couple(1, **secrets),
        couple(2, **secrets, day="no day"),
        couple(1, **secrets, venue="A twin of the first"),
        couple(3, **secrets, id=""),
    ]
    torn = ",".join(["wed-9", *secrets.values(), *secrets.values()]) + "\r\n"
    path = written(tmp_path, *rows, more=torn)
    found = await house.extract(path)
    path.unlink()
    told = json.dumps(await house.everything(found), default=str).encode()
    files = [one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()]
    assert (found.quality.total_records, found.quality.failed_records) == (5, 4)
    for secret in secrets.values():
        assert [form for form in forms(secret) if form in told or any(form in one for one in files)] == []
    assert b"The Orangery" in told


async def test_ndjson_lines_that_are_no_records_are_withheld(house: House, tmp_path: Path):
    path = tmp_path / "weddings.ndjson"
    path.write_text(json.dumps(couple(1)) + '\n"anna@canary.example"\n{torn anna@canary.example\n')
    found = await house.extract(path)
    told = json.dumps(await house.everything(found), default=str)
    assert found.quality.failed_records == 2
    assert "canary" not in told


async def test_tokens_join_within_an_organisation_and_nowhere_else(house: House, tmp_path: Path):
    path = written(tmp_path, couple(1), couple(2, email=couple(1)["email"]), couple(3))
    mine = await house.opened((await house.extract(path)).staging.parts)
    theirs = await house.opened((await house.extract(path, OTHER)).staging.parts)
    first, second, third = (row["CLIENT_ID"] for row in sorted(mine, key=lambda row: row["WEDDING_ID"]))
    assert (first == second, first == third, len(first)) == (True, False, fields.TOKEN_LENGTH)
    assert {row["CLIENT_ID"] for row in mine}.isdisjoint(row["CLIENT_ID"] for row in theirs)


async def test_a_box_opens_for_its_subject_and_field_alone(house: House, tmp_path: Path):
    first, second = couple(1), couple(2)
    rows = await house.opened((await house.extract(written(tmp_path, first, second))).staging.parts)
    [box] = [row["CLIENT_NAME"] for row in rows if row["WEDDING_ID"] == "wed-1"]
    assert await house.protection.opened(ORGANIZATION, first["email"], "clientName", box) == names(first)
    for place in (
        (ORGANIZATION, second["email"], "clientName"),
        (ORGANIZATION, first["email"], "venueName"),
        (OTHER, first["email"], "clientName"),
    ):
        with pytest.raises(Permanent):
            await house.protection.opened(*place, box)


async def test_a_second_extract_is_the_same_to_the_warehouse(house: House, tmp_path: Path):
    path = written(tmp_path, couple(1), couple(2))
    first, again = await house.extract(path), await house.extract(path)
    assert (first.raw.digest, first.staging.digest) == (again.raw.digest, again.staging.digest)


async def test_erasing_a_subject_makes_every_copy_unreadable_and_no_new_one(house: House, tmp_path: Path):
    gone, stays = couple(1), couple(2)
    path = written(tmp_path, gone, stays)
    before = await house.opened((await house.extract(path)).staging.parts)
    await house.protection.forget(ORGANIZATION, gone["email"])
    boxes = {row["WEDDING_ID"]: row["CLIENT_NAME"] for row in before}
    assert await house.protection.opened(ORGANIZATION, gone["email"], "clientName", boxes["wed-1"]) is None
    after = await house.opened((await house.extract(path)).staging.parts)
    again = {row["WEDDING_ID"]: row["CLIENT_NAME"] for row in after}
    assert again == {"wed-1": None, "wed-2": boxes["wed-2"]}


async def test_what_is_dropped_is_in_no_layer(house: House, tmp_path: Path):
    found = await house.extract(written(tmp_path, couple(1)))
    rows = await house.opened([*found.raw.parts, *found.staging.parts])
    assert {row["REFERRAL_SOURCE"] for row in rows} == {None}


async def test_a_box_that_is_too_long_for_its_column_rejects_the_row(house: House, tmp_path: Path):
    found = await house.extract(written(tmp_path, couple(1, first="A" * 150), couple(2)))
    assert found.quality.reasons == {"client_name_too_long": 1}


async def test_without_protection_a_rejected_row_is_kept_as_it_came(house: House, tmp_path: Path):
    plain = [{**item, "protection": "none"} for item in MAPPING]
    found = await house.extract(written(tmp_path, couple(1, day="no day")), dataMapping=plain)
    [rejected] = await house.opened([ref for ref in [found.quality.quarantine] if ref])
    record = json.loads(rejected["record"])
    assert (record["email"], "home" in record) == (couple(1)["email"], False)


@pytest.mark.parametrize(
    ("target", "protection"),
    [("weddingDate", "token"), ("totalRevenue", "encrypt"), ("clientId", "encrypt"), ("weddingId", "drop")],
)
async def test_a_protection_that_a_field_cannot_have_is_refused_before_anything_is_read(
    house: House, tmp_path: Path, target: str, protection: str
):
    access: Any = Configured()
    etl = Etl(access, house.staging, Sources(access, house.staging, [tmp_path]), house.protection)
    others = [item for item in MAPPING if item["target"] != target]
    mapping = [*others, {"target": target, "source": "id", "protection": protection}]
    with pytest.raises(InvalidInput) as caught:
        await ActivityEnvironment().run(etl.check, request(written(tmp_path, couple(1)), dataMapping=mapping))
    assert caught.value.detail.code == "protection_unsupported"
