"""Preferences, policies and templates through the API: kept sealed, by opaque contact, for their organisation alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.test_starters_api import (  # noqa: F401 - fixtures
    Starts,
    application,
    assert_problem,
    client,
    client_of,
    key_for,
    settings,
    starts,
)
from workers.settings import Settings

HOME = "/v1/organizations/org-a"
ANNA = "anna@fisher.example"
WISHES = {"optedOut": False, "quietHours": {"from": "21:00:00", "to": "08:00:00"}, "timeZone": "Europe/London"}


async def test_preferences_are_found_again_by_the_address_and_by_its_contact(client: httpx.AsyncClient):  # noqa: F811
    put = (await client.put(f"{HOME}/preferences", json={"address": ANNA, "preferences": WISHES})).json()
    asked = (await client.post(f"{HOME}/preferences/lookup", json={"address": " Anna@Fisher.example"})).json()
    shown = (await client.get(f"{HOME}/preferences/{put['contact']}")).json()
    assert asked == shown
    assert {name: shown["preferences"][name] for name in WISHES} == WISHES


async def test_the_address_and_the_wishes_are_readable_nowhere_at_rest(
    client: httpx.AsyncClient,  # noqa: F811
    tmp_path: Path,
):
    await client.put(f"{HOME}/preferences", json={"address": ANNA, "preferences": WISHES})
    words = {"name": "reminder", "text": "Greetings from Canary House"}
    await client.put(f"{HOME}/templates", json=words)
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(word in content for word in (b"anna@", b"Europe/London", b"Canary") for content in files)


async def test_another_organisation_has_other_contacts_and_none_of_the_words(client: httpx.AsyncClient):  # noqa: F811
    await client.put(f"{HOME}/preferences", json={"address": ANNA, "preferences": WISHES})
    await client.put(f"{HOME}/templates", json={"name": "reminder", "text": "Ours"})
    await client.put(f"{HOME}/notification-policy", json={"identity": {"fromName": "Ours"}})
    other = HOME.replace("org-a", "org-b")
    asked = (await client.post(f"{other}/preferences/lookup", json={"address": ANNA})).json()
    assert (asked["preferences"]["quietHours"], asked["preferences"]["timeZone"]) == (None, None)
    assert (await client.get(f"{other}/templates")).json() == {"templates": []}
    assert (await client.get(f"{other}/notification-policy")).json()["identity"]["fromName"] == ""


async def test_a_foreign_key_finds_nothing(settings: Settings, starts: Starts):  # noqa: F811
    app = await application(settings, starts)
    async with client_of(app, await key_for(settings, "org-b")) as foreign:
        for path in ("templates", "notification-policy", f"preferences/{'a' * 32}"):
            assert_problem(await foreign.get(f"{HOME}/{path}"), 404, "not_found")
    await app.state.gateway.aclose()


async def test_a_template_keeps_its_versions_and_the_same_words_make_none(client: httpx.AsyncClient):  # noqa: F811
    versions = [
        (await client.put(f"{HOME}/templates", json={"name": "reminder", "text": text})).json()["version"]
        for text in ("First", "First", "Second")
    ]
    first = (await client.get(f"{HOME}/templates/reminder", params={"version": 1})).json()
    assert (versions, first["words"]["text"]) == ([1, 1, 2], "First")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("templates", {"name": "reminder", "text": "{% include 'x' %}"}, "template_refused"),
        ("templates", {"name": "reminder", "text": "{{ guest }}"}, "template_variable_unknown"),
        ("templates", {"name": "reminder"}, "invalid_input"),
        ("preferences", {"preferences": {}}, "recipient_needed"),
        ("preferences", {"address": ANNA, "preferences": {"timeZone": "Mars/Olympus"}}, "invalid_input"),
        ("notification-policy", {"blackoutAfter": "P90D"}, "invalid_input"),
        ("notification-policy", {"identity": {"fromName": "Evil\r\nBcc: x@y.example"}}, "invalid_input"),
        ("notification-policy", {"quietOurs": {}}, "unknown_fields"),
    ],
)
async def test_what_could_not_work_is_refused_when_it_is_set(
    client: httpx.AsyncClient,  # noqa: F811
    path: str,
    body: dict[str, Any],
    code: str,
):
    answer = await client.put(f"{HOME}/{path}", json=body)
    assert (answer.status_code // 100, answer.json()["code"]) == (4, code)
