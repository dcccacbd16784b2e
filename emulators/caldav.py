"""A real CalDAV server, Radicale, with what it stores kept in the emulators' state and entered in their ledger.

Radicale answers every request itself, conditions, reports and access rights included; this module only carries the
requests to it. Objects: `events`, one per stored resource, with its properties by name and the text as `ics`. A PUT
that changes nothing is no effect.
"""

from __future__ import annotations

import asyncio
import base64
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radicale import config
from radicale.app import Application
from radicale.auth import BaseAuth
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.core import Emulator, State
from emulators.faults import Fault, paths_of

if TYPE_CHECKING:
    from starlette.requests import Request

PASSWORDS = {"lumen": "sandbox-caldav-password", "harbour": "sandbox-caldav-other-password"}
CALENDARS = ("lumen/team", "lumen/orangery", "lumen/ballroom", "harbour/team")
_METHODS = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND", "PROPPATCH", "REPORT", "MKCALENDAR", "MKCOL", "MOVE"]
_WRITING = {"PUT", "DELETE"}
_FOLDED = re.compile(r"\r?\n[ \t]")
_PROPERTY = re.compile(r"([A-Za-z0-9-]+)(?:;[^:\r\n]*)?:(.*)")
Body = dict[str, Any]


class _Accounts(BaseAuth):
    """The published sandbox accounts."""

    def _login(self, login: str, password: str) -> str:
        return login if PASSWORDS.get(login) == password else ""


def properties(ics: str) -> Body:
    """The properties of the first event of a calendar object, as they are written, without their parameters."""
    _, _, event = _FOLDED.sub("", ics).partition("BEGIN:VEVENT")
    lines = event.partition("END:VEVENT")[0].partition("BEGIN:")[0].splitlines()
    found = [matched for matched in map(_PROPERTY.fullmatch, lines) if matched]
    return {matched[1].lower(): matched[2] for matched in found}


class Calendars:
    """One Radicale over a folder that is filled anew from the emulator's state."""

    def __init__(self, emulator: Emulator) -> None:
        """Begin with what the emulator remembers."""
        self._emulator = emulator
        self._folder = tempfile.TemporaryDirectory(prefix="wedsync-caldav-", ignore_cleanup_errors=True)
        # The ledger shall have the order in which Radicale wrote.
        self._writing = asyncio.Lock()
        self.refill()

    def refill(self) -> None:
        """Hold the calendars of the seed and the events of the state, and nothing else."""
        self._folder.cleanup()
        self._folder = tempfile.TemporaryDirectory(prefix="wedsync-caldav-", ignore_cleanup_errors=True)
        (Path(self._folder.name) / "collection-root").mkdir()
        settings = config.load()
        chosen: dict[str, dict[str, Any]] = {
            "auth": {"type": _Accounts, "delay": 0},
            "storage": {"filesystem_folder": self._folder.name, "_filesystem_fsync": False},
            "logging": {"level": "critical"},
        }
        settings.update(chosen, "sandbox", privileged=True)
        self._radicale = Application(settings)
        for path in CALENDARS:
            self._store("MKCALENDAR", f"/{path}/", b"")
        for event in self._emulator.list("events"):
            self._store("PUT", event["id"], event["ics"].encode())

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()

    def _store(self, method: str, path: str, content: bytes) -> None:
        user = path.split("/")[1]
        environ = {"REMOTE_USER": user, "HTTP_AUTHORIZATION": _basic(user), "CONTENT_TYPE": "text/calendar"}
        status, _, _ = self._ask(_environ(method, path, "", content) | environ)
        if not 200 <= status < 300:
            message = f"Radicale refused {method} {path} of the seed with {status}."
            raise RuntimeError(message)

    def _ask(self, environ: Body) -> tuple[int, list[tuple[str, str]], bytes]:
        answered: list[Any] = []
        parts = self._radicale(environ, lambda status, headers: answered.extend((status, headers)))
        return int(answered[0].split()[0]), answered[1], b"".join(parts)

    async def answer(self, request: Request) -> Response:
        """Carry a request to Radicale and its answer back."""
        path = paths_of(request.scope)[0]
        mount = str(request.scope.get("root_path", ""))
        environ = _environ(request.method, path, mount, await request.body())
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()}
        environ |= {"CONTENT_TYPE": request.headers.get("content-type", ""), "QUERY_STRING": request.url.query}
        environ.pop("HTTP_ACCEPT_ENCODING", None)
        if request.method not in _WRITING:
            status, headers, body = await asyncio.to_thread(self._ask, environ)
        else:
            async with self._writing:
                status, headers, body = await asyncio.to_thread(self._ask, environ)
                if 200 <= status < 300:
                    self._enter(request.method, path, environ["wsgi.input"].getvalue().decode())
        kept = {name: value for name, value in headers if name.lower() != "content-length"}
        return Response(body, status, kept)

    def _enter(self, method: str, path: str, ics: str) -> None:
        before = self._emulator.get("events", path)
        with self._emulator.transaction():
            if method == "DELETE":
                self._emulator.delete("events", path)
                key = None if before is None else before.get("uid")
                self._emulator.effect("event.deleted", "events", path, {"id": path}, key)
            elif before is None or before["ics"] != ics:
                event = {"id": path, **properties(ics), "ics": ics}
                kind = "event.created" if before is None else "event.updated"
                self._emulator.put("events", path, event)
                self._emulator.effect(kind, "events", path, event, event.get("uid"))


def _environ(method: str, path: str, mount: str, body: bytes) -> Body:
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": mount,
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
    }


def _basic(user: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{PASSWORDS[user]}'.encode()).decode()}"


def render_error(status: int, _fault: Fault | None) -> Response:
    """A body as plain as Radicale's own."""
    return PlainTextResponse("The request could not be answered.", status)


def build(state: State) -> Emulator:
    """The calendars over this state."""
    served: list[Calendars] = []

    def routes(emulator: Emulator) -> list[BaseRoute]:
        calendars = Calendars(emulator)
        served.append(calendars)

        async def carry(request: Request) -> Response:
            emulator.name_operation(request, request.method.lower())
            for kind in ("revoke_token", "expire_token"):
                if emulator.fault_active(kind, request) is not None:
                    return PlainTextResponse("Access denied.", 401, {"WWW-Authenticate": 'Basic realm="Radicale"'})
            return await calendars.answer(request)

        return [Route("/{path:path}", carry, methods=_METHODS)]

    emulator = Emulator("caldav", state, routes=routes, seed=_seed, render_error=render_error)
    emulator.on_reset.append(served[0].refill)
    emulator.shutdown.append(_closing(served[0]))
    return emulator


def _closing(calendars: Calendars) -> Any:
    async def close() -> None:
        calendars.close()

    return close


def _seed(_emulator: Emulator) -> None:
    """Calendars are empty from the start."""
