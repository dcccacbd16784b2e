"""Weddings that the emulated WedSync plans: their facts, each with the event it is from, and the events' numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulators.core import Emulator

FACTS: dict[str, Any] = {
    "weddingDate": None,
    "ceremonyTime": None,
    "timeZone": "UTC",
    "venueName": "",
    "bookingStatus": "inquiry",
    "cancelled": False,
    "completed": False,
}
"""Fact -> what it is when a wedding is entered without it."""
_KIND = "live_weddings"


class LiveWeddings:
    """All organisations' weddings, kept in the emulator's state; a wedding's first change enters it."""

    def __init__(self, emulator: Emulator) -> None:
        """Attach to the emulator's state."""
        self._emulator = emulator

    def read(self, organization: str, wedding: str) -> dict[str, Any] | None:
        """The wedding as it is now; None when the organisation has none of this id."""
        return self._emulator.get(_KIND, f"{organization}/{wedding}")

    def change(
        self, organization: str, wedding: str, facts: Mapping[str, Any], at: str, origin: str | None
    ) -> dict[str, Any]:
        """Change facts of a wedding, and return the numbered event that tells of it."""
        with self._emulator.transaction():
            known = self.read(organization, wedding)
            number = (known["sequence"] if known else 0) + 1
            event = {"eventId": f"{wedding}-{number}", "sequence": number, "occurredAt": at, "origin": origin}
            changed = facts if known else {**FACTS, **facts}
            newest = {name: {"value": value, "version": event} for name, value in changed.items()}
            body = {
                "weddingId": wedding,
                "sequence": number,
                "facts": {**(known["facts"] if known else {}), **newest},
            }
            self._emulator.put(_KIND, f"{organization}/{wedding}", body)
            self._emulator.effect("wedding.changed", _KIND, f"{organization}/{wedding}", {**event, "facts": facts})
        return {**event, "facts": dict(changed)}
