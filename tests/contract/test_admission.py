"""No connector makes a request that was not admitted, and none is left with half an effect by a refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from activities.connectors.bi.powerbi import PowerBi
from activities.connectors.bi.sap_analytics_cloud import SapAnalyticsCloud
from activities.connectors.bi.tableau import Tableau
from activities.connectors.booking.tave import Tave
from activities.connectors.communication.email import Email
from activities.connectors.communication.slack.connector import Slack
from activities.connectors.crm.hubspot import HubSpot
from activities.connectors.source.wedsync import WedSyncReports
from activities.ports.connection import Connection
from activities.ports.connector import Connector
from activities.ports.delivery import DeliveryConnector
from contracts.errors import RateLimited
from emulators.powerbi_workspace import GROUP
from tests.support.admissions import Counting
from tests.support.deliveries import connection, delivery
from tests.support.emulators import Emulators
from tests.support.hubspot_account import prepared, wedding
from tests.support.publications import publication

CREDENTIALS = {
    "hubspot": {"accessToken": "sandbox-hubspot-token"},
    "slack": {"botToken": "sandbox-slack-token"},
    "tave": {"apiKey": "sandbox-tave-key"},
    "tableau": {"tokenName": "sandbox-pat", "tokenSecret": "sandbox-tableau-secret"},
    "powerbi": {"accessToken": "sandbox-powerbi-token"},
    "sap_analytics_cloud": {"accessToken": "sandbox-sap-token"},
    "wedsync": {"token": "sandbox-wedsync-token"},
}
SETTINGS = {
    "tableau": {"siteName": "lumen"},
    "tave": {"studioId": "studio-1"},
    "powerbi": {"tenantId": "tenant", "groupId": GROUP},
    "sap_analytics_cloud": {"tenant": "lumen", "region": "eu10", "version": "public.WedSync"},
}
MADE: dict[str, type[Connector]] = {
    "hubspot": HubSpot,
    "slack": Slack,
    "tave": Tave,
    "tableau": Tableau,
    "powerbi": PowerBi,
    "sap_analytics_cloud": SapAnalyticsCloud,
    "wedsync": WedSyncReports,
}
Open = Callable[[str, Counting], Connector]


@pytest.fixture
async def opened(emulators: Emulators) -> AsyncIterator[Open]:
    made: list[Connector] = []

    def open_one(system: str, admission: Counting) -> Connector:
        mine = connection(
            system, emulators.base_url(system).rstrip("/"), CREDENTIALS[system], **SETTINGS.get(system, {})
        )
        made.append(MADE[system](replace(mine, admission=admission)))
        return made[-1]

    yield open_one
    for connector in made:
        await connector.aclose()


async def deliver(connector: DeliveryConnector, system: str, **target: object) -> None:
    """Make the example's effects, and look for each."""
    for step in connector.plan(delivery(system, target=target)):
        await connector.apply(step)
        await connector.find(step)


async def _hubspot(connector: HubSpot, _folder: Path) -> None:
    await connector.provision()
    first = wedding(1, association_contact_id="501")
    await connector.upsert("weddings", prepared(connector, first, wedding(2)))
    await connector.read("weddings", ["wed-1", "wed-2"])
    await deliver(connector, "hubspot", contacts=[{"crmContactId": "501", "dealId": "701"}])


async def _slack(connector: Slack, _folder: Path) -> None:
    await deliver(connector, "slack")


async def _tave(connector: Tave, _folder: Path) -> None:
    await deliver(connector, "tave")


async def _tableau(connector: Tableau, folder: Path) -> None:
    await connector.provision()
    await connector.publish(publication(folder, {"guests": [80, 120]}, name="Wedding Revenue Analytics"))


async def _powerbi(connector: PowerBi, folder: Path) -> None:
    await connector.publish(publication(folder, {"guests": [80, 120]}, name="Wedding Revenue Analytics"))
    await connector.publish(publication(folder, {"guests": [80]}, name="Wedding Revenue Analytics", request_id="next"))


async def _sap(connector: SapAnalyticsCloud, folder: Path) -> None:
    facts = {"Wedding": ["wed-1", "wed-2"], "Date": [date(2027, 6, 12)] * 2, "Revenue": [1.0, 2.0]}
    await connector.publish(publication(folder, facts, name="Wedding_Revenue"))


async def _wedsync(connector: WedSyncReports, _folder: Path) -> None:
    pages = connector.pages("weddings")
    await anext(pages)
    await anext(pages)


WORK: dict[str, Callable[..., Awaitable[None]]] = {
    "hubspot": _hubspot,
    "slack": _slack,
    "tave": _tave,
    "tableau": _tableau,
    "powerbi": _powerbi,
    "sap_analytics_cloud": _sap,
    "wedsync": _wedsync,
}
COUNTED_AT_ONCE = {"tableau"}
"""What counts the most requests a session can make before it begins."""


@pytest.mark.parametrize("system", MADE)
async def test_every_request_was_admitted(system: str, opened: Open, emulators: Emulators, tmp_path: Path) -> None:
    admission = Counting()
    connector = opened(system, admission)
    await connector.probe()
    await WORK[system](connector, tmp_path)
    made = len(emulators.requests(system))
    assert made > 1
    assert admission.calls >= made if system in COUNTED_AT_ONCE else admission.calls == made


@pytest.mark.parametrize("system", MADE)
async def test_a_refused_probe_asks_the_vendor_nothing(system: str, opened: Open, emulators: Emulators) -> None:
    with pytest.raises(RateLimited):
        await opened(system, Counting(room=0)).probe()
    assert emulators.requests(system) == []


async def test_a_message_is_one_call_to_the_mail_server(emulators: Emulators) -> None:
    place, admission = emulators.details("smtp"), Counting()
    mine: Connection = connection(
        "email", f"smtp://{place['host']}:{place['port']}", {}, fromAddress="studio@lumen.example"
    )
    email = Email(replace(mine, admission=admission))
    for step in email.plan(delivery("email", target={"recipients": ["anna@fisher.example", "ben@fisher.example"]})):
        await email.apply(step)
    assert (admission.calls, len(emulators.effects("smtp"))) == (2, 2)


@pytest.mark.parametrize("room", range(1, 3))
async def test_a_refused_batch_is_not_written_without_its_associations(
    room: int, opened: Open, emulators: Emulators
) -> None:
    provisioned = opened("hubspot", Counting())
    assert isinstance(provisioned, HubSpot)
    await provisioned.provision()
    before = len(emulators.effects("hubspot"))
    connector = opened("hubspot", Counting(room=room))
    assert isinstance(connector, HubSpot)
    with pytest.raises(RateLimited):
        await connector.upsert("weddings", prepared(connector, wedding(1, association_contact_id="501")))
    assert len(emulators.effects("hubspot")) == before


async def test_a_change_is_not_read_when_it_could_not_be_written(opened: Open, emulators: Emulators) -> None:
    connector = opened("tave", Counting(room=1))
    assert isinstance(connector, Tave)
    with pytest.raises(RateLimited):
        await connector.apply(connector.plan(delivery("tave"))[0])
    assert emulators.requests("tave") == []
