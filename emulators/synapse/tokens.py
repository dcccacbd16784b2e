"""Tokens of a server's answers.

Source: [MS-TDS], section 2.2.7.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

from emulators.synapse.values import Column, b_varchar, us_varchar

_SERVER = "sandbox"
_MORE, _ERROR, _IN_TRANSACTION, _COUNT, _ATTENTION = 0x01, 0x02, 0x04, 0x10, 0x20
_DONE, _DONE_IN_PROC, _DONE_PROC = 0xFD, 0xFF, 0xFE
_COLLATION = bytes([0x09, 0x04, 0xD0, 0x00, 0x34])
_TRANSACTION = b"\1\0\0\0\0\0\0\0"


def login_acknowledged(database: str, route: bytes = b"") -> bytes:
    """What follows a login that succeeded, or that is to be repeated elsewhere."""
    name = b"\x01\x74\x00\x00\x04" + b_varchar("Microsoft SQL Server") + bytes([12, 0, 0x07, 0xD0])
    return (
        _environment(1, b_varchar(database), b_varchar("master"))
        + _environment(7, bytes([5]) + _COLLATION, b"\0")
        + _environment(4, b_varchar("4096"), b_varchar("4096"))
        + b"\xad" + struct.pack("<H", len(name)) + name
        + route
        + done()
    )  # fmt: skip


def routed(host: str, port: int) -> bytes:
    """The answer to a login that is to be repeated at another address."""
    name = host.encode("utf-16-le")
    place = struct.pack("<BHH", 0, port, len(host)) + name
    return _environment(20, struct.pack("<H", len(place)) + place, struct.pack("<H", 0))


def transaction_changed(kind: str) -> bytes:
    """That a transaction began or ended."""
    if kind == "begin":
        return _environment(8, bytes([8]) + _TRANSACTION, b"\0")
    return _environment(9 if kind == "commit" else 10, b"\0", bytes([8]) + _TRANSACTION)


def error(number: int, message: str, severity: int = 16) -> bytes:
    """An ERROR token."""
    body = struct.pack("<IBB", number, 1, severity) + us_varchar(message) + b_varchar(_SERVER) + b_varchar("")
    return _token(0xAA, body + struct.pack("<I", 1))


def rows(columns: Sequence[Column], values: Iterable[Sequence[Any]]) -> bytes:
    """COLMETADATA and its ROWs."""
    head = b"\x81" + struct.pack("<H", len(columns)) + b"".join(column.metadata() for column in columns)
    return head + b"".join(
        b"\xd1" + b"".join(column.encode(value) for column, value in zip(columns, row, strict=True)) for row in values
    )


def done(count: int | None = None, *, failed: bool = False, open_transaction: bool = False) -> bytes:
    """The end of a batch, with the number of rows where the statement has one."""
    return _finished(_DONE, count, failed=failed, open_transaction=open_transaction)


def done_procedure(count: int | None = None, *, failed: bool = False, open_transaction: bool = False) -> bytes:
    """The end of a procedure: its statement, its return value, itself."""
    inner = _finished(_DONE_IN_PROC, count, failed=failed, open_transaction=open_transaction, more=True)
    returned = b"\x79" + struct.pack("<i", int(failed))
    return inner + returned + _finished(_DONE_PROC, None, failed=failed, open_transaction=open_transaction)


def cancelled() -> bytes:
    """The answer to an attention."""
    return struct.pack("<BHHQ", _DONE, _ATTENTION, 0, 0)


def _finished(kind: int, count: int | None, *, failed: bool, open_transaction: bool, more: bool = False) -> bytes:
    status = (_MORE if more else 0) | (_ERROR if failed else 0) | (_IN_TRANSACTION if open_transaction else 0)
    status |= _COUNT if count is not None else 0
    return struct.pack("<BHHQ", kind, status, 0, count or 0)


def _environment(kind: int, new: bytes, old: bytes) -> bytes:
    return _token(0xE3, bytes([kind]) + new + old)


def _token(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + struct.pack("<H", len(body)) + body
