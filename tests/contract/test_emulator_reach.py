"""What the stand-ins of phones and of the weather answer is valid against the vendors' own descriptions."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft4Validator, Draft202012Validator

from tests.contract.test_emulator_shapes import as_json_schema
from tests.support.emulators import Emulators
from tests.support.specs import specs_dir

EMULATED = ("twilio", "whatsapp", "weather")
ACCOUNT = "AC" + "5a" * 16
BASIC = (ACCOUNT, "sandbox-twilio-auth-token")
BEARER = {"Authorization": "Bearer sandbox-whatsapp-token"}
ROOT = "/2010-04-01/Accounts/{AccountSid}"
SMS = {"To": "+447700900101", "From": "+447700900100", "Body": "Hello"}
CALL = {"To": "+447700900101", "From": "+447700900100", "Twiml": "<Response><Say>Hello</Say></Response>"}


def described(folder: str, name: str) -> Any:
    raw = (specs_dir(folder) / name).read_bytes()
    raw = gzip.decompress(raw) if name.endswith(".gz") else raw
    return json.loads(raw) if ".json" in name else yaml.safe_load(raw)


@pytest.fixture
def client(emulators: Emulators) -> httpx.Client:
    return emulators._client


def objections(document: Any, schema: Any, body: Any) -> list[str]:
    whole = as_json_schema({"components": document["components"]} if "components" in document else {})
    validator = Draft4Validator({**whole, **as_json_schema(schema)})
    return [f"{'/'.join(map(str, one.absolute_path))}: {one.message[:200]}" for one in validator.iter_errors(body)]


@pytest.mark.parametrize(
    ("path", "method", "form"),
    [
        (f"{ROOT}/Messages.json", "post", SMS),
        (f"{ROOT}/Messages.json", "get", None),
        (f"{ROOT}/Calls.json", "post", CALL),
        (f"{ROOT}/Calls.json", "get", None),
        ("/2010-04-01/Accounts/{Sid}.json", "get", None),
    ],
)
def test_twilio_answers_as_it_describes(
    client: httpx.Client, path: str, method: str, form: dict[str, str] | None
) -> None:
    document = described("twilio", "twilio_api_v2010.json.gz")
    for name, made in (("Messages", SMS), ("Calls", CALL)):
        client.post(f"/twilio{ROOT}/{name}.json".format(AccountSid=ACCOUNT), data=made, auth=BASIC).raise_for_status()
    query = {"PageSize": 1} if form is None else None
    actual = f"/twilio{path}".format(AccountSid=ACCOUNT, Sid=ACCOUNT)
    answer = client.request(method, actual, data=form, auth=BASIC, params=query)
    declared = document["paths"][path][method]["responses"][str(answer.status_code)]
    assert objections(document, declared["content"]["application/json"]["schema"], answer.json()) == []


def test_a_page_of_twilio_leads_to_the_next_one_and_the_last_to_none(client: httpx.Client) -> None:
    url = f"/twilio{ROOT}/Messages.json".replace("{AccountSid}", ACCOUNT)
    for number in range(3):
        client.post(url, data={**SMS, "Body": f"Text {number}"}, auth=BASIC).raise_for_status()
    found, following = [], f"{url}?To=%2B447700900101&PageSize=2"
    while following:
        page = client.get(following, auth=BASIC).raise_for_status().json()
        found += [one["body"] for one in page["messages"]]
        following = page["next_page_uri"] and f"/twilio{page['next_page_uri']}"
    assert found == ["Text 2", "Text 1", "Text 0"]


def test_somebody_who_opted_out_is_reached_again_after_opting_in(client: httpx.Client) -> None:
    url, replies = f"/twilio{ROOT}/Messages.json".replace("{AccountSid}", ACCOUNT), "/_emulators/twilio/replies"
    reply = {"from": SMS["To"], "url": "http://127.0.0.1:9/"}
    client.post(replies, json={**reply, "body": "stop"})
    assert client.post(url, data=SMS, auth=BASIC).json()["code"] == 21610
    client.post(replies, json={**reply, "body": "START"})
    assert client.post(url, data=SMS, auth=BASIC).status_code == 201


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("calls/CA00/answer", {"digits": "1"}),
        ("calls/CA00/status", {"status": "completed"}),
        ("messages/SM00/status", {"status": "sent"}),
    ],
)
def test_what_happens_to_something_that_is_not_there_is_refused(
    client: httpx.Client, path: str, body: dict[str, str]
) -> None:
    assert client.post(f"/_emulators/twilio/{path}", json=body).status_code == 404


def test_whatsapp_answers_as_it_describes(client: httpx.Client) -> None:
    document = described("whatsapp", "business-messaging-api_v23.0.yaml.gz")
    template = {"name": "wedding_update", "language": {"policy": "deterministic", "code": "en_GB"}}
    body = {"type": "body", "parameters": [{"type": "text", "text": "Hello"}]}
    message = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": "447700900101"}
    message |= {"type": "template", "template": {**template, "components": [body]}}
    url = "/whatsapp/v23.0/106540352242922"
    answers = {
        "MessageResponsePayload": client.post(f"{url}/messages", json=message, headers=BEARER),
        "PhoneNumberInfo": client.get(url, headers=BEARER),
        "GraphAPIError": client.get(url),
    }
    for name, answer in answers.items():
        schema = {**document["components"]["schemas"][name], "components": document["components"]}
        assert [one.message for one in Draft202012Validator(schema).iter_errors(answer.json())] == []


def test_the_weather_service_answers_as_it_describes(client: httpx.Client) -> None:
    document = described("weather", "nws-openapi.yaml")
    place = {"latitude": 40.7128, "longitude": -74.006}
    first = client.post("/_emulators/weather/alerts", json=place).json()["id"]
    client.post("/_emulators/weather/alerts", json={**place, "replaces": first})
    found = client.get("/weather/alerts/active", params={"point": "40.7128,-74.006"})
    elsewhere = client.get("/weather/alerts/active", params={"point": "51.8,-0.8614"})
    schemas = document["components"]["schemas"]
    assert found.headers["Content-Type"] == "application/geo+json"
    assert (
        objections(document, schemas["AlertCollectionGeoJson"], {**found.json(), "pagination": {"next": "https://x"}})
        == []
    )
    assert objections(document, schemas["ProblemDetail"], elsewhere.json()) == []


def test_a_weather_point_in_another_spelling_is_redirected(client: httpx.Client) -> None:
    answer = client.get("/weather/alerts/active", params={"point": "40.71280,-74.006"})
    assert (answer.status_code, answer.headers["Location"]) == (301, "/alerts/active?point=40.7128,-74.006")


def test_open_meteo_answers_as_it_describes(client: httpx.Client) -> None:
    document = described("weather", "open-meteo-forecast.yml")
    asked = {"latitude": 51.8, "longitude": -0.86, "daily": "wind_gusts_10m_max,precipitation_sum,weather_code"}
    responses = document["paths"]["/v1/forecast"]["get"]["responses"]
    good = client.get("/weather/v1/forecast", params=asked)
    bad = client.get("/weather/v1/forecast", params={**asked, "start_date": "2000-01-01", "end_date": "2000-01-01"})
    for answer in (good, bad):
        schema = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
        assert [one.message for one in Draft202012Validator(schema).iter_errors(answer.json())] == []
    assert len(good.json()["daily"]["time"]) == 7
