"""An S3 of the tests' own: moto's server over TCP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer


class Bucket:
    """A bucket on the server, as somebody else sees it.

    Args:
        url: of the server.
        name: of the bucket.
    """

    def __init__(self, url: str, name: str) -> None:
        self._client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="s", aws_secret_access_key="s"
        )
        self._name = name
        self._client.create_bucket(Bucket=name)

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""
        self._client.put_object(Bucket=self._name, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        body: bytes = self._client.get_object(Bucket=self._name, Key=key)["Body"].read()
        return body

    def listed(self) -> list[str]:
        """Return the keys of all objects."""
        return [item["Key"] for item in self._client.list_objects_v2(Bucket=self._name).get("Contents", [])]


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
