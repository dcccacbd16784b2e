"""The refreshes of an emulated Power BI model that is based on a warehouse."""

from __future__ import annotations

from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from emulators.bearer_edge import Answer, Body, Call
from emulators.core import now_iso
from emulators.powerbi_workspace import GROUP, Workspace, refusal


class Refreshes:
    """The refreshes of every model, and what each finds in the warehouse."""

    def __init__(self, workspace: Workspace) -> None:
        """Serve one workspace."""
        self._workspace = workspace

    def list_refreshes(self, call: Call) -> Answer:
        """GET of a model's refresh history, newest first."""
        newest = self._workspace.emulator.find_all(
            "refreshes", "model", self._workspace.model(call)["id"], newest_first=True
        )
        top = call.query("$top", "60")
        return 200, {"value": [_history(refresh) for refresh in newest[: int(top)]]}

    def begin_refresh(self, call: Call) -> Answer:
        """POST of an enhanced refresh."""
        model = self._workspace.model(call)
        if not model["isRefreshable"]:
            raise refusal(400, "InvalidRequest", "The model has no data source to refresh from.")
        if any(_under_way(one) for one in self._workspace.emulator.find_all("refreshes", "model", model["id"])):
            raise refusal(409, "Conflict", "Another refresh request is already executing.")
        ahead = self._workspace.emulator.get("warehouse", model["id"]) or {}
        refresh = {"id": str(uuid4()), "model": model["id"], "startTime": now_iso(), **ahead}
        self._workspace.emulator.put("refreshes", refresh["id"], refresh)
        self._workspace.emulator.effect("refresh.begun", "refreshes", refresh["id"], {"model": model["name"]})
        if not _under_way(refresh):
            self._end(refresh)
        place = f"https://api.powerbi.com/v1.0/myorg/groups/{GROUP}/datasets/{model['id']}/refreshes/{refresh['id']}"
        return 202, Response(status_code=202, headers={"Location": place, "x-ms-request-id": refresh["id"]})

    def read_refresh(self, call: Call) -> Answer:
        """GET of a refresh: 202 while it is under way."""
        refresh = self._workspace.emulator.get("refreshes", call.path("refresh"))
        if refresh is None or refresh["model"] != self._workspace.model(call)["id"]:
            raise refusal(404)
        if not _under_way(refresh):
            ended = refresh.get("status", "Completed")
            failed = [{"code": "0xC11C0020", "message": "The refresh failed.", "type": "Error"}]
            body = {"status": ended, "extendedStatus": ended, "endTime": refresh["endTime"]}
            return 200, {**body, "messages": failed if ended == "Failed" else []}
        refresh["looks"] -= 1
        self._workspace.emulator.put("refreshes", refresh["id"], refresh)
        if not _under_way(refresh):
            self._end(refresh)
        return 202, {"status": "Unknown", "extendedStatus": "InProgress", "startTime": refresh["startTime"]}

    def _end(self, refresh: Body) -> None:
        self._workspace.emulator.put("refreshes", refresh["id"], {**refresh, "endTime": now_iso()})
        if refresh.get("status", "Completed") != "Completed" or "table" not in refresh:
            return
        self._workspace.hold(refresh["model"], refresh["table"], [{}] * refresh["rows"], replace=True)
        loaded = {"table": refresh["table"], "rows": refresh["rows"]}
        self._workspace.emulator.effect("model.refreshed", "models", refresh["model"], loaded)

    async def set_warehouse(self, request: Request) -> Response:
        """Say what the next refresh finds."""
        given = {"rows": 0, "looks": 0, "status": "Completed", **await request.json()}
        model = self._workspace.emulator.find("models", "name", given.pop("model"))
        if model is None:
            return JSONResponse({"error": "There is no such model."}, 404)
        with self._workspace.emulator.transaction():
            self._workspace.emulator.put("warehouse", model["id"], given)
        return JSONResponse(given)


def _under_way(refresh: Body) -> bool:
    return bool(refresh.get("looks", 0))


def _history(refresh: Body) -> Body:
    entry = {"requestId": refresh["id"], "refreshType": "ViaEnhancedApi", "startTime": refresh["startTime"]}
    if _under_way(refresh):
        return {**entry, "status": "Unknown"}
    return {**entry, "status": refresh.get("status", "Completed"), "endTime": refresh["endTime"]}
