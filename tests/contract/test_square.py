"""Square against its emulated seller: the order's fulfilment moves once, and the errors that recover."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from activities.connectors.payments.square import Square
from contracts.effects import Delivery, EffectStep, Rendered, StandingEffect
from contracts.errors import InvalidInput, Permanent, Transient, WedSyncError
from tests.support.admissions import Counting
from tests.support.deliveries import OCCURRED_AT, PRIVATE_WORDS, ROUTING, connection, delivery
from tests.support.delivery_suite import DeliverySuite
from tests.support.emulators import Emulators
from tests.support.specs import OpenApi, SentRequest, specs_dir

EMULATED = ("square",)
TOKEN = {"accessToken": "sandbox-square-token"}
ORDER = "ORDFISHERBAR0000000000001"
CHANGES = ROUTING["sourceNotification"]["metadata"]["timelineChanges"]


@pytest.fixture
async def square(emulators: Emulators) -> AsyncIterator[Square]:
    connector = Square(connection("square", emulators.base_url("square"), TOKEN))
    yield connector
    await connector.aclose()


def update(connector: Square, changes: dict[str, Any] | None = None, **changed: Any) -> EffectStep:
    facts = {"squareOrderId": ORDER, "timelineChanges": CHANGES if changes is None else changes}
    [step] = connector.plan(delivery("square", metadata=facts, **changed))
    return step


def pickup(emulators: Emulators) -> dict[str, Any]:
    details: dict[str, Any] = emulators.objects("square", "orders")[0]["fulfillments"][0]["pickup_details"]
    return details


def updates(emulators: Emulators) -> int:
    return len(emulators.effects("square"))


def standing(step: EffectStep) -> StandingEffect:
    known = step.model_dump(include={"effect_id", "organization_id", "integration_id", "system", "kind", "object_id"})
    return StandingEffect(**known, remote_id=step.object_id, workflow_id="run", applied_at=OCCURRED_AT)


async def put(emulators: Emulators, order: dict[str, Any]) -> None:
    """Update the order as another program of the seller does."""
    headers = {"Authorization": f"Bearer {TOKEN['accessToken']}"}
    async with httpx.AsyncClient(base_url=emulators.base_url("square"), headers=headers, trust_env=False) as other:
        (await other.put(f"/v2/orders/{ORDER}", json={"order": order})).raise_for_status()


async def failure(call: Awaitable[Any]) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        await call
    told = caught.value.detail.model_dump_json() + str(caught.value)
    assert not [word for word in PRIVATE_WORDS if word in told]
    return caught.value


async def test_a_timeline_change_moves_the_order_s_pickup_and_notes_why(square: Square, emulators: Emulators) -> None:
    await square.apply(update(square))
    assert pickup(emulators)["pickup_at"] == "2027-06-12T14:30:00Z"
    assert pickup(emulators)["note"].startswith("Ceremony moved to 15:30\n")


async def test_a_moved_wedding_keeps_the_time_of_day_at_the_venue(square: Square, emulators: Emulators) -> None:
    await square.apply(update(square, {"newWeddingDate": "2027-11-06"}))
    assert pickup(emulators)["pickup_at"] == "2027-11-06T14:00:00Z"


async def test_a_notification_without_a_change_of_time_leaves_the_time(square: Square, emulators: Emulators) -> None:
    await square.apply(update(square, {}, rendered=Rendered(text="Menu: two vegan guests")))
    assert (pickup(emulators)["pickup_at"], pickup(emulators)["note"]) == (
        "2027-06-12T13:00:00Z",
        "Menu: two vegan guests",
    )


async def test_a_long_message_is_cut_to_what_square_takes(square: Square, emulators: Emulators) -> None:
    await square.apply(update(square, {}, message="x" * 4_000))
    assert len(pickup(emulators)["note"]) == 500


async def test_a_second_apply_writes_nothing(square: Square, emulators: Emulators) -> None:
    outcomes = [await square.apply(update(square)) for _ in range(2)]
    assert ([one.replayed for one in outcomes], updates(emulators)) == ([False, True], 1)


@pytest.mark.parametrize("order", permutations(range(4)))
async def test_f43_the_newest_date_stands_in_whatever_order_events_arrive(
    square: Square, emulators: Emulators, order: tuple[int, ...]
) -> None:
    days = ("2027-07-01", "2027-07-04", "2027-07-03", "2027-07-04")
    for number in order:
        told_at = f"2027-06-0{number + 1}T00:00:00Z"
        await square.apply(update(square, {"newWeddingDate": days[number]}, createdAt=told_at))
    assert pickup(emulators)["pickup_at"] == "2027-07-04T13:00:00Z"


async def test_the_same_request_sent_twice_stands_once_by_its_key(
    square: Square, emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await square._read(f"/v2/orders/{ORDER}", "order", "order.read")
    await square.apply(update(square))

    async def stale(*_: Any) -> Any:
        return before

    monkeypatch.setattr(square, "_read", stale)
    await square.apply(update(square))
    assert updates(emulators) == 1


async def test_an_order_that_changes_between_read_and_write_is_not_overwritten(
    square: Square, emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = square._read

    async def read_and_be_overtaken(*args: Any) -> Any:
        found = await read(*args)
        await put(emulators, {"version": found["version"], "ticket_name": "Fishers"})
        return found

    monkeypatch.setattr(square, "_read", read_and_be_overtaken)
    found = await failure(square.apply(update(square)))
    assert (type(found), found.detail.code) == (Transient, "order_changed")
    assert pickup(emulators)["note"] == "Terrace bar"


async def test_what_others_keep_with_the_order_stays(square: Square, emulators: Emulators) -> None:
    await put(emulators, {"version": 1, "ticket_name": "Fishers", "metadata": {"table": "9"}})
    await square.apply(update(square))
    [order] = emulators.objects("square", "orders")
    assert (order["ticket_name"], order["metadata"]["table"]) == ("Fishers", "9")


async def test_an_order_without_an_open_pickup_is_the_seller_s_to_mend(square: Square, emulators: Emulators) -> None:
    await put(emulators, {"version": 1, "fulfillments": [{"uid": "ready", "state": "COMPLETED"}]})
    found = await failure(square.apply(update(square)))
    assert (type(found), found.detail.code) == (Permanent, "fulfilment_missing")


async def test_a_correction_rewrites_the_order(square: Square, emulators: Emulators) -> None:
    step = update(square)
    await square.apply(step)
    later = update(square, {"newWeddingTime": "16:00"}, createdAt="2027-06-02T00:00:00Z")
    await square.correct(standing(step), later)
    assert pickup(emulators)["pickup_at"] == "2027-06-12T15:00:00Z"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"metadata": {}}, "square_order_missing"),
        ({"metadata": {"squareOrderId": ORDER, "timelineChanges": 7}}, "metadata_invalid"),
        (
            {
                "metadata": {"squareOrderId": ORDER},
                "weddingContext": {"weddingId": "wed-1001", "timeZone": "Mars/Base"},
            },
            "unknown_time_zone",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_call(changed: dict[str, Any], code: str) -> None:
    connector = Square(connection("square", "http://127.0.0.1:9", TOKEN))
    with pytest.raises(InvalidInput) as caught:
        connector.plan(delivery("square", **changed))
    assert caught.value.detail.code == code


async def test_an_unknown_order_is_not_found(square: Square) -> None:
    [step] = square.plan(delivery("square", metadata={"squareOrderId": "none"}))
    assert (await failure(square.apply(step))).detail.code == "not_found"


async def test_the_probe_names_the_seller(square: Square) -> None:
    found = await square.probe()
    assert (found.ok, found.account) == (True, "MLHARTWELL001")


@pytest.mark.parametrize("fault", ["reset", "hang", "garbage", "html_login_page", "schema_drift"])
async def test_a_look_without_a_usable_answer_is_transient(square: Square, emulators: Emulators, fault: str) -> None:
    emulators.fault("square", fault, method="GET", count=1)
    square._http._timeout_s = 0.5
    assert type(await failure(square.find(update(square)))) is Transient


async def test_every_request_was_admitted(emulators: Emulators) -> None:
    admission = Counting()
    connector = Square(replace(connection("square", emulators.base_url("square"), TOKEN), admission=admission))
    await connector.probe()
    step = update(connector)
    await connector.apply(step)
    await connector.find(step)
    await connector.aclose()
    assert admission.calls == len(emulators.requests("square")) == 4


async def test_every_request_is_one_the_vendor_describes(square: Square, emulators: Emulators, tmp_path: Path) -> None:
    described = tmp_path / "square.json"
    described.write_bytes(gzip.decompress((specs_dir("square") / "api.json.gz").read_bytes()))
    base = httpx.URL(emulators.base_url("square")).path
    sent: list[SentRequest] = []

    async def record(request: httpx.Request) -> None:
        body = json.loads(request.content) if request.content else None
        path = request.url.path.removeprefix(base)
        sent.append(SentRequest(request.method, path, parse_qs(request.url.query.decode()), body))

    square._http._client.event_hooks["request"].append(record)
    await square.probe()
    await square.apply(update(square))
    api = OpenApi(described)
    problems = [(one.method, one.path, problem) for one in sent for problem in api.problems(one)]
    assert (len(sent), problems) == (3, [])


class TestSquare(DeliverySuite):
    """An order's update, held to what every delivery promises."""

    connector_class = Square
    credential = TOKEN
    write_method = "PUT"
    write_path = "orders"
    created = "order.updated"

    def delivery(self) -> Delivery:
        return delivery("square", metadata={"squareOrderId": ORDER, "timelineChanges": CHANGES})
