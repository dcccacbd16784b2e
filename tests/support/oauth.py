"""A client application of the emulated authorisation servers: consent, exchange, refresh, and their control routes."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

REDIRECT = "http://127.0.0.1:8010/v1/oauth/callback"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class OAuthApp:
    """An application at one vendor; `mount` is the vendor's root below the client's base URL."""

    client: httpx.Client
    mount: str
    client_id: str
    client_secret: str
    authorize_path: str
    token_path: str

    def consent(self, **given: str) -> httpx.Response:
        """Open the consent page as a browser would, with the answer in `approve`."""
        asked = {"client_id": self.client_id, "redirect_uri": REDIRECT, "response_type": "code", "state": "s-1"}
        challenge = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
        return self.client.get(f"/{self.mount}{self.authorize_path}", params={**asked, **challenge, **given})

    def code(self, **given: str) -> str:
        """Return the code of an approved consent."""
        return parse_qs(urlsplit(self.consent(approve="1", **given).headers["Location"]).query)["code"][0]

    def token(self, grant_type: str, **form: str) -> httpx.Response:
        """Ask the token endpoint."""
        client = {"client_id": self.client_id, "client_secret": self.client_secret}
        body = {"grant_type": grant_type, **client, **form}
        return self.client.post(f"/{self.mount}{self.token_path}", data=body)

    def exchange(self, code: str, **form: str) -> httpx.Response:
        """Exchange a code as the application that asked for it."""
        return self.token(
            "authorization_code", **{"code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER, **form}
        )

    def refresh(self, token: str) -> httpx.Response:
        """Ask for a new access token."""
        return self.token("refresh_token", refresh_token=token)

    def rules(self, **changes: Any) -> dict[str, Any]:
        """Change the server's rules and return all of them."""
        rules: dict[str, Any] = self.client.put(f"/_emulators/{self.mount}/oauth", json=changes).json()
        return rules

    def grant(self, **given: Any) -> dict[str, Any]:
        """Return a grant made by the control API, or many under `grants` when `count` is given."""
        made: dict[str, Any] = self.client.post(f"/_emulators/{self.mount}/oauth/grants", json=given).json()
        return made

    def revoke(self, grant_id: str | None = None) -> int:
        """End one grant, or all, from the vendor's side."""
        given = {} if grant_id is None else {"grantId": grant_id}
        ended: int = self.client.post(f"/_emulators/{self.mount}/oauth/revoke", json=given).json()["revoked"]
        return ended

    def counts(self) -> dict[str, Any]:
        """Return the token requests, refusals and reuse events."""
        counts: dict[str, Any] = self.client.get(f"/_emulators/{self.mount}/oauth/counts").json()
        return counts
