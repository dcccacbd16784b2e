"""The scenarios of an enterprise platform: one warehouse filled, and several with the same marts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from contracts.dataset import DataSource, SourceFormat, SourceKind
from contracts.etl import EtlRequest, ETLResult
from contracts.integration import IntegrationConfiguration, IntegrationInstance
from starters.demo.stage import ORGANIZATION, ROOT, Check, Stage, example, integration

_WEDDINGS = 100_000
_DIRTY_RATIO = 0.02
_MARTS = ("FACT_WEDDINGS", "DIM_SUPPLIERS", "DIM_CLIENTS", "DIM_VENUES", "DIM_DATES")
_OF_THE_LOAD = {"CREATED_AT", "UPDATED_AT", "BATCH_ID"}
_COMPARED = ("snowflake", "bigquery", "redshift", "databricks")


async def enterprise_snowflake(stage: Stage) -> list[Check]:
    """An enterprise platform loads 100,000 weddings, two in a hundred of them dirty, into Snowflake."""
    await stage.wedsync.integrations.connect(IntegrationConfiguration.model_validate(example("integration-snowflake")))
    before = await stage.vendors.table_rows()
    result = await _load(stage, "snowflake-main", await _weddings(stage, _WEDDINGS))
    rows = await stage.vendors.table_rows()

    def gained(table: str) -> int:
        return rows.get(table, 0) - before.get(table, 0)

    return [
        Check("rows in RAW", _WEDDINGS, gained("WEDDING_RAW.WEDDINGS")),
        Check("rows in quarantine", _dirty(_WEDDINGS), result.data_quality.failed_records),
        Check("facts", _WEDDINGS - _dirty(_WEDDINGS), gained("WEDDING_MARTS.FACT_WEDDINGS")),
        Check("books closed", expected=True, found=result.books.closed),
        Check(
            "analytics tables filled",
            expected=[True, True],
            found=[
                rows.get(f"WEDDING_ANALYTICS.{name}", 0) > 0
                for name in ("MONTHLY_SUPPLIER_METRICS", "SEASONAL_PATTERNS")
            ],
        ),
    ]


async def enterprise_warehouses(
    stage: Stage, *, weddings: int = _WEDDINGS, warehouses: Sequence[str] = _COMPARED
) -> list[Check]:
    """The same 100,000 weddings in four warehouses: their marts are equal, row by row."""
    file = await _weddings(stage, weddings)
    checks, digests = [], {}
    for system in warehouses:
        await stage.wedsync.integrations.connect(await _WAREHOUSES[system].configuration(stage))
        result = await _load(stage, f"{system}-main", file)
        checks.append(Check(f"{system}: good rows stand", weddings - _dirty(weddings), _standing(result)))
        digests[system] = {table: await _digest(stage, system, table) for table in _MARTS}
    first, *others = digests.values()
    for system, found in zip(warehouses[1:], others, strict=True):
        same = [table for table in _MARTS if found[table] == first[table]]
        checks.append(Check(f"{system}: marts equal to {warehouses[0]}'s by hash", list(_MARTS), same))
    return checks


def _dirty(weddings: int) -> int:
    return round(weddings * _DIRTY_RATIO)


async def _weddings(stage: Stage, weddings: int) -> Path:
    """Have a file of weddings written by a process of its own, or return the one that is there."""
    file = stage.scratch / f"weddings-{weddings}.parquet"
    if file.exists():
        return file
    command = ["--rows", str(weddings), "--dirty-ratio", str(_DIRTY_RATIO), "--seed", "7", "--format", "parquet"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "emulators.weddings", *command, "--out", str(file)),
        stdout=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
    )
    await process.wait()
    return file


async def _load(stage: Stage, integration_id: str, file: Path) -> ETLResult:
    request = EtlRequest(
        etl_id=f"demo-{integration_id}",
        organization_id=ORGANIZATION,
        target_integration=IntegrationInstance(integration_id=integration_id),
        source=DataSource(kind=SourceKind.FILE, uri=file.as_uri(), format=SourceFormat.PARQUET),
    )
    return await (await stage.wedsync.start_etl(request)).result()


def _standing(result: ETLResult) -> int:
    return result.books.created + result.books.updated + result.books.unchanged


async def _snowflake(_: Stage) -> IntegrationConfiguration:
    return IntegrationConfiguration.model_validate(example("integration-snowflake"))


async def _redshift(stage: Stage) -> IntegrationConfiguration:
    found = await stage.vendors.addresses("redshift")
    keys = {"accessKeyId": "sandbox", "secretAccessKey": "sandbox"}
    return integration(
        "redshift",
        "redshift-main",
        credential={"user": "sandbox", "password": "sandbox", **keys},
        host="lumen.abc123xyz789.eu-central-1.redshift.amazonaws.com",
        database="dev",
        bucket=found["bucket"],
        region="us-east-1",
        iamRole="arn:aws:iam::123456789012:role/loads",
        stagingUrl=found["s3"],
    )


async def _databricks(_: Stage) -> IntegrationConfiguration:
    return IntegrationConfiguration.model_validate(example("integration-databricks"))


async def _bigquery(_: Stage) -> IntegrationConfiguration:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    form = serialization.PrivateFormat.PKCS8
    account = {
        "type": "service_account",
        "project_id": "wedsync",
        "private_key_id": "sandbox",
        "private_key": key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode(),
        "client_email": "wedsync@sandbox.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    credential = {"serviceAccountKey": json.dumps(account)}
    return integration("bigquery", "bigquery-main", credential=credential, project="wedsync")


@dataclass(frozen=True)
class _Warehouse:
    """How a warehouse is connected, and where its stand-in shows a table."""

    configuration: Callable[[Stage], Awaitable[IntegrationConfiguration]]
    table: Callable[[str], str]


_WAREHOUSES = {
    "snowflake": _Warehouse(_snowflake, "/snowflake/objects/WEDDING_MARTS.{}".format),
    "redshift": _Warehouse(_redshift, lambda table: f"/redshift/dev/tables/wedding_marts.{table.lower()}"),
    "bigquery": _Warehouse(_bigquery, "/bigquery/objects/wedsync.WEDDING_MARTS.{}".format),
    "databricks": _Warehouse(_databricks, lambda table: f"/databricks/objects/wedsync.wedding_marts.{table.lower()}"),
}


async def _digest(stage: Stage, system: str, table: str) -> str:
    """Return a hash of a table's rows in any order, without what tells which load wrote them, and when."""
    lines = sorted(_line(row) for row in await stage.vendors.table(_WAREHOUSES[system].table(table)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps({name: _plain(row[name]) for name in sorted(row) if name not in _OF_THE_LOAD})


def _plain(value: Any) -> Any:
    """Return a value as every warehouse tells it: numbers without trailing zeros, instants in ISO's form."""
    if value is None or isinstance(value, bool):
        return value
    with suppress(ValueError, ArithmeticError):
        return str(Decimal(str(value)).normalize() + 0)
    with suppress(ValueError):
        return datetime.fromisoformat(str(value)).isoformat()
    return str(value)
