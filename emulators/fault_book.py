"""The rules that say how an emulated vendor misbehaves, and their durable bookkeeping."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulators.core import State

TRANSPORT_KINDS = (
    "status",
    "reset",
    "drop_after_effect",
    "truncate",
    "garbage",
    "hang",
    "slow_body",
    "rate_limit",
    "html_login_page",
)
VENDOR_KINDS = (
    "partial_batch",
    "expire_token",
    "revoke_token",
    "schema_drift",
    "duplicate_page",
)
KINDS = (*TRANSPORT_KINDS, "latency", *VENDOR_KINDS)


class BadFaultError(ValueError):
    """A fault rule that cannot be installed."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One installed rule.

    `delay_s` and `retry_after` are seconds. `count` is how often it fires before it is spent; None means for ever.
    """

    id: int
    kind: str
    method: str | None = None
    path: str | None = None
    status: int = 503
    retry_after: float | None = None
    delay_s: float | None = None
    probability: float = 1.0
    count: int | None = None
    seed: int = 0

    def matches(self, method: str, paths: Sequence[str]) -> bool:
        """Whether the rule covers a request; the pattern may match the path with or without the mount prefix."""
        if self.method is not None and self.method.upper() != method:
            return False
        return self.path is None or any(re.search(self.path, path) for path in paths)


@dataclasses.dataclass
class _Live:
    fault: Fault
    fired: int
    draws: int
    chance: random.Random


class FaultBook:
    """The faults of one system, kept in the database so that a restart neither forgets nor renews them."""

    def __init__(self, system: str, state: State) -> None:
        """Load what is installed."""
        self._system = system
        self._state = state
        self._live: list[_Live] = []
        self.load()

    def load(self) -> None:
        """Read the installed faults again, with their counts and their place in the random sequence."""
        rows = self._state.connection.execute(
            "SELECT id, rule, fired, draws FROM faults WHERE system = ? ORDER BY id",
            (self._system,),
        ).fetchall()
        self._live = []
        for fault_id, rule, fired, draws in rows:
            fault = parse_fault(json.loads(rule), fault_id)
            chance = random.Random(fault.seed)  # noqa: S311
            for _ in range(draws):
                chance.random()
            self._live.append(_Live(fault, fired, draws, chance))

    def install(self, rule: dict[str, Any]) -> int:
        """Add a rule and return its id.

        Raises:
            BadFaultError: The rule is not valid.
        """
        parse_fault(rule, 0)
        cursor = self._state.connection.execute(
            "INSERT INTO faults (system, rule) VALUES (?, ?)",
            (self._system, json.dumps(rule)),
        )
        self.load()
        return int(cursor.lastrowid or 0)

    def clear(self, fault_id: int | None = None) -> None:
        """Remove one rule, or all of them together with an open rate-limit window."""
        connection = self._state.connection
        if fault_id is None:
            connection.execute("DELETE FROM faults WHERE system = ?", (self._system,))
            connection.execute("DELETE FROM windows WHERE system = ?", (self._system,))
        else:
            connection.execute(
                "DELETE FROM faults WHERE system = ? AND id = ?",
                (self._system, fault_id),
            )
        self.load()

    def listing(self) -> list[dict[str, Any]]:
        """The installed rules with how often each has fired."""
        return [
            {
                **dataclasses.asdict(live.fault),
                "fired": live.fired,
                "spent": _spent(live),
            }
            for live in self._live
        ]

    def draw(self, kinds: Sequence[str], method: str, paths: Sequence[str]) -> Fault | None:
        """The first unspent rule of these kinds that covers the request and whose dice agree; uses up one count."""
        for live in self._live:
            fault = live.fault
            if fault.kind not in kinds or _spent(live) or not fault.matches(method, paths):
                continue
            if fault.probability < 1.0:
                live.draws += 1
                hit = live.chance.random() < fault.probability
            else:
                hit = True
            live.fired += hit
            self._state.connection.execute(
                "UPDATE faults SET fired = ?, draws = ? WHERE id = ?",
                (live.fired, live.draws, fault.id),
            )
            if hit:
                return fault
        return None

    def open_window(self, seconds: float) -> None:
        """Answer 429 to everything for this long."""
        self._state.connection.execute(
            "INSERT OR REPLACE INTO windows VALUES (?, ?)",
            (self._system, time.time() + seconds),
        )

    def window_left(self) -> float:
        """Seconds until the open rate-limit window closes; 0 when none is open."""
        row = self._state.connection.execute(
            "SELECT closes_at FROM windows WHERE system = ?", (self._system,)
        ).fetchone()
        return 0.0 if row is None else max(0.0, float(row[0]) - time.time())


def _spent(live: _Live) -> bool:
    return live.fault.count is not None and live.fired >= live.fault.count


def parse_fault(rule: dict[str, Any], fault_id: int) -> Fault:
    """Read a rule in the control API's JSON shape.

    Raises:
        BadFaultError: An unknown kind, an unreadable pattern or a number out of range.
    """
    kind = rule.get("kind")
    if kind not in KINDS:
        message = f"The fault kind {kind!r} is unknown; use one of {', '.join(KINDS)}."
        raise BadFaultError(message)
    match = rule.get("match") or {}
    path = match.get("path")
    if path is not None and len(path) > 1 and path.startswith("/") and path.endswith("/"):
        path = path[1:-1]
    try:
        re.compile(path or "")
        count = rule.get("count")
        fault = Fault(
            id=fault_id,
            kind=kind,
            method=match.get("method"),
            path=path,
            status=int(rule.get("status") or 503),
            retry_after=None if rule.get("retryAfter") is None else float(rule["retryAfter"]),
            delay_s=None if rule.get("delayS") is None else float(rule["delayS"]),
            probability=1.0 if rule.get("probability") is None else float(rule["probability"]),
            count=None if count is None else int(count),
            seed=int(rule.get("seed") or 0),
        )
    except (re.error, TypeError, ValueError, AttributeError) as error:
        message = "The fault rule holds a pattern or a number that cannot be read."
        raise BadFaultError(message) from error
    if not 0.0 <= fault.probability <= 1.0:
        message = "A fault's probability lies between 0 and 1."
        raise BadFaultError(message)
    return fault
