"""The Salesforce connector against the emulated org, over TCP and through simple-salesforce."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr

from activities.connectors.crm.salesforce import Salesforce
from activities.ports.delivery import DeliveryConnector
from activities.ports.records import BulkRecordConnector, BulkStage, OutboundRecord
from activities.transport.oauth import Grant, OAuthClient, TokenEndpoint
from contracts.effects import DeliveryIntent
from contracts.errors import InvalidInput, OutcomeUnknown, Permanent
from contracts.sync import RecordStatus
from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client
from tests.support.oauth import REDIRECT, VERIFIER, OAuthApp
from tests.support.salesforce_account import (
    CONTACT,
    LEAD,
    OPPORTUNITY,
    connection,
    delivery,
    patient,
    prepared,
    step_of,
    wedding,
)

EMULATED = ("salesforce",)
COLLECTION = "composite/sobjects"
JOB = "jobs/ingest/"


@pytest.fixture
async def salesforce(emulators: Emulators) -> AsyncIterator[Salesforce]:
    connector = patient(connection(emulators.base_url("salesforce")))
    yield connector
    await connector.aclose()


def kinds(emulators: Emulators) -> Counter[str]:
    return Counter(effect["kind"] for effect in emulators.effects("salesforce"))


async def ended(connector: Salesforce, job_id: str) -> None:
    while await connector.bulk_stage(job_id) is not BulkStage.ENDED:
        pass


def test_it_takes_records_jobs_and_deliveries(salesforce: Salesforce) -> None:
    assert isinstance(salesforce, BulkRecordConnector)
    assert isinstance(salesforce, DeliveryConnector)


async def test_a_probe_tells_the_org_and_its_features(salesforce: Salesforce) -> None:
    probe = await salesforce.probe()
    assert probe.ok
    assert probe.account == "00D000000000001EAA"
    assert probe.features == ["records", "tasks"]


async def test_a_probe_leaves_out_records_that_cannot_carry_our_ids(emulators: Emulators) -> None:
    settings = {"externalIdField": "Venue_Name__c"}
    connector = patient(connection(emulators.base_url("salesforce"), settings=settings))
    assert (await connector.probe()).features == ["tasks"]
    await connector.aclose()


async def test_provisioning_finds_what_the_administrator_created(salesforce: Salesforce, emulators: Emulators) -> None:
    result = await salesforce.provision()
    assert result.existing == ["Wedding__c.WedSync_Id__c", "Task.WedSync_Effect_Id__c"]
    assert emulators.effects("salesforce") == []


async def test_provisioning_says_what_an_administrator_has_to_create(emulators: Emulators) -> None:
    connector = patient(connection(emulators.base_url("salesforce"), settings={"object": "Party__c"}))
    with pytest.raises(InvalidInput) as caught:
        await connector.provision()
    assert caught.value.detail.code == "not_provisioned"
    assert "Party__c.WedSync_Id__c" in caught.value.detail.message
    await connector.aclose()


async def test_five_hundred_records_take_three_upserts(salesforce: Salesforce, emulators: Emulators) -> None:
    records = prepared(salesforce, *(wedding(number) for number in range(500)))
    size = salesforce.manifest.batch_size
    answers = [await salesforce.upsert("Wedding__c", records[start : start + size]) for start in range(0, 500, size)]
    assert [answer.vendor_calls for answer in answers] == [1, 1, 1]
    assert len(emulators.requests("salesforce")) == 3
    assert kinds(emulators)["Wedding__c.created"] == 500


async def test_a_second_upsert_of_the_same_records_changes_nothing(
    salesforce: Salesforce, emulators: Emulators
) -> None:
    records = prepared(salesforce, wedding(1), wedding(2))
    await salesforce.upsert("Wedding__c", records)
    standing = emulators.effects("salesforce")
    answer = await salesforce.upsert("Wedding__c", records)
    assert [item.status for item in answer.results] == [RecordStatus.UPDATED] * 2
    assert emulators.effects("salesforce") == standing


async def test_records_are_removed_by_our_id_and_what_is_gone_already_counts(
    salesforce: Salesforce, emulators: Emulators
) -> None:
    await salesforce.upsert("Wedding__c", prepared(salesforce, *(wedding(number) for number in range(3))))
    answer = await salesforce.remove("Wedding__c", ["wed-0", "wed-2", "wed-9"])
    assert (answer.removed, answer.refused) == (["wed-0", "wed-2", "wed-9"], {})
    assert (await salesforce.remove("Wedding__c", ["wed-0"])).removed == ["wed-0"]
    assert (kinds(emulators)["Wedding__c.deleted"], len(emulators.objects("salesforce", "Wedding__c"))) == (2, 1)


async def test_a_record_that_salesforce_does_not_delete_is_named_with_its_code(
    salesforce: Salesforce, emulators: Emulators
) -> None:
    await salesforce.upsert("Wedding__c", prepared(salesforce, wedding(0), wedding(1)))
    emulators.fault("salesforce", "partial_batch", method="DELETE", path=f"{COLLECTION}$", status=400, count=1)
    answer = await salesforce.remove("Wedding__c", ["wed-0", "wed-1"])
    assert (len(answer.removed), len(answer.refused)) == (1, 1)
    assert all(answer.refused.values())


async def test_what_is_read_back_equals_what_was_prepared(salesforce: Salesforce) -> None:
    records = prepared(
        salesforce,
        wedding(1, Total_Budget__c="24500.50", Venue_Name__c=" Hartwell House "),
        wedding(2, Venue_Name__c="", Wedding_Date__c="2027-06-12T00:00:00Z", Guest_Count__c=" 120 "),
    )
    await salesforce.upsert("Wedding__c", records)
    held = await salesforce.read("Wedding__c", ["wed-1", "wed-2", "wed-absent"])
    assert set(held) == {"wed-1", "wed-2"}
    for record in records:
        assert {name: held[record.record_id][name] for name in record.properties} == dict(record.properties)


async def test_two_hundred_long_ids_are_read_in_queries_that_fit_an_address(salesforce: Salesforce) -> None:
    ids = [f"{number:064d}" for number in range(200)]
    records = [OutboundRecord(record_id, {"Name": "Couple"}) for record_id in ids]
    await salesforce.upsert("Wedding__c", prepared(salesforce, *records))
    assert set(await salesforce.read("Wedding__c", ids)) == set(ids)


async def test_preparing_twice_changes_nothing(salesforce: Salesforce) -> None:
    once = salesforce.prepare("Wedding__c", wedding(1, Total_Budget__c="24500.50"))
    assert salesforce.prepare("Wedding__c", once) == once


@pytest.mark.parametrize(
    ("field", "value"), [("Wedding_Date__c", "soon"), ("Guest_Count__c", "many"), ("Guest_Count__c", True)]
)
def test_a_value_that_does_not_fit_is_refused_without_being_named(
    salesforce: Salesforce, field: str, value: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        salesforce.prepare("Wedding__c", wedding(1, **{field: value}))
    assert caught.value.detail.evidence["property"] == field
    assert str(value) not in caught.value.detail.message


@pytest.mark.parametrize("name", ["../limits", "Wedding__c/describe", "", "1"])
async def test_an_object_that_is_no_name_reaches_no_address(
    salesforce: Salesforce, emulators: Emulators, name: str
) -> None:
    with pytest.raises(InvalidInput):
        await salesforce.upsert(name, [wedding(1)])
    assert emulators.requests("salesforce") == []


async def test_f26_a_refused_record_is_rejected_and_the_others_stand(salesforce: Salesforce) -> None:
    records = prepared(salesforce, wedding(1), wedding(2, Name=None), wedding(3, Venue_Name__c="x" * 256))
    answer = await salesforce.upsert("Wedding__c", records)
    assert [item.status for item in answer.results] == [
        RecordStatus.CREATED,
        RecordStatus.REJECTED,
        RecordStatus.REJECTED,
    ]
    assert [item.reason for item in answer.results[1:]] == [
        "REQUIRED_FIELD_MISSING Name",
        "STRING_TOO_LONG Venue_Name__c",
    ]


@pytest.mark.parametrize(("status", "expected"), [(400, RecordStatus.REJECTED), (503, RecordStatus.HELD)])
async def test_f26_a_success_with_errors_inside_tells_a_bad_record_from_a_lock(
    salesforce: Salesforce, emulators: Emulators, status: int, expected: RecordStatus
) -> None:
    emulators.fault("salesforce", "partial_batch", path=COLLECTION, status=status, count=1)
    answer = await salesforce.upsert("Wedding__c", prepared(salesforce, *(wedding(number) for number in range(4))))
    assert [item.status for item in answer.results] == [RecordStatus.CREATED, expected] * 2


async def test_a_collection_refused_as_a_whole_is_the_callers_to_halve(salesforce: Salesforce) -> None:
    bad = OutboundRecord("wed-2", {"Name": "x", "Nonexistent__c": "x"})
    with pytest.raises(Permanent) as caught:
        await salesforce.upsert("Wedding__c", prepared(salesforce, wedding(1), bad))
    assert caught.value.detail.code == "batch_refused"
    answer = await salesforce.upsert("Wedding__c", prepared(salesforce, bad))
    assert [(item.status, item.reason) for item in answer.results] == [(RecordStatus.REJECTED, "INVALID_FIELD")]


async def test_an_upsert_into_an_absent_object_says_what_to_create(salesforce: Salesforce) -> None:
    with pytest.raises(InvalidInput) as caught:
        await salesforce.upsert("Party__c", prepared(salesforce, wedding(1)))
    assert caught.value.detail.code == "not_provisioned"


async def test_a_job_tells_what_became_of_each_record(salesforce: Salesforce, emulators: Emulators) -> None:
    await salesforce.upsert("Wedding__c", prepared(salesforce, wedding(0)))
    weddings = [wedding(0, Venue_Name__c='The "Old, Mill"\nHall'), wedding(1), wedding(2, Name=None)]
    job_id = await salesforce.begin_bulk("Wedding__c")
    assert await salesforce.bulk_stage(job_id) is BulkStage.OPEN
    await salesforce.load_bulk(job_id, prepared(salesforce, *weddings))
    assert await salesforce.bulk_stage(job_id) is BulkStage.WORKING
    await ended(salesforce, job_id)
    answer = await salesforce.bulk_results(job_id)
    found = {item.record_id: (item.status, item.reason) for item in answer.results}
    assert found == {
        "wed-0": (RecordStatus.UPDATED, ""),
        "wed-1": (RecordStatus.CREATED, ""),
        "wed-2": (RecordStatus.REJECTED, "REQUIRED_FIELD_MISSING"),
    }
    held = await salesforce.read("Wedding__c", ["wed-0"])
    assert held["wed-0"]["Venue_Name__c"] == 'The "Old, Mill"\nHall'


async def test_a_job_writes_what_an_upsert_writes(salesforce: Salesforce) -> None:
    records = prepared(salesforce, wedding(1, Venue_Name__c="Mill", Total_Budget__c="24500.50"))
    emptied = prepared(salesforce, wedding(1, Venue_Name__c=None, Total_Budget__c="#N/A"))
    for given in (records, emptied):
        job_id = await salesforce.begin_bulk("Wedding__c")
        await salesforce.load_bulk(job_id, given)
        await ended(salesforce, job_id)
        held = (await salesforce.read("Wedding__c", ["wed-1"]))["wed-1"]
        assert {name: held[name] for name in given[0].properties} == dict(given[0].properties)


async def test_a_locked_row_of_a_job_is_held(salesforce: Salesforce, emulators: Emulators) -> None:
    emulators.fault("salesforce", "partial_batch", path=JOB, count=1)
    job_id = await salesforce.begin_bulk("Wedding__c")
    await salesforce.load_bulk(job_id, prepared(salesforce, wedding(1), wedding(2)))
    await ended(salesforce, job_id)
    statuses = {item.record_id: item.status for item in (await salesforce.bulk_results(job_id)).results}
    assert statuses == {"wed-1": RecordStatus.CREATED, "wed-2": RecordStatus.HELD}


async def test_a_job_that_salesforce_refuses_as_a_whole_is_permanent(salesforce: Salesforce) -> None:
    job_id = await salesforce.begin_bulk("Wedding__c")
    await salesforce.load_bulk(job_id, prepared(salesforce, wedding(1, Nonexistent__c="x")))
    await ended(salesforce, job_id)
    with pytest.raises(Permanent) as caught:
        await salesforce.bulk_results(job_id)
    assert caught.value.detail.code == "bulk_refused"


async def test_an_abandoned_job_and_an_unknown_one_are_gone(salesforce: Salesforce) -> None:
    job_id = await salesforce.begin_bulk("Wedding__c")
    await salesforce.abandon_bulk(job_id)
    assert await salesforce.bulk_stage(job_id) is BulkStage.GONE
    assert await salesforce.bulk_stage("750000000099999AAA") is BulkStage.GONE


async def test_a_job_whose_hand_over_was_not_answered_is_at_work(salesforce: Salesforce, emulators: Emulators) -> None:
    emulators.fault("salesforce", "drop_after_effect", method="PATCH", path=JOB, count=1)
    job_id = await salesforce.begin_bulk("Wedding__c")
    with pytest.raises(OutcomeUnknown):
        await salesforce.load_bulk(job_id, prepared(salesforce, wedding(1)))
    assert await salesforce.bulk_stage(job_id) is BulkStage.WORKING


async def test_a_delivery_is_an_activity_on_each_person_and_moves_the_opportunity(
    salesforce: Salesforce, emulators: Emulators
) -> None:
    outcomes = [await salesforce.apply(step) for step in salesforce.plan(delivery())]
    effects = emulators.effects("salesforce")
    assert [effect["kind"] for effect in effects] == ["Task.created", "Opportunity.updated", "Task.created"]
    assert [outcome.replayed for outcome in outcomes] == [False] * 3
    tasks = emulators.objects("salesforce", "Task")
    assert [(task["WhoId"], task.get("WhatId"), task["Status"]) for task in tasks] == [
        (CONTACT, OPPORTUNITY, "Completed"),
        (LEAD, None, "Completed"),
    ]


@pytest.mark.parametrize("kind", ["task.upsert", "opportunity.update"])
async def test_an_effect_is_found_only_once_it_stands(salesforce: Salesforce, kind: str) -> None:
    step = step_of(salesforce, kind)
    assert await salesforce.find(step) is None
    applied = await salesforce.apply(step)
    found = await salesforce.find(step)
    assert found is not None
    assert (found.remote_id, found.replayed) == (applied.remote_id, True)


@pytest.mark.parametrize("kind", ["task.upsert", "opportunity.update"])
async def test_a_repeated_step_is_no_second_effect(salesforce: Salesforce, emulators: Emulators, kind: str) -> None:
    step = step_of(salesforce, kind)
    first = await salesforce.apply(step)
    standing = emulators.effects("salesforce")
    again = await salesforce.apply(step)
    assert emulators.effects("salesforce") == standing
    assert again.remote_id == first.remote_id


async def test_an_activity_whose_answer_was_lost_stands_once(salesforce: Salesforce, emulators: Emulators) -> None:
    step = step_of(salesforce, "task.upsert")
    emulators.fault("salesforce", "drop_after_effect", method="PATCH", count=1)
    with pytest.raises(OutcomeUnknown):
        await salesforce.apply(step)
    assert (await salesforce.apply(step)).replayed
    assert kinds(emulators)["Task.created"] == 1


async def test_a_task_is_not_started(salesforce: Salesforce, emulators: Emulators) -> None:
    [step] = salesforce.plan(delivery(intent=DeliveryIntent.TASK))
    await salesforce.apply(step)
    assert [task["Status"] for task in emulators.objects("salesforce", "Task")] == ["Not Started"]


async def test_the_instance_of_the_token_goes_before_the_base_url(emulators: Emulators) -> None:
    root = emulators.base_url("salesforce")
    elsewhere = root.removesuffix("/salesforce") + "/nowhere"
    connector = patient(connection(elsewhere, instanceUrl=root))
    assert (await connector.probe()).ok
    await connector.aclose()


async def test_an_instance_that_is_not_salesforces_is_never_asked(emulators: Emulators) -> None:
    connector = patient(connection(emulators.base_url("salesforce"), instanceUrl="http://169.254.169.254"))
    with pytest.raises(InvalidInput) as caught:
        await connector.probe()
    assert caught.value.detail.code == "invalid_base_url"
    await connector.aclose()


@pytest.fixture
def app(served_emulators: str, emulators: Emulators) -> Iterator[OAuthApp]:
    names = ("sandbox-salesforce-client", "sandbox-salesforce-secret")
    with loopback_client(served_emulators) as client:
        yield OAuthApp(client, "salesforce", *names, "/services/oauth2/authorize", "/services/oauth2/token")


async def obtained(emulators: Emulators, app: OAuthApp, way: str) -> Grant:
    """Return what the token endpoint grants by one of the three ways, asked as the manifest says."""
    profile = Salesforce.manifest.oauth
    assert profile is not None
    client = OAuthClient(app.client_id, SecretStr(app.client_secret))
    endpoint = TokenEndpoint(connection(emulators.base_url("salesforce")), profile, client)
    try:
        if way == "code":
            return await endpoint.exchange(app.code(), VERIFIER, REDIRECT)
        if way == "refresh":
            return await endpoint.refresh(app.grant()["refreshToken"])
        return await endpoint.client_credentials()
    finally:
        await endpoint.aclose()


@pytest.mark.parametrize("way", ["code", "refresh", "client"])
async def test_a_token_granted_as_the_manifest_says_opens_its_instance(
    emulators: Emulators, app: OAuthApp, way: str
) -> None:
    granted = await obtained(emulators, app, way)
    assert (granted.instance_url, granted.life_s) == (emulators.base_url("salesforce"), 7_200)
    given = connection(emulators.base_url("salesforce"), granted.access_token, instanceUrl=granted.instance_url or "")
    connector = patient(given)
    assert (await connector.probe()).ok
    await connector.aclose()


class Counting:
    def __init__(self) -> None:
        self.admitted = 0

    async def admit(self, calls: int = 1) -> None:
        self.admitted += calls


async def test_every_request_is_admitted_before_it_is_made(emulators: Emulators) -> None:
    admission = Counting()
    connector = patient(connection(emulators.base_url("salesforce"), admission=admission))
    await connector.probe()
    await connector.provision()
    await connector.upsert("Wedding__c", prepared(connector, wedding(1)))
    await connector.read("Wedding__c", ["wed-1"])
    await connector.remove("Wedding__c", ["wed-1"])
    job_id = await connector.begin_bulk("Wedding__c")
    await connector.load_bulk(job_id, prepared(connector, wedding(2)))
    await ended(connector, job_id)
    await connector.bulk_results(job_id)
    for step in connector.plan(delivery()):
        await connector.apply(step)
        await connector.find(step)
    await connector.aclose()
    assert admission.admitted == len(emulators.requests("salesforce"))
