"""The scenarios of an enterprise platform: one warehouse filled, and several with the same marts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from contracts.dataset import DataSource, SourceFormat, SourceKind
from contracts.etl import EtlRequest, ETLResult
from contracts.integration import IntegrationConfiguration, IntegrationInstance
from starters.demo.stage import ORGANIZATION, ROOT, Check, Stage, example, integration

_WEDDINGS = 100_000
_DIRTY_RATIO = 0.02
_MARTS = ("FACT_WEDDINGS", "DIM_SUPPLIERS", "DIM_CLIENTS", "DIM_VENUES", "DIM_DATES")
_OF_THE_LOAD = {"CREATED_AT", "UPDATED_AT", "BATCH_ID"}
_WAREHOUSES = ("snowflake", "redshift", "databricks")


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
    stage: Stage, *, weddings: int = _WEDDINGS, warehouses: Sequence[str] = _WAREHOUSES
) -> list[Check]:
    """The same 100,000 weddings in several warehouses: their marts are equal, row by row."""
    file = await _weddings(stage, weddings)
    checks, digests = [], {}
    for system in warehouses:
        await stage.wedsync.integrations.connect(await _configuration(stage, system))
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


async def _configuration(stage: Stage, system: str) -> IntegrationConfiguration:
    if system == "redshift":
        found = await stage.vendors.addresses(system)
        keys = {"accessKeyId": "sandbox", "secretAccessKey": "sandbox"}
        return integration(
            system,
            "redshift-main",
            credential={"user": "sandbox", "password": "sandbox", **keys},
            host="lumen.abc123xyz789.eu-central-1.redshift.amazonaws.com",
            database="dev",
            bucket=found["bucket"],
            region="us-east-1",
            iamRole="arn:aws:iam::123456789012:role/loads",
            stagingUrl=found["s3"],
        )
    if system == "databricks":
        credential = {"accessToken": "sandbox-databricks-token"}
        return integration(
            system, "databricks-main", credential=credential, warehouseId="sandboxwarehouse0", catalog="wedsync"
        )
    return IntegrationConfiguration.model_validate(example("integration-snowflake"))


_TABLES = {
    "snowflake": "/snowflake/objects/WEDDING_MARTS.{}",
    "redshift": "/redshift/dev/tables/wedding_marts.{}",
    "databricks": "/databricks/objects/wedsync.wedding_marts.{}",
}


async def _digest(stage: Stage, system: str, table: str) -> str:
    """Return a hash of a table's rows in any order, without what tells which load wrote them, and when."""
    name = table if system == "snowflake" else table.lower()
    lines = sorted(_line(row) for row in await stage.vendors.table(_TABLES[system].format(name)))
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
