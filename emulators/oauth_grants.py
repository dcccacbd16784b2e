"""What an emulated authorisation server remembers: grants, codes and tokens, kept by digest and never by value."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from emulators.core import Emulator

GRANTS, CODES, ACCESS, REFRESH, SETTINGS = (
    "oauth/grants",
    "oauth/codes",
    "oauth/access",
    "oauth/refresh",
    "oauth/settings",
)
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
CODE_LIFE_S = 600.0
_COUNTS = "oauth/count/"
Standing = Literal["live", "expired", "unknown"]


class OAuthError(Exception):
    """A refusal in OAuth's own words; `about` is the parameter it concerns, for the vendor's error body."""

    def __init__(self, error: str, description: str, *, about: str = "", status: int = 400) -> None:
        """Keep what the answer will say."""
        super().__init__(error)
        self.error, self.description, self.about, self.status = error, description, about, status


@dataclass(frozen=True)
class Issued:
    """Tokens that were just made; `refresh_token` is the one to use from now on, new or (unless `rotated`) the same."""

    grant_id: str
    grant_type: str
    access_token: str
    refresh_token: str | None
    expires_in: int
    scopes: tuple[str, ...]
    rotated: bool = False


class Grants:
    """The grants of one vendor; every method runs inside the caller's transaction.

    Args:
        emulator: Whose state, ledger and counters are used.
        lifetime_s: How long an access token lives until the control API says otherwise.
        prefix: What the vendor's access tokens begin with.
    """

    def __init__(self, emulator: Emulator, lifetime_s: float, prefix: str = "") -> None:
        """Work on the emulator's stored grants."""
        self._emulator, self._lifetime_s, self._prefix = emulator, lifetime_s, prefix

    def settings(self) -> dict[str, Any]:
        """The rules of the control API: `lifetimeS`, `rotate`, `revokeOnReuse`, `redirectUris`."""
        standard = {"lifetimeS": self._lifetime_s, "rotate": False, "revokeOnReuse": True, "redirectUris": []}
        return {**standard, **(self._emulator.get(SETTINGS, "rules") or {})}

    def configure(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Change some rules and return all of them."""
        known = self.settings()
        settings = {**known, **{name: value for name, value in changes.items() if name in known}}
        self._emulator.put(SETTINGS, "rules", settings)
        return settings

    def begin_code(self, client_id: str, redirect_uri: str, scopes: Sequence[str], challenge: str | None) -> str:
        """A new authorisation code, good once and for ten minutes."""
        code = secrets.token_urlsafe(24)
        body = {"clientId": client_id, "redirectUri": redirect_uri, "scopes": list(scopes), "challenge": challenge}
        self._emulator.put(CODES, _digest(code), {**body, "expiresAt": time.time() + CODE_LIFE_S})
        return code

    def take_code(self, code: str) -> dict[str, Any]:
        """Use an authorisation code up and return what it was given for.

        Raises:
            OAuthError: `invalid_grant`, unknown, used or too old.
        """
        held = self._emulator.get(CODES, _digest(code))
        self._emulator.delete(CODES, _digest(code))
        if held is None or held["expiresAt"] < time.time():
            raise OAuthError("invalid_grant", "invalid authorization code", about="code")
        return held

    def issue(
        self, grant_type: str, client_id: str, scopes: Sequence[str], *, lifetime_s: float | None = None
    ) -> Issued:
        """A new grant with its first tokens; client credentials get no refresh token."""
        grant_id = secrets.token_hex(8)
        body = {"id": grant_id, "clientId": client_id, "scopes": list(scopes), "revoked": False}
        self._emulator.put(GRANTS, grant_id, body)
        refresh = None if grant_type == "client_credentials" else self._new_refresh(grant_id)
        issued = self._with_access(body, grant_type, refresh, lifetime_s)
        self._enter("token.issued", grant_id, {"grantType": grant_type, "expiresInS": issued.expires_in})
        return issued

    def refresh(self, token: str, client_id: str) -> Issued:
        """New tokens for a refresh token; with rotation on, the token is spent by it.

        Raises:
            OAuthError: `invalid_grant`, unknown, revoked, spent or another client's. Spent is a reuse event.
        """
        held = self._emulator.get(REFRESH, _digest(token))
        grant = None if held is None else self._emulator.get(GRANTS, held["grant"])
        if held is None or grant is None or grant["revoked"] or grant["clientId"] != client_id:
            raise _dead()
        settings = self.settings()
        if held["spent"]:
            self._reused(grant, revoke=bool(settings["revokeOnReuse"]))
            raise _dead()
        successor = None
        if settings["rotate"]:
            self._emulator.put(REFRESH, _digest(token), {**held, "spent": True})
            successor = self._new_refresh(grant["id"])
        issued = self._with_access(grant, "refresh_token", successor or token, None, rotated=successor is not None)
        self._enter("token.refreshed", grant["id"], {"rotated": issued.rotated, "expiresInS": issued.expires_in})
        return issued

    def standing(self, access_token: str) -> Standing:
        """Whether the vendor's API accepts an access token; a revoked one is unknown."""
        held = self.access(access_token)
        if held is None:
            return "unknown"
        return "live" if held["expiresAt"] > time.time() else "expired"

    def access(self, token: str) -> dict[str, Any] | None:
        """What is known of an access token: `grant`, `clientId`, `scopes`, `expiresIn`; None when it is revoked."""
        held = self._emulator.get(ACCESS, _digest(token))
        grant = None if held is None else self._emulator.get(GRANTS, held["grant"])
        if held is None or grant is None or grant["revoked"]:
            return None
        left = max(0, math.ceil(held["expiresAt"] - time.time()))
        return {**held, "clientId": grant["clientId"], "scopes": grant["scopes"], "expiresIn": left}

    def refreshable(self, token: str) -> dict[str, Any] | None:
        """What is known of a refresh token: `grant`, `clientId`, `scopes`; None when spent, revoked or unknown."""
        held = self._emulator.get(REFRESH, _digest(token))
        grant = None if held is None or held["spent"] else self._emulator.get(GRANTS, held["grant"])
        if held is None or grant is None or grant["revoked"]:
            return None
        return {**held, "clientId": grant["clientId"], "scopes": grant["scopes"]}

    def revoke_token(self, token: str, *, whole_grant: bool) -> bool:
        """Revoke by token value; a refresh token takes its whole grant along where the vendor says so."""
        access, refresh = self.access(token), self.refreshable(token)
        held = access or refresh
        if held is None:
            return False
        if refresh is not None and whole_grant:
            return self.revoke(held["grant"])
        self._emulator.delete(ACCESS if access else REFRESH, _digest(token))
        self._enter("token.revoked", held["grant"], {"whole": False})
        return True

    def revoke(self, grant_id: str) -> bool:
        """End a grant with all its tokens; False when it had ended or never was."""
        grant = self._emulator.get(GRANTS, grant_id)
        if grant is None or grant["revoked"]:
            return False
        self._emulator.put(GRANTS, grant_id, {**grant, "revoked": True})
        self._enter("token.revoked", grant_id, {"whole": True})
        return True

    def revoke_all(self) -> int:
        """End every grant and return how many were live."""
        return sum(self.revoke(grant["id"]) for grant in self._emulator.list(GRANTS))

    def count(self, what: str) -> None:
        """Add one to a count, for example `requests/refresh_token` or `refusals/invalid_grant`."""
        self._emulator.state.counter(self._emulator.system, _COUNTS + what)

    def counts(self) -> dict[str, Any]:
        """Token requests by grant type, refusals by error, and reuse events."""
        rows = self._emulator.state.connection.execute(
            "SELECT name, value FROM counters WHERE system = ? AND name LIKE ?", (self._emulator.system, f"{_COUNTS}%")
        )
        found = {name.removeprefix(_COUNTS): value for name, value in rows}
        refusals = {name.removeprefix("refusals/"): n for name, n in found.items() if name.startswith("refusals/")}
        requests = {name: found.get(f"requests/{name}", 0) for name in GRANT_TYPES}
        return {"requests": requests, "refusals": refusals, "reuseEvents": found.get("reuse", 0)}

    def _reused(self, grant: dict[str, Any], *, revoke: bool) -> None:
        self.count("reuse")
        self._enter("token.reused", grant["id"], {"revoked": revoke})
        if revoke:
            self.revoke(grant["id"])

    def _new_refresh(self, grant_id: str) -> str:
        token = secrets.token_urlsafe(32)
        self._emulator.put(REFRESH, _digest(token), {"grant": grant_id, "spent": False})
        return token

    def _with_access(
        self,
        grant: dict[str, Any],
        grant_type: str,
        refresh: str | None,
        lifetime_s: float | None,
        *,
        rotated: bool = False,
    ) -> Issued:
        token = self._prefix + secrets.token_urlsafe(32)
        life = float(self.settings()["lifetimeS"] if lifetime_s is None else lifetime_s)
        self._emulator.put(ACCESS, _digest(token), {"grant": grant["id"], "expiresAt": time.time() + life})
        return Issued(grant["id"], grant_type, token, refresh, int(life), tuple(grant["scopes"]), rotated)

    def _enter(self, kind: str, grant_id: str, body: dict[str, Any]) -> None:
        self._emulator.effect(kind, "grants", grant_id, body)


def _dead() -> OAuthError:
    return OAuthError("invalid_grant", "expired access/refresh token", about="refresh_token")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
