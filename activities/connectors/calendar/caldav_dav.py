"""CalDAV's requests and answers: XML over WebDAV, and objects behind their entity tags."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import ParseError, fromstring  # type: ignore[import-untyped]

from activities.transport.client import VendorClient
from contracts.errors import OutcomeUnknown, Owner, Permanent, Transient

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_DAV, _CALDAV = "{DAV:}", "{urn:ietf:params:xml:ns:caldav}"
_XML = {"Content-Type": "application/xml; charset=utf-8", "Accept": "application/xml, text/xml"}
_PROPERTIES = b"""<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:current-user-privilege-set/></D:prop></D:propfind>"""
_QUERY = """<?xml version="1.0" encoding="utf-8"?>
<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><C:calendar-data/></D:prop>
<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="{start}" end="{end}"/>
</C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"""
_WRITING = {"write", "write-content", "bind", "all"}
_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


class DavClient(VendorClient):
    """Calendar collections of one account, and the objects in them.

    Source: RFC 4791 (CalDAV), RFC 4918 (WebDAV), RFC 9110 (conditional requests).
    """

    async def privileges(self, path: str) -> set[str]:
        """Return what the account may do with a calendar: `read`, `write`.

        Raises:
            Permanent: `not_a_calendar`.
        """
        body = (
            await self.request(
                "PROPFIND", path, operation="calendar.read", content=_PROPERTIES, headers=_XML | {"Depth": "0"}
            )
        ).body
        found = next(_properties(body, "calendar.read"), None)
        if found is None or found.find(f"{_DAV}resourcetype/{_CALDAV}calendar") is None:
            raise Permanent(
                "not_a_calendar",
                "The path in the integration's settings leads to no calendar.",
                owner=Owner.TENANT,
                action="Correct the path in connectionConfig.calendars.",
                system="caldav",
                operation="calendar.read",
            )
        granted = {one.tag.removeprefix(_DAV) for one in found.iterfind(f".//{_DAV}privilege/*")}
        return {"read", "write"} if granted & _WRITING else {"read"}

    async def overlapping(self, path: str, starts_at: datetime, ends_at: datetime) -> list[bytes]:
        """Return the objects whose events touch a time.

        Source: RFC 4791, 7.8 (calendar-query REPORT), 9.9 (time-range).
        """
        start, end = (f"{instant.astimezone(UTC):%Y%m%dT%H%M%SZ}" for instant in (starts_at, ends_at))
        query = _QUERY.format(start=start, end=end).encode()
        body = (
            await self.request("REPORT", path, operation="events.query", content=query, headers=_XML | {"Depth": "1"})
        ).body
        data = [found.find(f"{_CALDAV}calendar-data") for found in _properties(body, "events.query")]
        return [one.text.encode() for one in data if one is not None and one.text]

    async def read(self, path: str) -> tuple[bytes, str] | None:
        """Return an object with its entity tag (empty where the server names no strong one), None where none is."""
        try:
            answer = await self.request("GET", path, operation="event.read", headers={"Accept": "text/calendar"})
        except Permanent as error:
            if error.detail.evidence.get("status") in _GONE:
                return None
            raise
        tag = answer.headers.get("ETag", "")
        return answer.body, "" if tag.startswith("W/") else tag

    async def put(self, path: str, body: bytes, operation: str, *, tag: str | None) -> bool:
        """Store an object; False where the condition did not hold, so that nothing was written.

        Args:
            path: of the object.
            body: iCalendar.
            operation: its name in errors.
            tag: what the object must be, None where there must be none.
        """
        condition = {"If-None-Match": "*"} if tag is None else {"If-Match": tag} if tag else {}
        headers = {"Content-Type": "text/calendar; charset=utf-8", **condition}
        return await self._conditional("PUT", path, operation, headers, body)

    async def delete(self, path: str, operation: str, *, tag: str) -> bool:
        """Remove an object; False where it is another one by now."""
        return await self._conditional("DELETE", path, operation, {"If-Match": tag} if tag else {}, None)

    async def _conditional(
        self, method: str, path: str, operation: str, headers: dict[str, str], body: bytes | None
    ) -> bool:
        try:
            answer = await self.request(method, path, operation=operation, content=body, headers=headers, writes=True)
        except Permanent as error:
            status = error.detail.evidence.get("status")
            if method == "DELETE" and status in _GONE:
                return True
            if status == HTTPStatus.PRECONDITION_FAILED:
                return False
            raise
        if "html" in answer.headers.get("Content-Type", ""):
            # A sign-in page of something that stands before the server.
            raise OutcomeUnknown(
                "vendor_bad_response",
                f"caldav answered {operation} with a page for people.",
                system="caldav",
                operation=operation,
            )
        return True


def _properties(body: bytes, operation: str) -> Iterator[Element]:
    try:
        root = fromstring(body)
    except (ParseError, DefusedXmlException):
        raise _bad(operation) from None
    if root.tag != f"{_DAV}multistatus":
        raise _bad(operation)
    for response in root.iterfind(f"{_DAV}response"):
        if response.find(f"{_DAV}status") is not None:
            # The server left something out, and free time must not be read from that.
            raise _bad(operation)
        for stat in response.iterfind(f"{_DAV}propstat"):
            properties = stat.find(f"{_DAV}prop")
            if properties is not None and " 200 " in f"{stat.findtext(f'{_DAV}status')} ":
                yield properties


def _bad(operation: str) -> Transient:
    return Transient(
        "vendor_bad_response",
        f"caldav answered {operation} with something other than a whole multi-status document.",
        system="caldav",
        operation=operation,
    )
