"""WedSync's own API: reports of an organisation as pages of records, and weddings as they are now."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, ClassVar, cast
from urllib.parse import quote

from pydantic import Field, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.ports.sources import SourcePage
from activities.transport.client import JsonClient
from contracts.base import Contract, Instant
from contracts.errors import InvalidInput, Owner, Permanent, Transient
from contracts.facts import FactStamp
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult
from contracts.wedding import WeddingEvent, WeddingEventType

SYSTEM = "wedsync"
_NAMED = 50
"""Ids of at most 64 characters in one address, of which servers take 8 KB."""
_NOT_FOUND = "not_found"
_READ = "weddings.read"


class WedSyncReports:
    """The reports and weddings of the connection's organisation.

    Source: WedSync's API v1, which is ours to define: `GET /v1/organizations/{org}/reports/{report}/records` and
    `GET /v1/organizations/{org}/weddings/{wedding}`.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=SYSTEM,
        title="WedSync reports",
        family=IntegrationType.REPORT_SOURCE,
        api_version="v1",
        documentation_url="https://docs.wedsync.com/reporting-api",
        credential_fields=("token",),
        default_base_url="https://api.wedsync.com",
        hosts=("*.wedsync.com",),
        capabilities=frozenset({Capability.SOURCE}),
        guarantee=EffectGuarantee.UPSERT,
        rate_limit=RateLimit(requests=50, per_s=1.0),
        page_size=1_000,
    )

    def __init__(self, connection: Connection) -> None:
        headers = {"Authorization": f"Bearer {connection.secret('token')}"}
        self._client = JsonClient.opened(connection, self.manifest.timeout_s, headers, owner=Owner.OPERATOR)
        organization = f"/v1/organizations/{quote(connection.organization_id, safe='')}"
        self._reports, self._weddings = f"{organization}/reports", f"{organization}/weddings"

    async def probe(self) -> ConnectionProbe:
        """List the organisation's reports; their ids are the features.

        Raises:
            AuthExpired: the token is refused.
            Transient: WedSync does not answer.
        """
        started = time.perf_counter()
        answer = await self._get(self._reports, "reports.list", {})
        found = answer.get("reports")
        reports = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
        return ConnectionProbe(
            ok=True,
            latency_ms=(time.perf_counter() - started) * 1_000,
            features=[str(report.get("reportId")) for report in reports][:50],
        )

    async def provision(self) -> ProvisionResult:
        """Make nothing: a source is only read. Idempotent: yes."""
        return ProvisionResult()

    async def pages(
        self,
        report_id: str,
        *,
        cursor: str | None = None,
        updated_since: str | None = None,
        record_ids: Sequence[str] = (),
    ) -> AsyncIterator[SourcePage]:
        """Yield pages of at most 1,000 records; a page's cursor leads to the following one.

        Args:
            report_id: such as `weddings` or `revenue`.
            cursor: where an earlier reading stopped.
            updated_since: ISO instant; only records changed at or after it.
            record_ids: only these records, where any are named.

        Raises:
            InvalidInput: `report_not_found`.
            AuthExpired: the token is refused.
            Transient: no usable answer.
        """
        pages = (
            self._named(report_id, record_ids, cursor) if record_ids else self._all(report_id, cursor, updated_since)
        )
        async for page in pages:
            yield page

    async def _all(self, report_id: str, cursor: str | None, updated_since: str | None) -> AsyncIterator[SourcePage]:
        while True:
            page = await self._page(report_id, cursor, {"updatedSince": updated_since})
            yield page
            cursor = page.cursor
            if cursor is None:
                return

    async def _named(self, report_id: str, record_ids: Sequence[str], cursor: str | None) -> AsyncIterator[SourcePage]:
        """Yield the records named, as many at a time as an address takes; the cursor counts the ids."""
        for start in range(int(cursor or 0), len(record_ids), _NAMED):
            some = list(record_ids[start : start + _NAMED])
            page = await self._page(report_id, None, {"filter": f"weddingId:in:{json.dumps(some)}"})
            following = start + _NAMED
            yield SourcePage(page.records, str(following) if following < len(record_ids) else None)

    async def wedding(self, wedding_id: str) -> WeddingEvent:
        """Return a wedding restated: `facts` of {`value`, `version`}, and the `sequence` of the newest event.

        Raises:
            InvalidInput: `wedding_unknown`.
            AuthExpired: the token is refused.
            Transient: no usable answer.
        """
        try:
            body = await self._get(f"{self._weddings}/{quote(wedding_id, safe='')}", _READ, {})
        except Permanent as error:
            if error.detail.code != _NOT_FOUND:
                raise
            raise InvalidInput(
                "wedding_unknown",
                "WedSync has no wedding of this id in this organisation.",
                action="Compare the timeline's weddingId with WedSync.",
                system=SYSTEM,
                operation=_READ,
            ) from None
        try:
            return _restated(_Wedding.model_validate(body))
        except ValidationError:
            raise _unusable(_READ, "a wedding") from None

    async def aclose(self) -> None:
        """Close the sockets."""
        await self._client.aclose()

    async def _page(self, report_id: str, cursor: str | None, wanted: Mapping[str, str | None]) -> SourcePage:
        path = f"{self._reports}/{quote(report_id, safe='')}/records"
        params = {"cursor": cursor, "limit": str(self.manifest.page_size), **wanted}
        try:
            body = await self._get(path, "records.list", params)
        except Permanent as error:
            if error.detail.code != _NOT_FOUND:
                raise
            raise InvalidInput(
                "report_not_found",
                f"WedSync has no report {report_id!r} in this organisation.",
                action="Correct sourceReportId.",
                system=SYSTEM,
                operation="records.list",
            ) from None
        records, following, as_of = body.get("records"), body.get("nextCursor"), body.get("asOf")
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise _unusable("records.list")
        if following is not None and not isinstance(following, str):
            raise _unusable("records.list")
        return SourcePage(
            cast("list[dict[str, JsonValue]]", records), following, as_of if isinstance(as_of, str) else None
        )

    async def _get(self, path: str, operation: str, params: dict[str, str | None]) -> dict[str, JsonValue]:
        answer = await self._client.request_json("GET", path, operation=operation, params=params)
        if not isinstance(answer, dict):
            raise _unusable(operation)
        return answer


class _Fact(Contract):
    value: str | bool | None
    version: FactStamp


class _Wedding(Contract):
    sequence: Annotated[int, Field(ge=1)]
    as_of: Instant
    facts: Annotated[dict[str, _Fact], Field(min_length=1)]


_FACTS = {
    to_camel(name): name
    for name in (
        *("wedding_date", "ceremony_time", "time_zone", "venue_name", "booking_status"),
        *("cancelled", "completed"),
    )
}


def _restated(wedding: _Wedding) -> WeddingEvent:
    facts = {_FACTS[name]: fact for name, fact in wedding.facts.items() if name in _FACTS}
    return WeddingEvent(
        event_id=f"restated-{wedding.sequence}",
        type=WeddingEventType.RESTATED,
        occurred_at=wedding.as_of,
        sequence=wedding.sequence,
        versions={name: fact.version for name, fact in facts.items()},
        **{name: fact.value for name, fact in facts.items()},
    )


def _unusable(operation: str, what: str = "a page of records") -> Transient:
    return Transient(
        "vendor_bad_response",
        f"WedSync answered {operation} with something other than {what}.",
        system=SYSTEM,
        operation=operation,
    )
