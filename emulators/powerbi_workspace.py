"""What the parts of the emulated Power BI share: its errors, and the workspace's models."""

from __future__ import annotations

from emulators.bearer_edge import Body, Call, RefusalError
from emulators.core import Emulator

GROUP = "f089354e-8366-4e18-aea3-4cb4a3a50b48"
_CODES = {400: "BadRequest", 401: "PowerBINotAuthorizedException", 403: "PowerBINotAuthorizedException"}
_CODES |= {404: "PowerBIEntityNotFound", 409: "Conflict", 429: "TooManyRequests"}


def refusal(status: int, code: str = "", message: str = "", headers: dict[str, str] | None = None) -> RefusalError:
    """The vendor's error of a status."""
    error = {"code": code or _CODES.get(status, "UnknownError")}
    return RefusalError(status, {"error": {**error, "message": message} if message else error}, headers)


def expired() -> RefusalError:
    """The vendor's error for a token that has expired."""
    return refusal(403, "TokenExpired", "Access token has expired, resubmit with a new access token")


class Workspace:
    """The models of the one workspace and their rows, kept as they were pushed."""

    def __init__(self, emulator: Emulator) -> None:
        """Read the emulator's state."""
        self.emulator = emulator

    def group(self, call: Call) -> None:
        """Refuse every other workspace."""
        if call.path("group") != GROUP:
            raise refusal(404)

    def model(self, call: Call) -> Body:
        """The model that a path names."""
        self.group(call)
        found = self.emulator.get("models", call.path("model"))
        if found is None:
            raise refusal(404)
        return found

    def pushes(self, model_id: str, table: str) -> list[Body]:
        """What was pushed into a table, or loaded by its last refresh."""
        return self.emulator.find_all("pushes", "place", f"{model_id}/{table}")

    def held(self, model_id: str, table: str) -> int:
        """How many rows a table has."""
        counted = self.emulator.get("tables", f"{model_id}/{table}") or {"rows": 0}
        return int(counted["rows"])

    def hold(self, model_id: str, table: str, rows: list[Body], *, replace: bool = False) -> None:
        """Keep rows beside those that a table has, or in their place."""
        place, held = f"{model_id}/{table}", self.held(model_id, table)
        if replace:
            held = 0
            for push in self.pushes(model_id, table):
                self.emulator.delete("pushes", push["id"])
        if rows:
            push_id = self.emulator.next_id("pushes")
            self.emulator.put("pushes", push_id, {"id": push_id, "place": place, "rows": rows})
        self.emulator.put("tables", place, {"place": place, "rows": held + len(rows)})
