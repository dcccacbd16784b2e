"""HTTP clients for services that the tests themselves have started."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import Any

import httpx

from activities.ports.outbound import OutboundRules

IN_DEVELOPMENT = OutboundRules(development=True)
"""The outbound rules that let connectors reach services the tests have started."""

# Loading the system's certificates takes longer than most tests; this context trusts nobody and is never asked.
_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_PATIENCE_S = 300.0


class _Patient(httpx.Client):
    """Asks again when the service says when to."""

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send until the answer is anything but 503 with a Retry-After."""
        while (answer := super().send(request, **options)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
            if "retry-after" not in answer.headers:
                break
            time.sleep(int(answer.headers["retry-after"]))  # noqa: TID251 - a test outside Temporal
        return answer


def patient_client(base_url: str, headers: Mapping[str, str]) -> httpx.Client:
    """Return a client as `loopback_client` does, which also comes back when a busy service asks it to."""
    return _client(_Patient, base_url, headers)


def loopback_client(base_url: str, headers: Mapping[str, str] | None = None) -> httpx.Client:
    """Return a client that speaks plain HTTP to `base_url` and waits as long as a busy machine needs."""
    return _client(httpx.Client, base_url, headers)


def _client(kind: type[httpx.Client], base_url: str, headers: Mapping[str, str] | None) -> httpx.Client:
    return kind(base_url=base_url, headers=headers, timeout=_PATIENCE_S, trust_env=False, verify=_TRUSTS_NOBODY)
