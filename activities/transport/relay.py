"""A private socket of this process, for an SDK that opens its own connection and can be given the path of one.

What the SDK writes goes over a connection that is already open: to a judged address, under our own TLS.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

_CHUNK = 64 * 1024


class Relay:
    """Listens for one client until `close`; the directory's mode keeps other users of the machine out.

    Args:
        there: the open connection, which is closed with the relay.
    """

    def __init__(self, there: socket.socket) -> None:
        self._there = there
        there.settimeout(None)
        # A socket's path has room for about a hundred characters: not in a directory whose name somebody chose.
        self._folder = Path(tempfile.mkdtemp(prefix="wedsync-"))
        self.path = str(self._folder / "s")
        """Where the SDK connects."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(1)
        threading.Thread(target=self._serve, name="relay", daemon=True).start()

    def close(self) -> None:
        """End the connection."""
        for one in (self._listener, self._there):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        with suppress(OSError, ValueError):
            here, _ = self._listener.accept()
            with here:
                _pass_on(here, self._there)
        self.close()


def _pass_on(here: socket.socket, there: socket.socket) -> None:
    with DefaultSelector() as waiting:
        waiting.register(here, EVENT_READ, there)
        waiting.register(there, EVENT_READ, here)
        while True:
            for key, _ in waiting.select():
                source = key.fileobj
                assert isinstance(source, socket.socket)  # noqa: S101 - registered above
                if not _pass_piece(source, key.data):
                    return


def _pass_piece(source: socket.socket, target: socket.socket) -> bool:
    """Pass on what has arrived; False at the end.

    TLS may hold decrypted bytes that no selector sees, and may have received what is for itself alone, such as a
    ticket: it is asked until it has no more, and never waited for.
    """
    while True:
        try:
            source.settimeout(0.0)
            piece = source.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        finally:
            source.settimeout(None)
        target.sendall(piece)
        if not piece or not isinstance(source, ssl.SSLSocket) or not source.pending():
            return bool(piece)
