"""The control routes of an emulated authorisation server: its rules, grants made by hand, revocation and counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.oauth_grants import Grants, Issued

if TYPE_CHECKING:
    from starlette.requests import Request

    from emulators.core import Emulator

_MOST_GRANTS = 100_000


class OAuthControl:
    """Handlers under `/_emulators/{system}/oauth`."""

    def __init__(
        self,
        emulator: Emulator,
        grants: Grants,
        client_id: str,
        scopes: Sequence[str],
        answer: Callable[[Issued, str], dict[str, Any]],
    ) -> None:
        """Control these grants; `answer` renders issued tokens as the vendor does."""
        self._emulator, self._grants = emulator, grants
        self._client_id, self._scopes, self._answer = client_id, scopes, answer

    async def rules(self, request: Request) -> Response:
        """GET the rules, or PUT some of them."""
        changes = await _json(request) if request.method == "PUT" else {}
        with self._emulator.transaction():
            return JSONResponse(self._grants.configure(changes) if changes else self._grants.settings())

    async def mint(self, request: Request) -> Response:
        """POST makes one grant, or `count` of them; `scope` and `lifetimeS` differ from the rules when given."""
        given = await _json(request)
        scopes = str(given.get("scope") or "").split() or self._scopes
        root = f"{str(request.base_url).rstrip('/')}/{self._emulator.system}"
        with self._emulator.transaction():
            made = [
                self._shown(
                    self._grants.issue(
                        "authorization_code", self._client_id, scopes, lifetime_s=given.get("lifetimeS")
                    ),
                    root,
                )
                for _ in range(min(int(given.get("count", 1)), _MOST_GRANTS))
            ]
        return JSONResponse({"grants": made} if "count" in given else made[0], 201)

    def _shown(self, issued: Issued, root: str) -> dict[str, Any]:
        shown = {
            "grantId": issued.grant_id,
            "accessToken": issued.access_token,
            "refreshToken": issued.refresh_token,
            "expiresIn": issued.expires_in,
        }
        instance = self._answer(issued, root).get("instance_url")
        return {**shown, **({"instanceUrl": instance} if instance else {})}

    async def revoke(self, request: Request) -> Response:
        """POST ends the grant named by `grantId`, or all of them."""
        grant_id = (await _json(request)).get("grantId")
        with self._emulator.transaction():
            ended = self._grants.revoke_all() if grant_id is None else int(self._grants.revoke(str(grant_id)))
        return JSONResponse({"revoked": ended})

    async def counts(self, _request: Request) -> Response:
        """GET how many token requests there were, and how they ended."""
        return JSONResponse(self._grants.counts())


def control_routes(
    emulator: Emulator,
    grants: Grants,
    client_id: str,
    scopes: Sequence[str],
    answer: Callable[[Issued, str], dict[str, Any]],
) -> list[BaseRoute]:
    """The control routes of one vendor's authorisation server."""
    control, root = OAuthControl(emulator, grants, client_id, scopes, answer), f"/_emulators/{emulator.system}/oauth"
    return [
        Route(root, control.rules, methods=["GET", "PUT"]),
        Route(f"{root}/grants", control.mint, methods=["POST"]),
        Route(f"{root}/revoke", control.revoke, methods=["POST"]),
        Route(f"{root}/counts", control.counts),
    ]


async def _json(request: Request) -> dict[str, Any]:
    raw = await request.body()
    given: dict[str, Any] = json.loads(raw) if raw else {}
    return given
