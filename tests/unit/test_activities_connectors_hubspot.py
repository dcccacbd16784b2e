"""The decisions of the HubSpot connector that need no vendor: formats, plans, the schema and the errors."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from activities.connectors.crm import hubspot_api
from activities.connectors.crm.hubspot import HubSpot
from activities.connectors.crm.hubspot_answers import upsert_results
from activities.connectors.crm.hubspot_api import Answer
from activities.connectors.crm.hubspot_mapping import comparable, same_values
from activities.connectors.crm.hubspot_schema import CUSTOM_OBJECTS, STANDARD_OBJECTS
from activities.ports.connection import Connection
from activities.ports.connector import Connector
from activities.ports.delivery import DeliveryConnector
from activities.ports.records import OutboundRecord, RecordConnector
from contracts.effects import Delivery, Rendered
from contracts.errors import InvalidInput, OutcomeUnknown, RateLimited
from contracts.notification import CrossSystemRouting
from contracts.sync import RecordStatus

ROUTING = {
    "routingId": "route-0001",
    "organizationId": "lumen-studios",
    "sourceNotification": {
        "notificationId": "notif-0001",
        "type": "timeline_change",
        "title": "Ceremony moved <soon>",
        "message": "The ceremony now starts at 15:30.",
        "priority": "high",
        "weddingContext": {"weddingId": "wed-1001", "weddingDate": "2027-06-12", "vendorName": "Lumen Studios"},
        "actions": [{"actionId": "ack", "label": "Got it", "type": "acknowledge"}],
        "metadata": {
            "affectsDealStage": True,
            "newDealStage": "in_progress",
            "timelineChanges": {"newWeddingDate": "2027-06-19", "newVenue": "Orangery"},
        },
    },
    "targetSystems": [
        {
            "systemId": "crm",
            "systemType": "hubspot",
            "integrationId": "hubspot-main",
            "contacts": [
                {"crmContactId": "501", "companyId": "601", "dealId": "701"},
                {"crmContactId": "502", "dealId": "701"},
            ],
        }
    ],
}
OCCURRED_AT = datetime(2027, 6, 1, 9, 30, tzinfo=UTC)


def connector() -> HubSpot:
    connection = Connection(
        organization_id="lumen-studios",
        integration_id="hubspot-main",
        platform="hubspot",
        base_url="https://api.hubapi.com",
        credential={"accessToken": SecretStr("secret")},
    )
    return HubSpot(connection)


def delivery(metadata: dict[str, Any] | None = None, **changes: Any) -> Delivery:
    routing = CrossSystemRouting.model_validate(ROUTING)
    notification = routing.source_notification
    if metadata is not None:
        notification = notification.model_copy(update={"metadata": metadata})
    values: dict[str, Any] = {
        "organization_id": routing.organization_id,
        "business_key": routing.routing_id,
        "notification": notification,
        "target": routing.target_systems[0],
        "rendered": Rendered(),
        "occurred_at": OCCURRED_AT,
    }
    return Delivery(**{**values, **changes})


def prepared(**properties: Any) -> dict[str, Any]:
    return dict(connector().prepare("weddings", OutboundRecord("wed-1", properties)).properties)


def test_the_connector_fulfils_its_protocols() -> None:
    built: Connector = connector()
    assert isinstance(built, DeliveryConnector)
    assert isinstance(built, RecordConnector)


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("Anna and Ben Fisher", "Anna and Ben Fisher Wedding"),
        ("Fisher Wedding", "Fisher Wedding"),
        ("fisher wedding", "fisher wedding"),
        ("Wedding", "Wedding Wedding"),
        ("", ""),
    ],
)
def test_a_client_name_becomes_the_weddings_name_once(client: str, expected: str) -> None:
    assert prepared(wedding_name=client)["wedding_name"] == expected


def test_the_record_id_is_the_unique_property() -> None:
    assert prepared(venue_name="Hartwell House") == {"venue_name": "Hartwell House", "wedsync_id": "wed-1"}


@pytest.mark.parametrize(
    ("name", "given_value", "expected"),
    [
        ("booking_status", "In Progress", "in_progress"),
        ("booking_status", None, ""),
        ("guest_count", 120, "120"),
        ("guest_count", 120.0, "120"),
        ("total_budget", "24500.50", "24500.5"),
        ("total_budget", "1e3", "1000"),
        ("total_budget", -0.0, "0"),
        ("wedding_date", "2027-06-12T23:30:00-11:00", "2027-06-12"),
        ("custom_flag", True, "true"),
        ("custom_number", 7, "7"),
    ],
)
def test_a_value_takes_its_propertys_form(name: str, given_value: Any, expected: str) -> None:
    assert prepared(**{name: given_value})[name] == expected


@pytest.mark.parametrize(
    ("name", "given_value"),
    [
        ("booking_status", "eloped"),
        ("guest_count", "many"),
        ("guest_count", True),
        ("guest_count", "NaN"),
        ("total_budget", "1e999999"),
        ("wedding_date", "12/06/2027"),
        ("venue_name", ["a", "b"]),
    ],
)
def test_an_unfit_value_is_refused_by_property_and_never_shown(name: str, given_value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        prepared(**{name: given_value})
    assert caught.value.detail.evidence["property"] == name
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert isinstance(given_value, bool | list) or given_value not in caught.value.detail.sentence()


@given(st.dates(), st.integers(min_value=-12, max_value=14))
def test_a_wedding_date_stays_the_venues_date(day: date, hours: int) -> None:
    written = f"{day.isoformat()}T23:59:00{hours:+03d}:00"
    assert prepared(wedding_date=written)["wedding_date"] == day.isoformat()


@given(st.dates(min_value=date(1971, 1, 1)))
def test_a_date_read_as_midnight_in_milliseconds_equals_the_date_written(day: date) -> None:
    milliseconds = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    assert comparable("date", str(milliseconds)) == prepared(wedding_date=day.isoformat())["wedding_date"]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "wedding_name": st.text(max_size=40),
            "guest_count": st.integers(-(10**12), 10**12) | st.none(),
            "total_budget": st.decimals(
                allow_nan=False, allow_infinity=False, places=2, min_value=0, max_value=10**9
            ).map(str),
            "booking_status": st.sampled_from(["Booked", "in progress", "COMPLETED"]),
            "association_contact_id": st.integers(1, 10**9),
        },
    )
)
def test_preparing_a_prepared_record_changes_nothing(properties: dict[str, Any]) -> None:
    once = connector().prepare("weddings", OutboundRecord("wed-1", properties))
    assert connector().prepare("weddings", once) == once


def test_equal_instants_compare_equal_in_any_zone() -> None:
    types = {"last_notification_sent": "datetime"}
    wanted = {"last_notification_sent": "2027-06-01T09:30:00.000Z"}
    assert same_values(types, wanted, {"last_notification_sent": "2027-06-01T10:30:00+01:00"})
    assert not same_values(types, wanted, {"last_notification_sent": None})


def test_a_shared_deal_is_moved_once() -> None:
    kinds = [(step.kind, step.object_id) for step in connector().plan(delivery())]
    assert kinds == [
        ("contact.update", "501"),
        ("note.create", None),
        ("deal.update", "701"),
        ("contact.update", "502"),
        ("note.create", None),
    ]


def test_the_same_delivery_plans_the_same_steps() -> None:
    assert connector().plan(delivery()) == connector().plan(delivery())


def test_every_step_has_an_effect_id_of_its_own() -> None:
    steps = connector().plan(delivery()) + connector().plan(delivery(business_key="route-0002"))
    assert len({step.effect_id for step in steps}) == len(steps)


def test_the_contact_learns_the_new_date_and_venue_and_when_it_was_told() -> None:
    [step, *_] = connector().plan(delivery())
    assert step.payload["properties"] == {
        "wedding_date": "2027-06-19",
        "wedding_venue": "Orangery",
        "last_notification_sent": "2027-06-01T09:30:00.000Z",
    }


def test_mapped_properties_reach_the_contact_in_its_formats() -> None:
    rendered = Rendered(properties={"wedding_package_type": "Premium", "nickname": "x"})
    [step, *_] = connector().plan(delivery(rendered=rendered))
    properties = step.payload["properties"]
    assert isinstance(properties, dict)
    assert (properties["wedding_package_type"], properties["nickname"]) == ("premium", "x")


@pytest.mark.parametrize(("word", "expected"), [("Completed", "completed"), ("contract_sent", None)])
def test_a_status_the_contact_cannot_hold_is_left_out(word: str, expected: str | None) -> None:
    [step, *_] = connector().plan(delivery(metadata={"newStatus": word}))
    properties = step.payload["properties"]
    assert isinstance(properties, dict)
    assert properties.get("wedding_status") == expected


def test_the_note_is_escaped_and_carries_its_effect_id() -> None:
    note = connector().plan(delivery())[1]
    properties = note.payload["properties"]
    assert isinstance(properties, dict)
    assert properties["wedsync_effect_id"] == note.effect_id
    assert "Ceremony moved &lt;soon&gt;" in str(properties["hs_note_body"])
    assert "<li>Got it</li>" in str(properties["hs_note_body"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"metadata": {"affectsDealStage": True}}, "no_deal_stage"),
        ({"metadata": {"timelineChanges": {"newWeddingDate": "soon"}}}, "invalid_metadata"),
    ],
)
def test_metadata_that_cannot_be_acted_on_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        connector().plan(delivery(**changes))
    assert caught.value.detail.code == code


def test_a_notification_without_contacts_is_refused() -> None:
    target = delivery().target.model_copy(update={"contacts": []})
    with pytest.raises(InvalidInput) as caught:
        connector().plan(delivery(target=target))
    assert caught.value.detail.code == "no_contacts"


@pytest.mark.parametrize(
    ("task_type", "expected"), [("follow_up_call", "CALL"), ("send-email", "EMAIL"), ("recall_form", "TODO")]
)
def test_a_tasks_type_follows_its_words(task_type: str, expected: str) -> None:
    target = delivery().target.model_copy(update={"contacts": []})
    [step] = connector().plan(delivery(metadata={"taskType": task_type}, target=target, intent="task"))
    properties = step.payload["properties"]
    assert isinstance(properties, dict)
    assert properties["hs_task_type"] == expected


def test_every_enumeration_has_options_and_every_object_a_unique_id() -> None:
    objects = [*CUSTOM_OBJECTS.values(), *STANDARD_OBJECTS]
    enumerations = [spec for item in objects for spec in item.properties if spec.type == "enumeration"]
    assert all(spec.options for spec in enumerations)
    assert all(any(spec.unique for spec in item.properties) for item in CUSTOM_OBJECTS.values())


def answer(**body: Any) -> Answer:
    return Answer("weddings.upsert", 207, {"results": [], **body}, writes=True)


def test_a_record_the_vendor_is_silent_about_is_held() -> None:
    results = upsert_results(answer(), ["wed-1"])
    assert results["wed-1"].status is RecordStatus.HELD


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"category": "VALIDATION_ERROR"}, RecordStatus.REJECTED),
        ({"category": "RATE_LIMITS"}, RecordStatus.HELD),
        ({"category": "NEW_WORD"}, RecordStatus.REJECTED),
        ({"category": "NEW_WORD", "status": "503"}, RecordStatus.HELD),
    ],
)
def test_an_items_error_is_held_when_it_passes_by_itself(error: dict[str, Any], expected: RecordStatus) -> None:
    errors = [{**error, "context": {"objectWriteTraceId": ["wed-1"]}}]
    assert upsert_results(answer(errors=errors), ["wed-1"])["wed-1"].status is expected


def test_an_answer_without_results_is_an_open_outcome() -> None:
    with pytest.raises(OutcomeUnknown):
        upsert_results(Answer("weddings.upsert", 200, {}, writes=True), ["wed-1"])


def refusal(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    refused = SimpleNamespace(status=status, body=json.dumps(body), headers=headers or {})
    return hubspot_api._refusal("contacts.update", refused, writes=True)


@pytest.mark.parametrize(
    ("policy", "headers", "expected"),
    [
        ("DAILY", {}, 3_600),
        ("TEN_SECONDLY_ROLLING", {}, 10),
        ("DAILY", {"Retry-After": "20"}, 20),
    ],
)
def test_a_spent_daily_quota_waits_longer(policy: str, headers: dict[str, str], expected: float) -> None:
    error = refusal(429, {"errorType": "RATE_LIMIT", "policyName": policy}, headers)
    assert isinstance(error, RateLimited)
    assert error.detail.retry_after_s == expected


def test_only_the_vendors_fixed_words_become_evidence() -> None:
    error = refusal(400, {"category": "Anna Fisher already exists", "message": "Anna Fisher"})
    assert error.detail.evidence == {"status": 400}


def test_the_example_notification_can_be_planned() -> None:
    example = Path(__file__).parents[2] / "examples" / "route-notification.json"
    routing = CrossSystemRouting.model_validate_json(example.read_text(encoding="utf-8"))
    steps = connector().plan(delivery(notification=routing.source_notification, target=routing.target_systems[0]))
    assert [step.kind for step in steps] == ["contact.update", "note.create", "deal.update"]
