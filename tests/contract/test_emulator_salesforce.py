"""The emulated Salesforce over TCP: simple-salesforce unchanged, OAuth, and what the org refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceMalformedRequest

from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client
from tests.support.oauth import OAuthApp

EMULATED = ("salesforce",)
DATA = "/salesforce/services/data/v67.0"
COLLECTION = f"{DATA}/composite/sobjects/Wedding__c/WedSync_Id__c"
BEARER = {"Authorization": "Bearer sandbox-salesforce-token"}


@pytest.fixture
def client(served_emulators: str, emulators: Emulators) -> Iterator[httpx.Client]:
    with loopback_client(served_emulators, BEARER) as found:
        yield found


@pytest.fixture
def app(client: httpx.Client) -> OAuthApp:
    names = ("sandbox-salesforce-client", "sandbox-salesforce-secret")
    return OAuthApp(client, "salesforce", *names, "/services/oauth2/authorize", "/services/oauth2/token")


def sdk(root: str, token: str = "sandbox-salesforce-token") -> Salesforce:
    opened = Salesforce(session_id=token, instance_url=root, version="67.0")
    opened.base_url = f"{root}/services/data/v67.0/"
    opened.bulk2_url = f"{opened.base_url}jobs/"
    return opened


def row(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "attributes": {"type": "Wedding__c"},
        "WedSync_Id__c": f"wed-{number}",
        "Name": f"Couple {number}",
        **fields,
    }


def test_the_sdk_upserts_queries_and_reads_the_limits(emulators: Emulators) -> None:
    org = sdk(emulators.base_url("salesforce"))
    body = {"allOrNone": False, "records": [row(1), row(2, Name=None)]}
    first, second = org.restful("composite/sobjects/Wedding__c/WedSync_Id__c", method="PATCH", json=body)
    assert (first["created"], second["errors"][0]["statusCode"]) == (True, "REQUIRED_FIELD_MISSING")
    found = org.query("SELECT Id, Name FROM Wedding__c WHERE WedSync_Id__c IN ('wed-1', 'wed-2')")
    assert [record["Id"] for record in found["records"]] == [first["id"]]
    assert org.limits()["DailyApiRequests"]["Max"] == 100_000
    assert org.api_usage["api-usage"].total == 100_000


def test_the_sdk_carries_a_bulk_job_to_its_end(emulators: Emulators) -> None:
    records = [{"WedSync_Id__c": f"wed-{number}", "Name": "Couple"} for number in range(5)]
    [job] = sdk(emulators.base_url("salesforce")).bulk2.Wedding__c.upsert(  # type: ignore[call-arg]
        records=records, external_id_field="WedSync_Id__c"
    )
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (5, 0)
    assert len(emulators.objects("salesforce", "Wedding__c")) == 5


def test_the_sdk_meets_an_expired_session(emulators: Emulators) -> None:
    token = emulators.grant("salesforce", lifetimeS=0)["accessToken"]
    with pytest.raises(SalesforceExpiredSession) as caught:
        sdk(emulators.base_url("salesforce"), token).limits()
    assert caught.value.content[0]["errorCode"] == "INVALID_SESSION_ID"


def test_a_query_beyond_the_subset_is_malformed(emulators: Emulators) -> None:
    with pytest.raises(SalesforceMalformedRequest) as caught:
        sdk(emulators.base_url("salesforce")).query("SELECT Id FROM Wedding__c WHERE Name LIKE 'A%'")
    assert caught.value.content[0]["errorCode"] == "MALFORMED_QUERY"


def test_quotes_in_a_query_are_part_of_the_value(client: httpx.Client) -> None:
    client.patch(COLLECTION, json={"records": [row(1, WedSync_Id__c="it's \\ one")]})
    query = "SELECT WedSync_Id__c FROM Wedding__c WHERE WedSync_Id__c = 'it\\'s \\\\ one'"
    assert client.get(f"{DATA}/query", params={"q": query}).json()["totalSize"] == 1


def test_all_or_none_undoes_the_whole_collection(client: httpx.Client, emulators: Emulators) -> None:
    answer = client.patch(COLLECTION, json={"allOrNone": True, "records": [row(1), row(2, Name="")]})
    codes = [item["errors"][0]["statusCode"] for item in answer.json()]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert emulators.objects("salesforce", "Wedding__c") == []
    assert emulators.effects("salesforce") == []


def test_a_collection_of_more_than_two_hundred_is_refused(client: httpx.Client) -> None:
    assert client.patch(COLLECTION, json={"records": [row(number) for number in range(201)]}).status_code == 400


def test_a_write_that_changes_nothing_is_no_effect(client: httpx.Client, emulators: Emulators) -> None:
    for _ in range(2):
        client.patch(COLLECTION, json={"records": [row(1, Guest_Count__c=100)]})
    assert [effect["kind"] for effect in emulators.effects("salesforce")] == ["Wedding__c.created"]


def test_a_job_takes_one_upload(client: httpx.Client) -> None:
    body = {"object": "Wedding__c", "operation": "upsert", "externalIdFieldName": "WedSync_Id__c"}
    job = client.post(f"{DATA}/jobs/ingest", json=body).json()
    path = f"{DATA}/jobs/ingest/{job['id']}"
    uploads = [client.put(f"{path}/batches", content="WedSync_Id__c,Name\nwed-1,Couple\n") for _ in range(2)]
    assert [answer.status_code for answer in uploads] == [201, 400]
    assert client.get(f"{path}/successfulResults").status_code == 400


def test_an_empty_cell_leaves_a_field_and_the_word_for_none_empties_it(
    client: httpx.Client, emulators: Emulators
) -> None:
    client.patch(COLLECTION, json={"records": [row(1, Venue_Name__c="Mill", Guest_Count__c=80)]})
    body = {"object": "Wedding__c", "operation": "upsert", "externalIdFieldName": "WedSync_Id__c"}
    job = client.post(f"{DATA}/jobs/ingest", json=body).json()
    path = f"{DATA}/jobs/ingest/{job['id']}"
    client.put(f"{path}/batches", content="WedSync_Id__c,Venue_Name__c,Guest_Count__c\nwed-1,,#N/A\n")
    client.patch(path, json={"state": "UploadComplete"})
    [held] = emulators.objects("salesforce", "Wedding__c")
    assert (held["Venue_Name__c"], held["Guest_Count__c"]) == ("Mill", None)


def test_a_token_answer_names_the_instance_and_no_life(app: OAuthApp) -> None:
    tokens = app.exchange(app.code()).json()
    assert set(tokens) == {
        *("access_token", "refresh_token", "signature", "scope", "instance_url", "id", "token_type", "issued_at"),
    }
    answer = httpx.get(
        f"{tokens['instance_url']}/services/oauth2/userinfo",
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
        trust_env=False,
    )
    assert answer.json()["organization_id"] == "00D000000000001EAA"


def test_a_refresh_brings_a_refresh_token_only_when_it_rotates(app: OAuthApp) -> None:
    grant = app.grant()
    assert "refresh_token" not in app.refresh(grant["refreshToken"]).json()
    app.rules(rotate=True)
    assert "refresh_token" in app.refresh(grant["refreshToken"]).json()


def test_a_dead_refresh_token_is_refused_in_salesforces_words(app: OAuthApp) -> None:
    answer = app.refresh("no-such-token")
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "invalid_grant", "error_description": "expired access/refresh token"},
    )


def test_a_client_may_name_itself_by_basic(app: OAuthApp) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": app.grant()["refreshToken"]}
    path = f"/{app.mount}{app.token_path}"
    assert app.client.post(path, data=form, auth=(app.client_id, app.client_secret)).status_code == 200
    assert app.client.post(path, data=form, auth=(app.client_id, "wrong")).json()["error"] == "invalid_client"


def test_revoking_a_refresh_token_ends_its_sessions(app: OAuthApp) -> None:
    grant = app.grant()
    app.client.post("/salesforce/services/oauth2/revoke", data={"token": grant["refreshToken"]})
    headers = {"Authorization": f"Bearer {grant['accessToken']}"}
    assert app.client.get(f"{DATA}/limits", headers=headers).status_code == 401
