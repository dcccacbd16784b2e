"""How the emulated HubSpot does OAuth 2.0: its paths, its token answers, its errors."""

from __future__ import annotations

import uuid
from typing import Any

from emulators import hubspot_rules as rules
from emulators.oauth import Vendor
from emulators.oauth_grants import Issued, OAuthError

CLIENT_ID, CLIENT_SECRET = "sandbox-hubspot-client", "sandbox-hubspot-secret"
APP_ID, USER_ID = 4_800_100, 4_800_200
SCOPES = (
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.companies.read",
    "crm.objects.deals.read",
    "crm.objects.deals.write",
    "crm.objects.custom.read",
    "crm.objects.custom.write",
    "crm.schemas.custom.read",
    "crm.schemas.custom.write",
)
_WITH_CLIENT = ("authorization_code", "refresh_token", "client_credentials")
_WITHOUT_CLIENT = ("authorization_code", "refresh_token")
_STATUSES = {
    "client_id": "BAD_CLIENT_ID",
    "client_secret": "BAD_CLIENT_SECRET",
    "code": "BAD_AUTH_CODE",
    "code_verifier": "BAD_AUTH_CODE",
    "grant_type": "BAD_GRANT_TYPE",
    "redirect_uri": "BAD_REDIRECT_URI",
    "refresh_token": "BAD_REFRESH_TOKEN",
}


def _answer(issued: Issued, _mount: str) -> dict[str, Any]:
    by_client = issued.grant_type == "client_credentials"
    body = {
        "token_type": "bearer",
        "token_use": "client_credentials" if by_client else "access_token",
        "access_token": issued.access_token,
        "expires_in": issued.expires_in,
        "hub_id": rules.PORTAL_ID,
        "scopes": list(issued.scopes),
        "user_id": USER_ID,
    }
    return body if by_client else {**body, "refresh_token": issued.refresh_token}


def _refusal(error: OAuthError) -> dict[str, Any]:
    return {
        "error": error.error,
        "error_description": error.description,
        "status": _STATUSES.get(error.about, "BAD_REQUEST"),
        "message": error.description,
        "category": "VALIDATION_ERROR",
        "correlationId": str(uuid.uuid4()),
    }


def _described(held: dict[str, Any] | None, form: dict[str, str]) -> dict[str, Any]:
    if held is None:
        return {"active": False}
    body = {
        "active": True,
        "app_id": APP_ID,
        "client_id": held["clientId"],
        "hub_id": rules.PORTAL_ID,
        "scopes": held["scopes"],
        "token": form["token"],
        "token_type": "bearer",
        "user_id": USER_ID,
    }
    if "expiresIn" not in held:
        return {**body, "token_use": "refresh_token"}
    own = {"expires_in": held["expiresIn"], "is_private_distribution": False}
    return {**body, **own, "token_use": "access_token", "active": held["expiresIn"] > 0}


VENDOR = Vendor(
    client_id=CLIENT_ID,
    client_secret=CLIENT_SECRET,
    authorize=("/oauth/authorize", "/oauth/{account}/authorize"),
    tokens={
        "/oauth/v1/token": _WITH_CLIENT,
        "/oauth/v3/token": _WITHOUT_CLIENT,
        "/oauth/2026-03/token": _WITH_CLIENT,
        "/oauth/2026-09/token": _WITHOUT_CLIENT,
    },
    revoke=("/oauth/2026-03/token/revoke", "/oauth/2026-09/token/revoke"),
    introspect={"/oauth/2026-03/token/introspect": _described, "/oauth/2026-09/token/introspect": _described},
    lifetime_s=1800.0,
    scopes=SCOPES,
    answer=_answer,
    refusal=_refusal,
    basic=False,
    revocation_is_whole=False,
)
