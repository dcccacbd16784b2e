"""The stand-in of calendars: Radicale's own answers, kept over restarts and snapshots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from emulators import caldav
from emulators.core import State, build_app

_LINES = (
    "VERSION:2.0",
    "PRODID:-//x//",
    "BEGIN:VEVENT",
    "UID:one",
    "DTSTAMP:20260101T000000Z",
    "DTSTART:{}",
    "END:VEVENT",
)
EVENT = "\r\n".join(("BEGIN:VCALENDAR", *_LINES, "END:VCALENDAR", ""))
PATH = "/caldav/lumen/team/one.ics"


@asynccontextmanager
async def running(data: Path) -> AsyncIterator[httpx.AsyncClient]:
    state = State(data / "emulators.db")
    app = build_app([caldav.build(state)])
    auth = httpx.BasicAuth("lumen", caldav.PASSWORDS["lumen"])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://emulators", auth=auth) as client:
        yield client
    state.close()


async def put(client: httpx.AsyncClient, start: str, **headers: str) -> int:
    return (await client.put(PATH, content=EVENT.format(start), headers=headers)).status_code


async def test_an_event_is_still_there_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as client:
        await put(client, "20270612T120000Z")
    async with running(tmp_path) as client:
        assert "DTSTART:20270612T120000Z" in (await client.get(PATH)).text
        assert await put(client, "20270613T120000Z", **{"If-None-Match": "*"}) == 412


async def test_a_restored_snapshot_brings_the_events_back(tmp_path: Path) -> None:
    async with running(tmp_path) as client:
        await put(client, "20270612T120000Z")
        await client.post("/_emulators/caldav/snapshot")
        await client.delete(PATH)
        assert (await client.get(PATH)).status_code == 404
        await client.post("/_emulators/caldav/restore")
        assert "DTSTART:20270612T120000Z" in (await client.get(PATH)).text


async def test_a_refused_write_is_no_effect_and_neither_is_the_same_text_again(tmp_path: Path) -> None:
    async with running(tmp_path) as client:
        await put(client, "20270612T120000Z")
        await put(client, "20270612T120000Z")
        await put(client, "20270613T120000Z", **{"If-Match": '"another"'})
        effects = (await client.get("/_emulators/caldav/effects")).json()
    assert [(one["kind"], one["idempotencyKey"]) for one in effects] == [("event.created", "one")]
