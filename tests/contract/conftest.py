"""The emulated vendors, served over real TCP for the contract tests."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from activities.connectors.calendar.caldav import CalDav
from activities.connectors.crm.hubspot import HubSpot
from emulators import server
from emulators.serving import Server
from tests.support import caldav_calendar
from tests.support.emulators import Emulators
from tests.support.hubspot_account import patient
from tests.support.listeners import open_listener
from tests.support.loopback import loopback_client
from tests.support.tls_servers import Listener


def _application(data_dir: Path, wanted: Sequence[str]) -> ASGIApp:
    present = tuple(name for name in wanted if find_spec(f"emulators.{name}"))
    return server.build_all(data_dir, systems=present)


@pytest.fixture(scope="module")
def served_emulators(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root URL of the emulators, served by one thread for a test module.

    A module names the systems it needs as `EMULATED = ("hubspot",)`; all are served when it names none.
    """
    wanted = getattr(request.module, "EMULATED", server.SYSTEMS)
    application = _application(tmp_path_factory.mktemp("emulators"), wanted)
    listener = open_listener()
    # A connection kept alive longer than any test's pause leaves no race between its reuse and its close.
    config = uvicorn.Config(
        application, log_level="error", access_log=False, timeout_keep_alive=600, timeout_graceful_shutdown=1
    )
    process = Server(config)
    thread = threading.Thread(target=process.run, kwargs={"sockets": [listener]}, name="emulators", daemon=True)
    thread.start()
    root = f"http://127.0.0.1:{listener.getsockname()[1]}"
    # The listening socket queues this request until the server has started.
    with loopback_client(root) as client:
        client.get("/_emulators").raise_for_status()
    yield root
    process.should_exit = True
    thread.join(timeout=10)


@pytest.fixture
def emulators(served_emulators: str) -> Iterator[Emulators]:
    """The emulated vendors, as they are after a reset."""
    with loopback_client(served_emulators) as client:
        control = Emulators(client)
        control.reset()
        yield control


@pytest.fixture
async def hubspot(emulators: Emulators) -> AsyncIterator[HubSpot]:
    connector = patient(emulators.base_url("hubspot"))
    yield connector
    await connector.aclose()


@pytest.fixture
async def provisioned(hubspot: HubSpot, emulators: Emulators) -> HubSpot:
    """A provisioned account with empty books, provisioned once for the module."""
    if not emulators.restore("hubspot"):
        await hubspot.provision()
        emulators.snapshot("hubspot")
        emulators.restore("hubspot")
    return hubspot


@pytest.fixture
def listening() -> Iterator[Callable[..., Listener]]:
    """Start listeners that end with the test."""
    started: list[Listener] = []

    def start(*args: Any, **options: Any) -> Listener:
        started.append(Listener(*args, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
async def caldav(emulators: Emulators) -> AsyncIterator[CalDav]:
    connector = caldav_calendar.opened(emulators.base_url("caldav"))
    yield connector
    await connector.aclose()


@pytest.fixture
def people(emulators: Emulators) -> Iterator[Callable[..., str]]:
    """Put an event into a calendar as a person's own calendar program does, and return what stands there."""
    auth = httpx.BasicAuth(caldav_calendar.ACCOUNT["username"], caldav_calendar.ACCOUNT["password"])
    with loopback_client(emulators.base_url("caldav")) as client:

        def put(name: str, *lines: str, calendar: str = "orangery") -> str:
            path = f"/lumen/{calendar}/{name}.ics"
            if lines:
                event = ["BEGIN:VEVENT", f"UID:{name}", "DTSTAMP:20260101T000000Z", *lines, "END:VEVENT"]
                ics = "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//", *event, "END:VCALENDAR", ""])
                client.put(path, content=ics.encode(), auth=auth).raise_for_status()
            return client.get(path, auth=auth).text

        yield put
