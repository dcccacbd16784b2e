"""The emulated Power BI workspace: a connector to it, what it holds, and what others do in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from activities.connectors.bi.powerbi import PowerBi
from activities.ports.datasets import PublishRequest
from emulators import powerbi as workspace
from emulators.powerbi_workspace import GROUP
from tests.support.admissions import Counting
from tests.support.deliveries import connection
from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client
from tests.support.publications import Remembered

NAME = "Seasonal Booking Patterns"
SETTINGS = {"tenantId": workspace.TENANT, "groupId": GROUP}
ROWS = 25


def opened(emulators: Emulators, token: str = workspace.TOKEN, **given: str) -> PowerBi:
    base_url = emulators.base_url("powerbi")
    return PowerBi(connection("powerbi", base_url, {"accessToken": token}, **{**SETTINGS, **given}))


def columns(rows: int) -> dict[str, list[Any]]:
    return {"venueId": [f"ven-{number % 100}" for number in range(rows)], "guests": list(range(rows))}


def held(emulators: Emulators) -> list[dict[str, Any]]:
    return [row for push in emulators.objects("powerbi", "pushes") for row in push["rows"]]


def guests(emulators: Emulators) -> list[int]:
    return sorted(row["guests"] for row in held(emulators))


def kinds(emulators: Emulators) -> list[str]:
    return [effect["kind"] for effect in emulators.effects("powerbi")]


def warehouse(emulators: Emulators, rows: int, **given: Any) -> None:
    body = {"model": workspace.WAREHOUSE_MODEL, "table": "Weddings", "rows": rows, **given}
    emulators.control("powerbi", "warehouse", body)


def interrupted(emulators: Emulators, room: int, **given: str) -> PowerBi:
    """Return a connector that makes so many requests, as a worker does that is killed then."""
    place = connection("powerbi", emulators.base_url("powerbi"), {"accessToken": workspace.TOKEN}, **SETTINGS, **given)
    return PowerBi(replace(place, admission=Counting(room=room)))


def remembered(request: PublishRequest) -> Remembered:
    assert isinstance(request.progress, Remembered)
    return request.progress


def model_id(emulators: Emulators) -> str:
    [model] = [one for one in emulators.objects("powerbi", "models") if one["name"] == NAME]
    return str(model["id"])


def look(emulators: Emulators) -> None:
    """Look at the oldest refresh, as the one who began it does."""
    refresh = emulators.objects("powerbi", "refreshes")[0]
    send(emulators, f"/{refresh['model']}/refreshes/{refresh['id']}")


def send(emulators: Emulators, path: str, body: bytes | None = None) -> None:
    """Make a request as somebody else does."""
    headers = {"Authorization": f"Bearer {workspace.TOKEN}"}
    with loopback_client(emulators.base_url("powerbi"), headers) as client:
        method = "GET" if body is None else "POST"
        client.request(method, f"/v1.0/myorg/groups/{GROUP}/datasets{path}", content=body).raise_for_status()
