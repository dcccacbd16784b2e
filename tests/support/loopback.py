"""HTTP clients for services that the tests themselves have started."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import httpx

# Loading the system's certificates takes longer than most tests; this context trusts nobody and is never asked.
_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_PATIENCE_S = 300.0


def loopback_client(base_url: str, headers: Mapping[str, str] | None = None) -> httpx.Client:
    """Return a client that speaks plain HTTP to `base_url` and waits as long as a busy machine needs."""
    return httpx.Client(base_url=base_url, headers=headers, timeout=_PATIENCE_S, trust_env=False, verify=_TRUSTS_NOBODY)
