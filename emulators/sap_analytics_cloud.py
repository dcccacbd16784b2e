"""An emulated SAP Analytics Cloud tenant: its planning models, and the Data Import Service that brings facts into them.

From the vendor's help pages ("api/v1/dataimport" 1.2.0): paths, bodies, answers, the states of a job, what is refused
at an upload and what at the validation, the import methods, and that writes need a CSRF token fetched by a GET.

Unconfirmed: that the token belongs to the session's cookie and is refused with 403 and `x-csrf-token: required`, the
statuses of errors other than 400, 403 and 404, the form of the numbers in their sentences, and that a row under the
dimensions of an earlier one of its job takes that one's place. A model's dimensions other than `Region` take every
member. The limit of active jobs is not enforced, since no number is documented.

`POST /_emulators/sap_analytics_cloud/runs` (`{"looks","status"}`) says how many looks show the next run at work, and
how it ends; `POST .../sessions/end` ends every session.
"""

from __future__ import annotations

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.bearer_edge import Answer, BearerEdge, Call, RefusalError
from emulators.core import Emulator, Fault, State
from emulators.oauth import AuthorisationServer, Vendor
from emulators.oauth_grants import Issued, OAuthError
from emulators.sap_jobs import Jobs, refusal
from emulators.sap_models import MODELS

TOKEN = "sandbox-sap-token"
_ROOT = "/api/v1/dataimport"
_SESSION = "JSESSIONID"


def render_error(status: int, _fault: Fault | None) -> Response:
    """The vendor's body of an error."""
    return JSONResponse(refusal(status).body, status)


class Session:
    """The CSRF tokens of the sessions."""

    def __init__(self, emulator: Emulator) -> None:
        """Keep tokens in the emulator's state."""
        self._emulator = emulator

    def fetch(self, call: Call) -> Answer:
        """GET of a token, with the cookie it belongs to."""
        answer = Response(status_code=200)
        if call.request.headers.get("x-csrf-token", "").lower() == "fetch":
            session, token = secrets.token_hex(16), secrets.token_hex(16)
            self._emulator.put("sessions", session, {"id": session, "token": token})
            answer.set_cookie(_SESSION, session, httponly=True)
            answer.headers["x-csrf-token"] = token
        return 200, answer

    def check(self, call: Call) -> None:
        """Refuse a write without the token of its session."""
        held = self._emulator.get("sessions", call.request.cookies.get(_SESSION, ""))
        if held is None or held["token"] != call.request.headers.get("x-csrf-token"):
            raise RefusalError(403, refusal(403).body, {"x-csrf-token": "required"})

    async def end_all(self, _request: Request) -> Response:
        """End every session, as a tenant does that is restarted."""
        with self._emulator.transaction():
            ended = self._emulator.list("sessions")
            for one in ended:
                self._emulator.delete("sessions", one["id"])
        return JSONResponse({"ended": len(ended)})


def _granted(issued: Issued, _mount: str) -> dict[str, Any]:
    return {"access_token": issued.access_token, "token_type": "bearer", "expires_in": issued.expires_in}


def _refused(error: OAuthError) -> dict[str, Any]:
    return {"error": error.error, "error_description": error.description}


VENDOR = Vendor(
    client_id="sandbox-sap-client",
    client_secret="sandbox-sap-secret",
    authorize=(),
    tokens={"/oauth/token": ("client_credentials",)},
    revoke=(),
    lifetime_s=3_600.0,
    scopes=(),
    answer=_granted,
    refusal=_refused,
)


def _routes(emulator: Emulator) -> list[BaseRoute]:
    oauth, session, jobs = AuthorisationServer(emulator, VENDOR), Session(emulator), Jobs(emulator)
    edge = BearerEdge(emulator, TOKEN, refusal, oauth=oauth, drift={"models": "items", "jobID": "id"})

    def write(path: str, handler: Any, method: str = "POST") -> Route:
        def checked(call: Call) -> Answer:
            session.check(call)
            answer: Answer = handler(call)
            return answer

        checked.__name__ = handler.__name__
        return edge.route(path, checked, method)

    control = f"/_emulators/{emulator.system}"
    emulator.control_routes += [
        Route(f"{control}/runs", jobs.set_run, methods=["POST"]),
        Route(f"{control}/sessions/end", session.end_all, methods=["POST"]),
    ]
    model, job = f"{_ROOT}/models/{{model}}", f"{_ROOT}/jobs/{{job}}"
    return [
        *oauth.routes(),
        edge.route("/api/v1/csrf", session.fetch, "GET"),
        edge.route(f"{_ROOT}/models", jobs.list_models, "GET"),
        edge.route(f"{model}/metadata", jobs.read_metadata, "GET"),
        write(f"{model}/{{kind}}", jobs.create_job),
        write(job, jobs.upload),
        write(job, jobs.delete_job, "DELETE"),
        write(f"{job}/validate", jobs.validate),
        write(f"{job}/run", jobs.run),
        edge.route(f"{job}/status", jobs.read_status, "GET"),
        edge.route(f"{job}/invalidRows", jobs.list_invalid_rows, "GET"),
    ]


def _seed(emulator: Emulator) -> None:
    for model in MODELS:
        emulator.put("models", model["modelID"], model)


def build(state: State) -> Emulator:
    """The emulated tenant over this state."""
    return Emulator("sap_analytics_cloud", state, routes=_routes, seed=_seed, render_error=render_error)
