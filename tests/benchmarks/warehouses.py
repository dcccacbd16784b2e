"""The warehouses that a load is measured against: how each one's stand-in is started, and how it is reached."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from activities.connectors.registry import connector_class
from activities.connectors.warehouse.loading import Loader
from activities.connectors.warehouse.sql_warehouse import SqlWarehouse, WarehouseSession
from activities.ports.connection import Connection
from tests.support.bigquery_project import BigQueryProcess, service_account_key
from tests.support.emulators import Emulators
from tests.support.etl_house import SNOWFLAKE
from tests.support.loopback import IN_DEVELOPMENT, loopback_client
from tests.support.snowflake_account import Account
from tests.support.warehouse_stand_ins import ROOT, StandIn

_USER = {"user": "sandbox", "password": "sandbox"}


@dataclass(frozen=True)
class Place:
    """A running stand-in as an integration names it."""

    url: str
    credential: dict[str, str]
    settings: dict[str, Any]


@contextmanager
def _snowflake(folder: Path) -> Iterator[Place]:
    account = Account(folder)
    try:
        yield Place(account.url, *SNOWFLAKE)
    finally:
        account.stop()


@contextmanager
def _redshift(folder: Path) -> Iterator[Place]:
    with _wire("redshift", folder) as (url, ready):
        credential = _USER | {"accessKeyId": "sandbox", "secretAccessKey": "sandbox"}
        store = {"bucket": ready["bucket"], "region": "us-east-1", "stagingUrl": ready["s3"]}
        yield Place(url, credential, {"host": "sandbox", "database": "dev", "iamRole": "default", **store})


@contextmanager
def _synapse(folder: Path) -> Iterator[Place]:
    with _wire("synapse", folder) as (url, ready):
        store = {"storageAccount": "sandbox", "container": "loads", "stagingUrl": f"{ready['url']}/sandbox"}
        settings = {"host": "sandbox", "database": "dev", **store}
        yield Place(url, _USER | {"sasToken": "sv=2026-01-01&sig=sandbox"}, settings)


@contextmanager
def _wire(system: str, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    stand_in = StandIn(system, folder)
    try:
        host, port = stand_in.address
        yield f"http://{host}:{port}", stand_in.ready
    finally:
        stand_in.stop()


@contextmanager
def _bigquery(folder: Path) -> Iterator[Place]:
    process = BigQueryProcess(folder)
    try:
        yield Place(process.url, {"serviceAccountKey": json.dumps(service_account_key())}, {"project": "wedsync"})
    finally:
        process.stop()


@contextmanager
def _databricks(folder: Path) -> Iterator[Place]:
    command = [sys.executable, "-m", "emulators", "--data-dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        with closing(loopback_client(json.loads(process.stdout.readline())["url"])) as client:
            url = Emulators(client).base_url("databricks")
        settings = {"warehouseId": "sandboxwarehouse0", "catalog": "wedsync"}
        yield Place(url, {"accessToken": "sandbox-databricks-token"}, settings)
    finally:
        process.terminate()
        process.wait(timeout=60)


STAND_INS: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "snowflake": _snowflake,
    "redshift": _redshift,
    "bigquery": _bigquery,
    "databricks": _databricks,
    "synapse": _synapse,
}


@contextmanager
def bare_session(system: str, place: Place) -> Iterator[tuple[Loader, WarehouseSession]]:
    """Yield a loader without Temporal, and the session below it."""
    secrets = {name: SecretStr(value) for name, value in place.credential.items()}
    made = connector_class(system)(
        Connection("bare", system, system, place.url, place.settings, secrets, outbound=IN_DEVELOPMENT)
    )
    assert isinstance(made, SqlWarehouse)
    session = made._open("wedsync:bare")
    try:
        yield Loader(session, made.dialect, system), session
    finally:
        session.close()
