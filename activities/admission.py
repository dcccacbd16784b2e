"""The limits of connections as activities meet them: admission before every vendor request, and its outcome after."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from temporalio import activity

from activities import usage
from activities.ports.admission import Admission
from activities.ports.manifest import RateLimit
from activities.storage.connections import StoredConnection
from activities.storage.limits import Admitted, LimitStore, Place
from activities.transport.limits import Reason, Refusal
from contracts.errors import RateLimited, Transient, WedSyncError
from contracts.integration import IntegrationConfiguration
from contracts.names import effect_id

AT_ONCE = 10
"""Activities of one worker process that may speak through one connection at the same time."""

BUSY = "connection_busy"
ITS_TURN = frozenset({BUSY, Reason.LIMIT})
"""The codes of work that only waits until it is its turn."""

_OURS = frozenset({BUSY, *Reason})
_VENDOR_FAILED = frozenset({"vendor_unavailable", "vendor_unreachable", "no_answer", "vendor_no_answer"})
_BUSY_WAIT_S = 2.0
_SPREAD = 0.25
_LONGEST_SPREAD_S = 5.0
_URGENT = 1

Identity = tuple[str, str]


@dataclass
class _Turn:
    """One activity's use of one connection."""

    place: Place
    asked: bool = False
    troubled: bool = False


class Admissions:
    """Admits vendor requests by the store's standings, and is the watcher that notes how they ended.

    Args:
        store: shared by every worker.
        at_once: the most activities of this process that use one connection at a time.
    """

    def __init__(self, store: LimitStore, *, at_once: int = AT_ONCE) -> None:
        self._store = store
        self._at_once = at_once
        self._running: Counter[Identity] = Counter()

    def of(self, configuration: IntegrationConfiguration, base_url: str, limit: RateLimit) -> Admission:
        """Return the admission of one connection.

        Args:
            configuration: whose, and of which system.
            base_url: where it leads; elsewhere begins with a clean standing.
            limit: the connector's manifest's.
        """
        return _OneAdmission(self, place_of(configuration, base_url, limit), configuration.platform)

    async def ended(self, connection: StoredConnection, error: WedSyncError | None) -> WedSyncError | None:
        """Note a vendor's pause, failure or answer; an activity that asked the vendor nothing says nothing."""
        configuration = connection.configuration
        turn = usage.held(configuration.organization_id, configuration.integration_id)
        if not isinstance(turn, _Turn) or not turn.asked:
            return None
        if error is None or not isinstance(error, Transient):
            if turn.troubled:
                await self._store.answered(turn.place)
        elif error.detail.code in _OURS:
            return None
        elif isinstance(error, RateLimited):
            await self._store.limited(turn.place, error.detail.retry_after_s or 0.0)
        elif error.detail.code in _VENDOR_FAILED:
            await self._store.failed(turn.place)
        return None

    async def admit(self, place: Place, system: str, calls: int) -> None:
        """Count calls, or refuse them with the time to wait."""
        identity = (place.organization_id, place.integration_id)
        usage.hold(*identity, lambda: self._turn(place, system))
        urgent = _urgent()
        decided = await self._store.admit(place, calls, urgent=urgent)
        if decided.refusal is not None:
            raise _refused(decided.refusal, decided, system, urgent=urgent)
        turn = usage.held(*identity)
        if isinstance(turn, _Turn):
            turn.asked, turn.troubled = True, turn.troubled or decided.troubled

    async def give_back(self, place: Place, calls: int) -> None:
        """Uncount calls that were not made."""
        await self._store.give_back(place, calls)

    @contextmanager
    def _turn(self, place: Place, system: str) -> Iterator[_Turn]:
        identity = (place.organization_id, place.integration_id)
        if self._running[identity] >= self._at_once and not _urgent():
            raise RateLimited(
                BUSY,
                f"{self._running[identity]} calls to {system} are under way through this connection.",
                system=system,
                retry_after_s=_BUSY_WAIT_S * random.uniform(0.5, 1.5),  # noqa: S311 - spreads retries
                evidence={"atOnce": self._at_once},
            )
        self._running[identity] += 1
        try:
            yield _Turn(place)
        finally:
            self._running[identity] -= 1
            if not self._running[identity]:
                del self._running[identity]


@dataclass(frozen=True)
class _OneAdmission:
    """The admission of one connection."""

    admissions: Admissions
    place: Place
    system: str

    async def admit(self, calls: int = 1) -> None:
        """Count vendor requests that are about to be made; raises as `Admission.admit`."""
        await self.admissions.admit(self.place, self.system, calls)

    async def give_back(self, calls: int) -> None:
        """Uncount requests that were admitted and not made."""
        await self.admissions.give_back(self.place, calls)


def place_of(configuration: IntegrationConfiguration, base_url: str, limit: RateLimit) -> Place:
    """Return where a connection stands in the store."""
    return Place(
        organization_id=configuration.organization_id,
        integration_id=configuration.integration_id,
        address=effect_id(configuration.platform, base_url),
        limit=limit,
    )


def _urgent() -> bool:
    if not activity.in_activity():
        return False
    found = activity.info().priority
    return found is not None and found.priority_key == _URGENT


def _refused(refusal: Refusal, decided: Admitted, system: str, *, urgent: bool) -> Transient:
    """Return the error of a refusal; those who wait come back at different times, emergencies at once."""
    spread = 0.0 if urgent else min(decided.limit.per_s * _SPREAD, _LONGEST_SPREAD_S)
    wait = refusal.wait_s + random.uniform(0.0, spread)  # noqa: S311 - spreads retries
    words = {
        Reason.LIMIT: f"The limit of this connection to {system} is used up for {wait:.1f} s.",
        Reason.PAUSE: f"{system} has asked for a pause, which ends in {wait:.0f} s.",
        Reason.CIRCUIT: f"{system} keeps failing and is asked again in {wait:.0f} s.",
    }
    kind = Transient if refusal.reason is Reason.CIRCUIT else RateLimited
    return kind(str(refusal.reason), words[refusal.reason], system=system, retry_after_s=wait)
