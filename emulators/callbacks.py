"""Webhooks that emulated vendors send: signed requests to an address of the receiver's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx

_TIMEOUT_S = 20.0
_SHOWN = 2_000


def twilio_signature(token: str, url: str, fields: Mapping[str, str]) -> str:
    """Base64 HMAC-SHA1 of the address and the sorted fields, as Twilio's security guide describes it."""
    signed = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


async def post_form(url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
    """Post a form; returns the receiver's `status` and `body`, status 0 where it did not answer."""
    media = {"Content-Type": "application/x-www-form-urlencoded"}
    return await _post(url, urlencode(fields).encode(), {**headers, **media})


async def post_meta(url: str, secret: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Post JSON with Meta's `X-Hub-Signature-256`; returns as `post_form` does."""
    raw = json.dumps(body, separators=(",", ":")).encode()
    signature = "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    return await _post(url, raw, {"Content-Type": "application/json", "X-Hub-Signature-256": signature})


async def _post(url: str, content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    try:
        # Receivers in a sandbox are on loopback and speak plain HTTP: loading certificates would be in vain.
        async with httpx.AsyncClient(
            timeout=_TIMEOUT_S, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ) as client:
            answer = await client.post(url, content=content, headers=dict(headers))
    except httpx.HTTPError:
        return {"status": 0, "body": ""}
    return {"status": answer.status_code, "body": answer.text[:_SHOWN]}
