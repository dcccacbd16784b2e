"""Types and values as TDS writes them.

Source: [MS-TDS], sections 2.2.5.4 (data types) and 2.2.5.5 (values).
"""

from __future__ import annotations

import datetime as dt
import re
import struct
from decimal import Decimal
from typing import Any

_COLLATION = bytes([0x09, 0x04, 0xD0, 0x00, 0x34])
_FIRST_DAY = dt.date(1, 1, 1)
_SCALE = 7
_TICKS = 10_000_000
_FIXED = {0x30: "<B", 0x32: "<?", 0x34: "<h", 0x38: "<i", 0x7F: "<q", 0x3B: "<f", 0x3E: "<d"}
_INTEGERS = {1: "<B", 2: "<h", 4: "<i", 8: "<q"}
_FLOATS = {4: "<f", 8: "<d"}
_SIZES = {"TINYINT": 2, "SMALLINT": 2, "UTINYINT": 1, "INTEGER": 4}


class Reader:
    """Reads a payload from front to back."""

    def __init__(self, payload: bytes, at: int = 0) -> None:
        self._payload, self._at = payload, at

    @property
    def is_at_end(self) -> bool:
        """Whether everything has been read."""
        return self._at >= len(self._payload)

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self._at += count
        return self._payload[self._at - count : self._at]

    def number(self, size: int) -> int:
        """The next unsigned number of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def typed_value(self) -> Any:
        """A parameter: its type, then its value.

        Raises:
            NotImplementedError: a type that the stand-in does not read.
        """
        kind = self.number(1)
        if kind in _FIXED:
            return struct.unpack(_FIXED[kind], self.take(struct.calcsize(_FIXED[kind])))[0]
        if kind == 0x1F:
            return None
        if kind in {0x26, 0x68, 0x6D}:
            return self._short(kind)
        if kind in {0x6A, 0x6C}:
            return self._decimal()
        if kind in {0x28, 0x29, 0x2A}:
            return self._moment(kind)
        if kind in {0xE7, 0xEF, 0xA7, 0xAF}:
            return self._text("utf-16-le" if kind in {0xE7, 0xEF} else "cp1252")
        message = f"parameters of type 0x{kind:02X}"
        raise NotImplementedError(message)

    def _short(self, kind: int) -> Any:
        self.take(1)
        length = self.number(1)
        if not length:
            return None
        value = struct.unpack({0x6D: _FLOATS}.get(kind, _INTEGERS)[length], self.take(length))[0]
        return bool(value) if kind == 0x68 else value

    def _decimal(self) -> Decimal | None:
        self.take(2)
        scale, length = self.number(1), self.number(1)
        if not length:
            return None
        sign, magnitude = self.number(1), self.number(length - 1)
        return Decimal(magnitude if sign else -magnitude).scaleb(-scale)

    def _moment(self, kind: int) -> Any:
        scale = self.number(1) if kind != 0x28 else 0
        length = self.number(1)
        if not length:
            return None
        ticks = self.number(length - (0 if kind == 0x29 else 3)) * 10 ** (_SCALE - scale) if kind != 0x28 else 0
        time = (dt.datetime.min + dt.timedelta(microseconds=ticks // 10)).time()  # noqa: DTZ901 - without a zone
        if kind == 0x29:
            return time
        day = _FIRST_DAY + dt.timedelta(days=self.number(3))
        return day if kind == 0x28 else dt.datetime.combine(day, time)

    def _text(self, encoding: str) -> str | None:
        longest = self.number(2)
        self.take(5)
        if longest != 0xFFFF:
            length = self.number(2)
            return None if length == 0xFFFF else self.take(length).decode(encoding)
        if self.number(8) == 0xFFFF_FFFF_FFFF_FFFF:
            return None
        pieces = b""
        while size := self.number(4):
            pieces += self.take(size)
        return pieces.decode(encoding)


class Column:
    """A column of a result.

    Args:
        name: as the statement names it.
        kind: DuckDB's type.
    """

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self._kind = kind.upper()
        decimal = re.fullmatch(r"DECIMAL\((\d+),\s*(\d+)\)", self._kind)
        self._digits = (int(decimal[1]), int(decimal[2])) if decimal else (38, 0)

    def metadata(self) -> bytes:
        """Its entry in COLMETADATA: nullable, type, name."""
        return struct.pack("<IH", 0, 0x0009) + self._type() + b_varchar(self.name)

    def _type(self) -> bytes:
        kind = self._kind
        if kind in {*_SIZES, "BIGINT"}:
            return bytes([0x26, _SIZES.get(kind, 8)])
        if kind == "BOOLEAN":
            return bytes([0x68, 1])
        if kind in {"DOUBLE", "FLOAT"}:
            return bytes([0x6D, 8])
        if kind.startswith("DECIMAL") or kind in {"HUGEINT", "UBIGINT"}:
            return bytes([0x6A, 17, *self._digits])
        if kind == "DATE":
            return bytes([0x28])
        if kind.startswith("TIMESTAMP"):
            return bytes([0x2A, _SCALE])
        return b"\xe7" + struct.pack("<H", 0xFFFF) + _COLLATION

    def encode(self, value: Any) -> bytes:
        """One value of it in a ROW."""
        code = self._type()[0]
        if code == 0xE7:
            return _long_text(None if value is None else str(value))
        if value is None:
            return b"\0"
        body = {0x26: self._integer, 0x68: _bit, 0x6D: _double, 0x6A: self._number, 0x28: _day, 0x2A: _instant}[code](
            value
        )
        return bytes([len(body)]) + body

    def _integer(self, value: int) -> bytes:
        return struct.pack(_INTEGERS[_SIZES.get(self._kind, 8)], value)

    def _number(self, value: Any) -> bytes:
        scaled = int(Decimal(value).scaleb(self._digits[1]).to_integral_value())
        return bytes([scaled >= 0]) + abs(scaled).to_bytes(16, "little")


def b_varchar(text: str) -> bytes:
    """A short text: its number of characters in one byte, then UTF-16."""
    return bytes([len(text)]) + text.encode("utf-16-le")


def us_varchar(text: str) -> bytes:
    """A text with its number of characters in two bytes."""
    return struct.pack("<H", len(text)) + text.encode("utf-16-le")


def _long_text(text: str | None) -> bytes:
    if text is None:
        return b"\xff" * 8
    body = text.encode("utf-16-le")
    chunk = struct.pack("<I", len(body)) + body if body else b""
    return struct.pack("<Q", len(body)) + chunk + b"\0\0\0\0"


def _bit(value: Any) -> bytes:
    return bytes([bool(value)])


def _double(value: Any) -> bytes:
    return struct.pack("<d", float(value))


def _day(value: dt.date) -> bytes:
    return (value - _FIRST_DAY).days.to_bytes(3, "little")


def _instant(value: dt.datetime) -> bytes:
    since = value - dt.datetime.combine(value.date(), dt.time())
    ticks = (since.days * 86_400 + since.seconds) * _TICKS + since.microseconds * 10
    return ticks.to_bytes(5, "little") + _day(value.date())
