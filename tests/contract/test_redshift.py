"""The Redshift connector against the stand-in: what every warehouse promises, and what is Redshift's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import JsonValue, SecretStr

from activities.connectors.warehouse.redshift import Redshift
from activities.ports.connection import Connection
from tests.support.admissions import Counting
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.warehouse_stand_ins import StandIn, Standing
from tests.support.warehouse_suite import WEDDINGS, WarehouseSuite, batch, load

pytestmark = pytest.mark.timeout(600)

OPENED: list[Redshift] = []


def redshift_at(cluster: StandIn, user: str = "sandbox", password: str | None = None, **settings: str) -> Redshift:
    """Return the connector to the stand-in's cluster."""
    host, port = cluster.address
    known: dict[str, JsonValue] = {
        "host": "sandbox",
        "database": "dev",
        "bucket": cluster.ready["bucket"],
        "region": "us-east-1",
        "iamRole": "arn:aws:iam::123456789012:role/loads",
        "stagingUrl": cluster.ready["s3"],
        **settings,
    }
    secrets = {"user": user, "password": password or user, "accessKeyId": "sandbox", "secretAccessKey": "sandbox"}
    credential = {name: SecretStr(value) for name, value in secrets.items()}
    place = ("lumen", "redshift-main", "redshift", f"http://{host}:{port}")
    made = Redshift(Connection(*place, known, credential, outbound=IN_DEVELOPMENT))
    OPENED.append(made)
    return made


@pytest.fixture(autouse=True)
async def _sessions_end_with_their_test():
    yield
    while OPENED:
        await OPENED.pop().aclose()


@pytest.fixture
def cluster(redshift_process: StandIn) -> StandIn:
    redshift_process.reset()
    return redshift_process


@pytest.fixture
def stand(cluster: StandIn) -> Standing:
    return Standing(cluster)


def statements(cluster: StandIn) -> int:
    return len(cluster.requests())


class TestRedshift(WarehouseSuite):
    """Redshift keeps what every warehouse promises."""

    seams = 5

    def connector(self, stand: Standing) -> Redshift:
        return redshift_at(stand.stand_in)


async def test_every_request_was_admitted(cluster: StandIn, tmp_path):
    connector, admission = redshift_at(cluster), Counting()
    connector._connection = replace(connector._connection, admission=admission)
    for step in (
        connector.probe,
        connector.provision,
        lambda: load(connector, tmp_path, WEDDINGS, batch()),
        lambda: connector.build_analytics(batch()),
        lambda: connector.optimize(batch()),
    ):
        admission.calls, before = 0, statements(cluster)
        await step()
        assert statements(cluster) - before <= admission.calls
