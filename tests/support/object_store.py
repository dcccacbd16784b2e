"""An S3 of the tests' own: moto's server over TCP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from moto.server import ThreadedMotoServer

from tests.support.loopback import loopback_client


class Bucket:
    """A bucket on the server, as somebody else sees it.

    Args:
        url: of the server.
        name: of the bucket.
    """

    def __init__(self, url: str, name: str) -> None:
        self._client = loopback_client(url)
        self._name = name
        self._client.put(f"/{name}").raise_for_status()

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""
        self._client.put(f"/{self._name}/{key}", content=body).raise_for_status()

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        return self._client.get(f"/{self._name}/{key}").raise_for_status().content

    def keys(self) -> list[str]:
        """Return the keys of all objects."""
        listing = self._client.get(f"/{self._name}", params={"list-type": "2"}).raise_for_status().text
        return [part.partition("</Key>")[0] for part in listing.split("<Key>")[1:]]


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the URL of a running server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process's AWS clients use an empty server."""
    httpx.post(f"{url}/moto-api/reset").raise_for_status()
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "sandbox",
        "AWS_SECRET_ACCESS_KEY": "sandbox",
    }.items():
        monkeypatch.setenv(name, value)
