"""Reading a Tave studio's jobs, sessions and teams, for a mirror that knows who is busy.

The vendor has no call that tells availability: its lists filter by job and by external mapping only. Who works on a job
is the job contact whose role is of the kind `team`; sessions name nobody, and a job contact attends all of its sessions
unless a worksheet says otherwise, which this does not read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import JsonValue

from activities.ports.bookings import AssignmentRow, BookingRow, Row, SessionRow

Item = Mapping[str, JsonValue]
Read = Callable[[str, str, Mapping[str, str | int | None] | None], Awaitable[dict[str, JsonValue]]]
"""Path, operation and query -> the answered object."""

_UNKNOWN = datetime.max.replace(tzinfo=UTC)
_LATE = timedelta(minutes=2)
"""How far back a reading of changes overlaps the one before it, because lists may lag behind writes."""


class BookingReader:
    """The lists of one studio.

    Args:
        read: makes one GET.
        page_size: items of a page.
        zone: the studio's zone, for sessions that name none.
    """

    def __init__(self, read: Read, page_size: int, zone: str) -> None:
        self._read = read
        self._page_size = page_size
        self._zone = zone

    async def changes(self, since: datetime | None) -> AsyncIterator[Sequence[Row]]:
        """Yield pages of jobs, team members and sessions; since an instant, the newest changes first.

        A deleted object vanishes from the lists, so that only a reading of everything tells of it.

        Source: GET /job?includeClosed&sortBy, GET /job-contact?includeHidden&sortBy, GET /event?includeHidden&sortBy.
        """
        async for items in self._pages("/job", {"includeClosed": "true"}, since):
            yield [_booking(item) for item in items]
        async for items in self._pages("/job-contact", {"includeHidden": "true"}, since):
            yield [_assignment(item) for item in items if "team" in _list(item.get("roleKinds"))]
        async for items in self._pages("/event", {"includeHidden": "true"}, since):
            yield [self._session(item) for item in items if item.get("jobId")]

    async def recipients(self, booking_id: str) -> list[str]:
        """Return the e-mail addresses of a job's clients.

        Source: GET /job-contact?jobId=, GET /address-book/{id}.
        """
        listed = await self._read("/job-contact", "job-contact.list", {"jobId": booking_id})
        found = []
        for contact in _items(listed):
            if contact.get("client"):
                path = f"/address-book/{quote(str(contact.get('contactId')), safe='')}"
                entry = await self._read(path, "address-book.read", None)
                found.append(str(entry.get("email") or ""))
        return sorted({address for address in found if address})

    async def _pages(
        self, path: str, filters: Mapping[str, str], since: datetime | None
    ) -> AsyncIterator[Sequence[Item]]:
        order = "id" if since is None else "modified desc"
        page = 1
        while True:
            query: dict[str, str | int | None] = {**filters, "sortBy": order, "page": page, "pageSize": self._page_size}
            items = _items(await self._read(path, f"{path.removeprefix('/')}.list", query))
            fresh = [item for item in items if since is None or _modified(item) >= since - _LATE]
            if fresh:
                yield fresh
            if len(items) < self._page_size or len(fresh) < len(items):
                return
            page += 1

    def _session(self, item: Item) -> SessionRow:
        zone = _known(str(item.get("timezoneName") or self._zone))
        begins, ends = (_instant(item, edge, zone) for edge in ("start", "end"))
        untimed = begins is None
        return SessionRow(
            session_id=str(item["id"]),
            booking_id=str(item["jobId"]),
            starts_at=begins or datetime.min.replace(tzinfo=UTC),
            ends_at=ends if ends and begins and ends > begins else (begins or datetime.min.replace(tzinfo=UTC)),
            time_zone=zone.key,
            confirmed=bool(item.get("confirmed")),
            version=str(item.get("modified") or ""),
            gone=bool(item.get("hidden")) or untimed,
        )


def _booking(item: Item) -> BookingRow:
    modified = _modified(item)
    return BookingRow(
        booking_id=str(item["id"]),
        closed=bool(item.get("closed")),
        version=str(item.get("modified") or ""),
        day=date.fromisoformat(str(item["eventDate"])[:10]) if item.get("eventDate") else None,
        changed_at=modified if modified < _UNKNOWN else None,
    )


def _assignment(item: Item) -> AssignmentRow:
    roles = _list(item.get("jobRoles"))
    return AssignmentRow(
        assignment_id=str(item["id"]),
        booking_id=str(item.get("jobId")),
        resource_id=str(item.get("contactId")),
        kind=str(roles[0]) if roles else "team",
        gone=bool(item.get("hidden")),
    )


def _instant(item: Item, edge: str, zone: ZoneInfo) -> datetime | None:
    """Return when a session begins or ends; one without a time takes its whole day."""
    told = item.get(f"{edge}Utc")
    if told:
        return datetime.fromisoformat(str(told)).astimezone(UTC)
    day = item.get(f"{edge}Date") or item.get("startDate")
    if not day:
        return None
    clock = item.get(f"{edge}Time")
    midnight = date.fromisoformat(str(day)) + timedelta(days=1 if edge == "end" and not clock else 0)
    return datetime.combine(midnight, time.fromisoformat(str(clock)) if clock else time(), zone).astimezone(UTC)


def _known(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _modified(item: Item) -> datetime:
    text = str(item.get("modified") or "")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _UNKNOWN
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _items(answer: Item) -> list[Item]:
    return [item for item in _list(answer.get("items")) if isinstance(item, Mapping) and item.get("id")]


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
