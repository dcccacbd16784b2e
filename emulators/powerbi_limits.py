"""The documented rates at which rows may be pushed into a Power BI model."""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque

_MINUTE_S, _HOUR_S = 60.0, 3_600.0
_REQUESTS, _ROWS = 120, 1_000_000
_LARGE_TABLE = 250_000


class PushLimits:
    """Counts requests and rows of each model; off with `WEDSYNC_EMULATOR_RATE_LIMITS=off`.

    Source: https://learn.microsoft.com/power-bi/developer/embedded/push-datasets-limitations.
    """

    def __init__(self) -> None:
        """Start with empty windows."""
        self._enabled = os.environ.get("WEDSYNC_EMULATOR_RATE_LIMITS", "on").lower() != "off"
        self._seen: dict[str, deque[tuple[float, int]]] = defaultdict(deque)

    def clear(self) -> None:
        """Empty the windows."""
        self._seen.clear()

    def admit(self, model_id: str, rows: int, held: int) -> int:
        """Count a request; returns after how many seconds it may come again, 0 when it is taken."""
        now, seen = time.monotonic(), self._seen[model_id]
        while seen and seen[0][0] <= now - _HOUR_S:
            seen.popleft()
        window_s = _HOUR_S if held >= _LARGE_TABLE else _MINUTE_S
        requests = [at for at, _ in seen if at > now - window_s]
        if self._enabled and len(requests) >= _REQUESTS:
            return int(requests[0] + window_s - now) + 1
        if self._enabled and sum(number for _, number in seen) + rows > _ROWS:
            return int(seen[0][0] + _HOUR_S - now) + 1 if seen else int(_HOUR_S)
        seen.append((now, rows))
        return 0
