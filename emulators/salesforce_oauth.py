"""How the emulated Salesforce does OAuth 2.0: its paths, its token answers, its errors."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any

from emulators.oauth import Vendor
from emulators.oauth_grants import Issued, OAuthError
from emulators.salesforce_org import ORG_ID, USER_ID

CLIENT_ID, CLIENT_SECRET = "sandbox-salesforce-client", "sandbox-salesforce-secret"
SCOPES = ("api", "refresh_token", "openid", "id")


def _answer(issued: Issued, mount: str) -> dict[str, Any]:
    issued_at, identity = str(int(time.time() * 1000)), f"{mount}/id/{ORG_ID}/{USER_ID}"
    signed = hmac.new(CLIENT_SECRET.encode(), f"{identity}{issued_at}".encode(), hashlib.sha256).digest()
    body = {
        "access_token": issued.access_token,
        "signature": base64.b64encode(signed).decode(),
        "scope": " ".join(issued.scopes),
        "instance_url": mount,
        "id": identity,
        "token_type": "Bearer",
        "issued_at": issued_at,
    }
    fresh = issued.grant_type == "authorization_code" or issued.rotated
    return {**body, "refresh_token": issued.refresh_token} if fresh else body


def _refusal(error: OAuthError) -> dict[str, Any]:
    return {"error": error.error, "error_description": error.description}


def _described(held: dict[str, Any] | None, _form: dict[str, str]) -> dict[str, Any]:
    if held is None or held.get("expiresIn") == 0:
        return {"active": False}
    body = {"active": True, "scope": " ".join(held["scopes"]), "client_id": held["clientId"], "sub": USER_ID}
    if "expiresIn" not in held:
        return {**body, "token_type": "refresh_token"}
    return {**body, "token_type": "access_token", "exp": int(time.time()) + held["expiresIn"]}


_PATH = "/services/oauth2"
VENDOR = Vendor(
    client_id=CLIENT_ID,
    client_secret=CLIENT_SECRET,
    authorize=(f"{_PATH}/authorize",),
    tokens={f"{_PATH}/token": ("authorization_code", "refresh_token", "client_credentials")},
    revoke=(f"{_PATH}/revoke",),
    introspect={f"{_PATH}/introspect": _described},
    lifetime_s=7200.0,
    scopes=SCOPES,
    answer=_answer,
    refusal=_refusal,
    prefix="00D000000000001!",
)
