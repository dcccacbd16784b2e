"""Sockets that the tests' own servers listen on."""

from __future__ import annotations

import socket


def open_listener(address: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a listening socket whose connections send at once.

    Without it an answer of two writes waits 40 ms for the client's delayed acknowledgement: asyncio sends at once only
    on sockets that it has opened itself.
    """
    listener = socket.create_server((address, port))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
