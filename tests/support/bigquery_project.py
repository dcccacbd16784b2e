"""The BigQuery stand-in's process and its control API."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from emulators.bigquery.edge import ACCOUNT
from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client

ROOT = Path(__file__).resolve().parents[2]
INTERPRETER = ROOT / ".venv-bigquery" / "bin" / "python"
_PATIENCE_S = 300


class BigQueryProcess:
    """A running stand-in.

    Args:
        directory: where it keeps its data and its ledger.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.start()

    def start(self) -> None:
        """Start the process, again on the same data after `stop`."""
        command = [str(INTERPRETER), "-m", "emulators.bigquery", "--port", "0", "--data-dir", str(self._directory)]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self._directory), "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["url"]
        self._client = loopback_client(self.url)
        self.control = Emulators(self._client)

    def stop(self) -> None:
        """End the process, which writes its data out."""
        self._process.terminate()
        self._process.wait(timeout=_PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._client.close()

    def lasting(self, *, deaf: bool = False) -> None:
        """Have the next query go on until it is stopped; a deaf one does not heed the time it was given."""
        self._client.post("/_emulators/bigquery/lasting", json={"deaf": deaf}).raise_for_status()

    def lasted(self) -> list[dict[str, Any]]:
        """Return the status of every query that went on."""
        return self._client.get("/_emulators/bigquery/lasting").raise_for_status().json()


@cache
def service_account_key() -> dict[str, str]:
    """Return a service account's key as Google hands it out, with a private key nobody else has."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {
        "type": "service_account",
        "project_id": "wedsync",
        "private_key_id": "sandbox",
        "private_key": pem,
        "client_email": ACCOUNT,
        "token_uri": "https://oauth2.googleapis.com/token",
    }
