"""An emulated Power BI workspace: push models with their rows, and a model that is refreshed from a warehouse.

From the vendor's REST description: paths, bodies, statuses, the statuses of a refresh. From its pages: the limits of
push models, the guide to enhanced refresh (409 beside another one, `Location`), and 429 with `Retry-After`.

Unconfirmed: the words of errors, that an expired token is a 403 with `TokenExpired`, that a body over a limit is a 400,
that PUT of a table leaves its rows. Five pending requests cannot arise, since each is applied as it arrives. Queries
are the two shapes of `EVALUATE` that count rows.

`POST /_emulators/powerbi/warehouse` (`{"model","table","rows","looks","status"}`) says what the next refresh of a model
finds in the warehouse, how many looks at it show it under way, and how it ends.
"""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.bearer_edge import BearerEdge
from emulators.core import Emulator, Fault, State
from emulators.oauth import AuthorisationServer, Vendor
from emulators.oauth_grants import Issued, OAuthError
from emulators.powerbi_models import Models
from emulators.powerbi_refreshes import Refreshes
from emulators.powerbi_workspace import Workspace, expired, refusal

TOKEN = "sandbox-powerbi-token"
TENANT = "5b7d2c1e-0a44-4f0e-9d52-6f1f0c8a7e10"
WAREHOUSE_MODEL = "Wedding Portfolio"


def render_error(status: int, _fault: Fault | None) -> Response:
    """The vendor's body of an error."""
    return JSONResponse(refusal(status).body, status)


def _granted(issued: Issued, _mount: str) -> dict[str, Any]:
    return {"token_type": "Bearer", "expires_in": issued.expires_in, "access_token": issued.access_token}


def _refused(error: OAuthError) -> dict[str, Any]:
    return {"error": error.error, "error_description": f"AADSTS7000215: {error.description}", "error_codes": [7000215]}


VENDOR = Vendor(
    client_id="sandbox-powerbi-client",
    client_secret="sandbox-powerbi-secret",
    authorize=(),
    tokens={f"/{TENANT}/oauth2/v2.0/token": ("client_credentials",)},
    revoke=(),
    lifetime_s=3_599.0,
    scopes=("https://analysis.windows.net/powerbi/api/.default",),
    answer=_granted,
    refusal=_refused,
    basic=False,
)


def _routes(emulator: Emulator) -> list[BaseRoute]:
    oauth, workspace = AuthorisationServer(emulator, VENDOR), Workspace(emulator)
    models, refreshes = Models(workspace), Refreshes(workspace)
    edge = BearerEdge(emulator, TOKEN, refusal, oauth=oauth, drift={"value": "items", "id": "key"}, expired=expired)
    emulator.control_routes.append(Route("/_emulators/powerbi/warehouse", refreshes.set_warehouse, methods=["POST"]))
    group = "/v1.0/myorg/groups/{group}"
    model, table = f"{group}/datasets/{{model}}", f"{group}/datasets/{{model}}/tables/{{table}}"
    return [
        *oauth.routes(),
        edge.route(group, models.read_group, "GET"),
        edge.route(f"{group}/datasets", models.list_models, "GET"),
        edge.route(f"{group}/datasets", models.create_model, "POST"),
        edge.route(table, models.shape_table, "PUT"),
        edge.route(f"{table}/rows", models.add_rows, "POST"),
        edge.route(f"{table}/rows", models.delete_rows, "DELETE"),
        edge.route(f"{model}/executeQueries", models.query, "POST"),
        edge.route(f"{model}/refreshes", refreshes.list_refreshes, "GET"),
        edge.route(f"{model}/refreshes", refreshes.begin_refresh, "POST"),
        edge.route(f"{model}/refreshes/{{refresh}}", refreshes.read_refresh, "GET"),
    ]


def _seed(emulator: Emulator) -> None:
    model: dict[str, Any] = {
        "id": str(uuid5(NAMESPACE_URL, f"powerbi/{WAREHOUSE_MODEL}")),
        "name": WAREHOUSE_MODEL,
        "addRowsAPIEnabled": False,
        "isRefreshable": True,
        "tables": {"Weddings": {}},
    }
    emulator.put("models", model["id"], model)


def build(state: State) -> Emulator:
    """The emulated workspace over this state."""
    return Emulator("powerbi", state, routes=_routes, seed=_seed, render_error=render_error)
