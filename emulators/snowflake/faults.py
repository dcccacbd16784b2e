"""Decides which injected fault, if any, a request meets."""

import random
import re
import time
from dataclasses import dataclass, field
from typing import Any

KINDS = frozenset({"status", "latency", "reset", "drop_after_effect", "rate_limit", "hang"})


@dataclass
class Fault:
    """One injected fault; `count` is how often it still fires, None means for ever."""

    kind: str
    method: str | None = None
    path: re.Pattern[str] | None = None
    sql: re.Pattern[str] | None = None
    status: int = 503
    retry_after: float = 1.0
    delay: float = 1.0
    probability: float = 1.0
    count: int | None = None
    dice: random.Random = field(default_factory=random.Random)

    def matches(self, method: str, path: str, sql: str | None) -> bool:
        """Whether the request meets every condition that was stated."""
        if self.method is not None and self.method != method:
            return False
        if self.path is not None and not self.path.search(path):
            return False
        return self.sql is None or (sql is not None and self.sql.search(sql) is not None)


class Faults:
    """The faults that are switched on, in the order they were posted, and the open rate-limit window."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._limited_until = 0.0

    def add(self, body: dict[str, Any]) -> None:
        """Switch on the fault described by `body`.

        Raises:
            ValueError: the kind is unknown or a pattern is not a regular expression.
        """
        if body.get("kind") not in KINDS:
            message = f"fault kind must be one of {', '.join(sorted(KINDS))}"
            raise ValueError(message)
        match = body.get("match") or {}
        method = match.get("method")
        self._faults.append(
            Fault(
                kind=body["kind"],
                method=method.upper() if method else None,
                path=_pattern(match.get("path")),
                sql=_pattern(match.get("sql")),
                status=int(body.get("status") or 503),
                retry_after=float(body.get("retryAfter") or 1),
                delay=float(body.get("delayS") or 1),
                probability=float(body.get("probability", 1.0)),
                count=body.get("count"),
                dice=random.Random(body.get("seed", 0)),  # noqa: S311 - reproducible faults, not secrets
            )
        )

    def clear(self) -> None:
        """Switch everything off and close the rate-limit window."""
        self._faults.clear()
        self._limited_until = 0.0

    def limited_for(self) -> float:
        """Seconds until the open rate-limit window closes, 0 when none is open."""
        return max(0.0, self._limited_until - time.monotonic())

    def open_window(self, seconds: float) -> None:
        """Answer 429 to every request for `seconds`."""
        self._limited_until = time.monotonic() + seconds

    def take(self, method: str, path: str, sql: str | None) -> Fault | None:
        """The first fault that fires for this request; using it up counts."""
        for fault in self._faults:
            if fault.count == 0 or not fault.matches(method, path, sql):
                continue
            if fault.dice.random() >= fault.probability:
                continue
            if fault.count is not None:
                fault.count -= 1
            return fault
        return None


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if not text:
        return None
    inner = text[1:-1] if len(text) > 1 and text.startswith("/") and text.endswith("/") else text
    try:
        return re.compile(inner, re.IGNORECASE)
    except re.error as error:
        message = f"not a regular expression: {text}"
        raise ValueError(message) from error
