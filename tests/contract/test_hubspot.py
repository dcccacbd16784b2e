"""The HubSpot connector against the emulated HubSpot, over TCP and through the official SDK."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from activities.connectors.crm.hubspot import HubSpot
from activities.connectors.crm.hubspot_api import HubSpotApi
from activities.ports.records import OutboundRecord
from contracts.effects import DeliveryIntent
from contracts.errors import InvalidInput, OutcomeUnknown, Permanent
from contracts.sync import RecordStatus
from tests.support.deliveries import standing
from tests.support.emulators import Emulators
from tests.support.hubspot_account import PATIENCE_S, connection, delivery, patient, prepared, step_of, wedding
from tests.support.specs import OpenApi, SentRequest, record_urllib3, specs_dir

EMULATED = ("hubspot",)
UPSERT = "batch/upsert$"


def kinds(emulators: Emulators) -> Counter[str]:
    return Counter(effect["kind"] for effect in emulators.effects("hubspot"))


def calls(emulators: Emulators, ending: str) -> int:
    return sum(request["path"].endswith(ending) for request in emulators.requests("hubspot"))


async def test_a_probe_tells_the_portal_and_its_features(hubspot: HubSpot) -> None:
    probe = await hubspot.probe()
    assert probe.ok
    assert probe.account == "48000001"
    assert probe.features == ["contacts", "deals", "custom_objects"]


async def test_a_feature_the_token_may_not_see_is_left_out_of_the_probe(hubspot: HubSpot, emulators: Emulators) -> None:
    emulators.fault("hubspot", "status", path="schemas", status=403)
    assert (await hubspot.probe()).features == ["contacts", "deals"]


async def test_a_second_provisioning_creates_nothing(hubspot: HubSpot, emulators: Emulators) -> None:
    first = await hubspot.provision()
    standing = emulators.effects("hubspot")
    second = await hubspot.provision()
    assert {"weddings", "wedding_services", "contacts.wedding_venue", "notes.wedsync_effect_id"} <= set(first.created)
    assert second.created == []
    assert emulators.effects("hubspot") == standing


async def test_provisioning_adds_the_options_an_existing_property_lacks(hubspot: HubSpot, emulators: Emulators) -> None:
    api = HubSpotApi(connection(emulators.base_url("hubspot")), PATIENCE_S)
    own = {"label": "Eloped", "value": "eloped", "displayOrder": 0, "hidden": False}
    group = {"name": "wedding_information", "label": "Wedding Information"}
    await api.call("group", "groups.create", "contacts", group, writes=True)
    status = {"name": "wedding_status", "label": "Status", "type": "enumeration", "fieldType": "select"}
    body = {**status, "groupName": "wedding_information", "options": [own]}
    await api.call("property", "properties.create", "contacts", body, writes=True)
    await hubspot.provision()
    held = await api.call("read", "properties.get_by_name", "contacts", "wedding_status", writes=False)
    await api.close()
    values = [option["value"] for option in held.body["options"]]
    assert values == ["eloped", "inquiry", "booked", "in_progress", "completed", "cancelled"]


async def test_provisioning_adds_the_property_an_existing_object_lacks(hubspot: HubSpot, emulators: Emulators) -> None:
    api = HubSpotApi(connection(emulators.base_url("hubspot")), PATIENCE_S)
    name = {"name": "wedding_name", "label": "Name", "type": "string", "fieldType": "text"}
    labels = {"singular": "Wedding", "plural": "Weddings"}
    egg = {"name": "weddings", "labels": labels, "requiredProperties": [], "associatedObjects": ["CONTACT"]}
    await api.call("schema", "schemas.create", {**egg, "properties": [name]}, writes=True)
    await api.close()
    result = await hubspot.provision()
    assert "weddings.wedsync_id" in result.created
    answer = await hubspot.upsert("weddings", prepared(hubspot, wedding(1)))
    assert [item.status for item in answer.results] == [RecordStatus.CREATED]


async def test_a_property_of_our_name_without_unique_values_stops_the_provisioning(
    hubspot: HubSpot, emulators: Emulators
) -> None:
    api = HubSpotApi(connection(emulators.base_url("hubspot")), PATIENCE_S)
    body = {"name": "wedsync_effect_id", "label": "x", "type": "string", "fieldType": "text"}
    await api.call("p", "properties.create", "notes", {**body, "groupName": "noteinformation"}, writes=True)
    await api.close()
    with pytest.raises(InvalidInput) as caught:
        await hubspot.provision()
    assert caught.value.detail.code == "property_not_unique"


async def test_two_hundred_and_fifty_records_take_three_upserts(provisioned: HubSpot, emulators: Emulators) -> None:
    records = prepared(provisioned, *(wedding(number) for number in range(250)))
    size = provisioned.manifest.batch_size
    answers = [await provisioned.upsert("weddings", records[start : start + size]) for start in range(0, 250, size)]
    assert calls(emulators, "batch/upsert") == 3
    assert sum(len(answer.results) for answer in answers) == 250
    assert kinds(emulators)["weddings.created"] == 250


async def test_vendor_calls_count_the_look_at_the_schemas_only_once(provisioned: HubSpot) -> None:
    first = await provisioned.upsert("weddings", prepared(provisioned, wedding(1)))
    second = await provisioned.upsert("weddings", prepared(provisioned, wedding(2)))
    assert (first.vendor_calls, second.vendor_calls) == (2, 1)


async def test_a_second_upsert_of_the_same_records_changes_nothing(provisioned: HubSpot, emulators: Emulators) -> None:
    records = prepared(provisioned, wedding(1), wedding(2))
    await provisioned.upsert("weddings", records)
    standing = emulators.effects("hubspot")
    answer = await provisioned.upsert("weddings", records)
    assert [item.status for item in answer.results] == [RecordStatus.UPDATED] * 2
    assert emulators.effects("hubspot") == standing


async def test_records_are_removed_by_our_id_and_what_is_gone_already_counts(
    provisioned: HubSpot, emulators: Emulators
) -> None:
    await provisioned.upsert("weddings", prepared(provisioned, *(wedding(number) for number in range(3))))
    answer = await provisioned.remove("weddings", ["wed-0", "wed-2", "wed-9"])
    assert (answer.removed, answer.refused, answer.vendor_calls) == (["wed-0", "wed-2", "wed-9"], {}, 2)
    again = await provisioned.remove("weddings", ["wed-0", "wed-2"])
    assert (again.removed, again.vendor_calls) == (["wed-0", "wed-2"], 1)
    assert (kinds(emulators)["weddings.archived"], len(emulators.objects("hubspot", "weddings"))) == (2, 1)


async def test_f21_a_removal_whose_answer_was_lost_is_safe_to_repeat(
    provisioned: HubSpot, emulators: Emulators
) -> None:
    await provisioned.upsert("weddings", prepared(provisioned, wedding(1)))
    emulators.fault("hubspot", "drop_after_effect", path="batch.archive", count=1)
    with pytest.raises(OutcomeUnknown):
        await provisioned.remove("weddings", ["wed-1"])
    assert (await provisioned.remove("weddings", ["wed-1"])).removed == ["wed-1"]
    assert kinds(emulators)["weddings.archived"] == 1


async def test_what_is_read_back_equals_what_was_prepared(provisioned: HubSpot) -> None:
    records = prepared(provisioned, wedding(1, total_budget="24500.50"), wedding(2, venue_name=None))
    await provisioned.upsert("weddings", records)
    held = await provisioned.read("weddings", ["wed-1", "wed-2", "wed-absent"])
    assert set(held) == {"wed-1", "wed-2"}
    for record in records:
        assert {name: held[record.record_id][name] for name in record.properties} == dict(record.properties)


async def test_a_refused_record_is_rejected_and_the_others_stand(provisioned: HubSpot) -> None:
    bad = OutboundRecord("wed-2", {"wedding_name": "Couple Wedding", "nonexistent": "x", "wedsync_id": "wed-2"})
    answer = await provisioned.upsert("weddings", [*prepared(provisioned, wedding(1)), bad])
    assert [item.status for item in answer.results] == [RecordStatus.CREATED, RecordStatus.REJECTED]
    assert answer.results[1].reason == "VALIDATION_ERROR PROPERTY_DOESNT_EXIST"


@pytest.mark.parametrize(("status", "expected"), [(400, RecordStatus.REJECTED), (503, RecordStatus.HELD)])
async def test_a_multi_status_answer_tells_a_bad_record_from_a_passing_fault(
    provisioned: HubSpot, emulators: Emulators, status: int, expected: RecordStatus
) -> None:
    emulators.fault("hubspot", "partial_batch", path=UPSERT, status=status, count=1)
    answer = await provisioned.upsert("weddings", prepared(provisioned, *(wedding(number) for number in range(4))))
    found = [item.status for item in answer.results]
    assert found == [RecordStatus.CREATED, expected, RecordStatus.CREATED, expected]


async def test_a_batch_refused_as_a_whole_is_the_callers_to_halve(provisioned: HubSpot, emulators: Emulators) -> None:
    emulators.fault("hubspot", "status", path=UPSERT, status=400, count=1)
    with pytest.raises(Permanent) as caught:
        await provisioned.upsert("weddings", prepared(provisioned, wedding(1), wedding(2)))
    assert caught.value.detail.code == "batch_refused"


async def test_a_refused_batch_of_one_is_rejected(provisioned: HubSpot, emulators: Emulators) -> None:
    emulators.fault("hubspot", "status", path=UPSERT, status=400, count=1)
    answer = await provisioned.upsert("weddings", prepared(provisioned, wedding(1)))
    assert [item.status for item in answer.results] == [RecordStatus.REJECTED]


async def test_an_upsert_before_provisioning_says_so(hubspot: HubSpot) -> None:
    with pytest.raises(InvalidInput) as caught:
        await hubspot.upsert("weddings", prepared(hubspot, wedding(1)))
    assert caught.value.detail.code == "not_provisioned"


async def test_association_targets_become_associations_and_no_properties(
    provisioned: HubSpot, emulators: Emulators
) -> None:
    record = wedding(1, association_contact_id="501", association_company_id=601)
    await provisioned.upsert("weddings", prepared(provisioned, wedding(2)))
    answer = await provisioned.upsert("weddings", prepared(provisioned, record, wedding(2)))
    assert answer.vendor_calls == 3
    assert kinds(emulators)["association.created"] == 2
    await provisioned.upsert("weddings", prepared(provisioned, record))
    assert kinds(emulators)["association.created"] == 2


async def test_a_record_whose_association_is_refused_is_rejected_with_its_remote_id(provisioned: HubSpot) -> None:
    records = prepared(
        provisioned, wedding(1, association_contact_id="501"), wedding(2, association_contact_id="no-such-contact")
    )
    answer = await provisioned.upsert("weddings", records)
    assert [item.status for item in answer.results] == [RecordStatus.CREATED, RecordStatus.REJECTED]
    assert answer.results[1].remote_id
    assert answer.results[1].reason == "association_contact_id: OBJECT_NOT_FOUND"


async def test_a_delivery_updates_the_contact_writes_a_note_and_moves_the_deal(
    provisioned: HubSpot, emulators: Emulators
) -> None:
    outcomes = [await provisioned.apply(step) for step in provisioned.plan(delivery())]
    effects = emulators.effects("hubspot")
    assert [effect["kind"] for effect in effects] == ["contact.updated", "note.created", "deal.updated"]
    assert [outcome.replayed for outcome in outcomes] == [False] * 3
    assert effects[0]["body"]["properties"]["last_notification_sent"] == "2027-06-01T09:30:00.000Z"
    linked = {link["to"]["id"] for link in effects[1]["body"]["associations"]}
    assert linked == {"501", "601", "701"}


@pytest.mark.parametrize("kind", ["contact.update", "note.create", "deal.update"])
async def test_an_effect_is_found_only_once_it_stands(provisioned: HubSpot, kind: str) -> None:
    step = step_of(provisioned, kind)
    assert await provisioned.find(step) is None
    applied = await provisioned.apply(step)
    found = await provisioned.find(step)
    assert found is not None
    assert (found.remote_id, found.replayed) == (applied.remote_id, True)


@pytest.mark.parametrize("kind", ["contact.update", "note.create", "deal.update"])
async def test_a_repeated_step_is_no_second_effect(provisioned: HubSpot, emulators: Emulators, kind: str) -> None:
    step = step_of(provisioned, kind)
    first = await provisioned.apply(step)
    standing = emulators.effects("hubspot")
    again = await provisioned.apply(step)
    assert emulators.effects("hubspot") == standing
    assert again.remote_id == first.remote_id


async def test_a_note_created_twice_is_a_replay(provisioned: HubSpot) -> None:
    step = step_of(provisioned, "note.create")
    await provisioned.apply(step)
    assert (await provisioned.apply(step)).replayed


async def test_a_note_whose_answer_was_lost_is_found(provisioned: HubSpot, emulators: Emulators) -> None:
    step = step_of(provisioned, "note.create")
    emulators.fault("hubspot", "drop_after_effect", method="POST", path="objects/notes$", count=1)
    with pytest.raises(OutcomeUnknown):
        await provisioned.apply(step)
    found = await provisioned.find(step)
    assert found is not None
    assert found.replayed
    assert kinds(emulators)["note.created"] == 1


async def test_a_task_is_created_once_and_associated(provisioned: HubSpot, emulators: Emulators) -> None:
    [step] = provisioned.plan(delivery(intent=DeliveryIntent.TASK))
    await provisioned.apply(step)
    assert (await provisioned.apply(step)).replayed
    [task] = emulators.objects("hubspot", "tasks")
    assert task["properties"]["hs_task_status"] == "NOT_STARTED"
    assert kinds(emulators)["task.created"] == 1


async def test_an_unknown_contact_is_not_found(provisioned: HubSpot) -> None:
    target = delivery().target.model_dump()
    step = step_of(
        provisioned, "contact.update", delivery(target={**target, "contacts": [{"crm_contact_id": "999999"}]})
    )
    assert await provisioned.find(step) is None
    with pytest.raises(Permanent) as caught:
        await provisioned.apply(step)
    assert caught.value.detail.code == "not_found"


async def everything_once(connector: HubSpot) -> None:
    await connector.provision()
    await connector.provision()
    await connector.probe()
    records = prepared(connector, wedding(1, association_contact_id="501", association_company_id="601"), wedding(2))
    await connector.upsert("weddings", records)
    await connector.read("weddings", ["wed-1", "wed-9"])
    await connector.remove("weddings", ["wed-2"])
    for intent in DeliveryIntent:
        for step in connector.plan(delivery(intent=intent)):
            outcome = await connector.apply(step)
            await connector.find(step)
            effect = standing(step, outcome)
            await connector.correct(effect, step)
            if step.kind in connector.manifest.reversible:
                await connector.retract(effect)


async def test_every_request_is_one_the_vendors_description_allows(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = specs_dir("hubspot")
    files = [folder / "v3" / f"{name}.json" for name in ("schemas", "properties", "objects")]
    described = OpenApi(*files, folder / "v4" / "associations.json")
    base_url = emulators.base_url("hubspot")
    sent: list[SentRequest] = record_urllib3(monkeypatch, base_url)
    connector = patient(base_url)
    await everything_once(connector)
    await connector.aclose()
    undescribed = "/account-info/v3/details"
    problems = {
        f"{request.method} {request.path}": found
        for request in sent
        if request.path != undescribed and (found := described.problems(request))
    }
    assert problems == {}
    assert len(sent) > 30
