"""HubSpot: weddings as custom objects, notifications as contact updates, notes, deal stages and tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import ClassVar

from pydantic import JsonValue

from activities.connectors.crm.hubspot_api import SYSTEM, HubSpotApi
from activities.connectors.crm.hubspot_delivery import (
    apply_step,
    check_step,
    correct_effect,
    find_step,
    retract_effect,
    show_state,
)
from activities.connectors.crm.hubspot_delivery_batch import BATCH, apply_steps
from activities.connectors.crm.hubspot_effects import CREATING_KINDS, OBJECT_OF_KIND, plan_steps
from activities.connectors.crm.hubspot_mapping import formatted, wedding_name
from activities.connectors.crm.hubspot_provision import MOST_CALLS, Provisioner
from activities.connectors.crm.hubspot_records import Records
from activities.connectors.crm.hubspot_schema import RECORD_ID_PROPERTY, WEDDINGS, known_properties
from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, OAuth, RateLimit
from activities.ports.records import OutboundRecord, RemovalAnswer, UpsertAnswer
from contracts.effects import Delivery, EffectOutcome, EffectStep, StandingEffect
from contracts.engagement import NotificationState
from contracts.errors import Permanent, WedSyncError
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult
from contracts.sync import RemovalPolicy

_PROBE_CALLS = 4


class HubSpot:
    """One HubSpot account.

    Source: https://developers.hubspot.com/docs/api-reference/overview (API v3, associations v4).
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=SYSTEM,
        title="HubSpot",
        family=IntegrationType.CRM,
        api_version="v3",
        documentation_url="https://developers.hubspot.com/docs/api-reference/overview",
        credential_fields=("accessToken",),
        default_base_url="https://api.hubapi.com",
        hosts=("*.hubapi.com",),
        capabilities=frozenset({Capability.DELIVER, Capability.TASK, Capability.RECORDS}),
        guarantee=EffectGuarantee.UPSERT,
        optional_credential_fields=("refreshToken", "clientId", "clientSecret"),
        oauth=OAuth(
            authorize_url="https://app.hubspot.com/oauth/authorize",
            token_url="/oauth/2026-09/token",  # noqa: S106 - a path
            scopes=(
                "oauth",
                "crm.objects.contacts.read",
                "crm.objects.contacts.write",
                "crm.objects.deals.read",
                "crm.objects.deals.write",
                "crm.objects.custom.read",
                "crm.objects.custom.write",
                "crm.schemas.custom.read",
                "crm.schemas.custom.write",
            ),
            default_life_s=1_800,
        ),
        rate_limit=RateLimit(requests=190, per_s=10.0),
        batch_size=100,
        page_size=100,
        modified_field="hs_lastmodifieddate",
        delivery_batch=dict.fromkeys(OBJECT_OF_KIND, BATCH),
        removes=frozenset({RemovalPolicy.ARCHIVE}),
        reversible=CREATING_KINDS,
        correctable=frozenset(OBJECT_OF_KIND),
        notes=(
            "The official SDK 12.0.0 speaks v3 paths (associations v4) and has none of the date-based ones.",
            "HubSpot ends v1 to v4 in September 2027.",
            "190 requests per 10 s hold for private apps on Professional and Enterprise plans; the others have 100.",
            "Custom objects need an Enterprise plan.",
            "Notes and tasks are taken back by archiving them; what a contact or deal said before is not kept.",
            "A probe makes four reads; a batch makes one upsert, plus one call per kind of association it carries.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._api = HubSpotApi(connection, self.manifest.timeout_s)
        self._records = Records(self._api)

    async def probe(self) -> ConnectionProbe:
        """Read the account's details and ask which of contacts, deals and custom objects the token may see.

        Latency is that of the first call, in milliseconds.

        Raises:
            AuthExpired: HubSpot refuses the token.
            RateLimited: HubSpot asks to wait.
            Transient: HubSpot does not answer.

        Source: https://developers.hubspot.com/docs/api-reference/account-account-info-v3/guide (v3).
        """
        async with self._api.together(_PROBE_CALLS):
            started = time.perf_counter()
            account = await self._api.get("account.read", "/account-info/v3/details")
            latency_ms = (time.perf_counter() - started) * 1_000
            features = await asyncio.gather(
                self._allowed("contacts", "objects.get_page", "contacts", limit=1),
                self._allowed("deals", "objects.get_page", "deals", limit=1),
                self._allowed("custom_objects", "schemas.get_all"),
            )
        return ConnectionProbe(
            ok=True,
            latency_ms=latency_ms,
            account=account.text("portalId"),
            features=[feature for feature in features if feature],
        )

    async def provision(self) -> ProvisionResult:
        """Create the property groups, properties and custom objects that are missing.

        Idempotent: yes; missing properties and options are added to what exists, nothing is changed or removed.

        Raises:
            InvalidInput: `property_not_unique`.
            Permanent: `missing_permission`, a scope or the Enterprise plan is missing.
        """
        async with self._api.together(MOST_CALLS):
            result = await Provisioner(self._api).run()
        self._records.forget()
        return result

    async def aclose(self) -> None:
        """Close the SDK's connections."""
        await self._api.close()

    def default_object(self) -> str:
        """Return `weddings`."""
        return WEDDINGS.name

    def prepare(self, object_type: str, record: OutboundRecord) -> OutboundRecord:
        """Return the record in HubSpot's formats, all values as text, with `wedsync_id` added.

        `association_contact_id` and `association_company_id` are kept beside the properties as ids to associate.
        Preparing a prepared record changes nothing.

        Raises:
            InvalidInput: `invalid_property_value`; a value does not fit its property.
        """
        known = known_properties(object_type)
        given = dict(record.properties)
        if object_type == WEDDINGS.name and isinstance(name := given.get(WEDDINGS.display_property), str):
            given[WEDDINGS.display_property] = wedding_name(name)
        prepared: dict[str, JsonValue] = {
            name: formatted(object_type, known.get(name), name, value) for name, value in given.items()
        }
        return OutboundRecord(record.record_id, {**prepared, RECORD_ID_PROPERTY: record.record_id})

    async def upsert(self, object_type: str, records: Sequence[OutboundRecord]) -> UpsertAnswer:
        """Create or update at most 100 prepared records in one call, as `Records.upsert` says."""
        return await self._records.upsert(object_type, records)

    async def read(self, object_type: str, record_ids: Sequence[str]) -> Mapping[str, Mapping[str, JsonValue]]:
        """Return HubSpot's current properties by our record id, as `Records.read` says."""
        return await self._records.read(object_type, record_ids)

    async def remove(self, object_type: str, record_ids: Sequence[str]) -> RemovalAnswer:
        """Archive at most 100 records by our record id, as `Records.remove` says."""
        return await self._records.remove(object_type, record_ids)

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return the contact update, note and deal update per contact, or one task.

        Raises:
            InvalidInput: a notification names no contact, lacks the new deal stage, or maps a value a property refuses.
        """
        return plan_steps(delivery)

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Make the one write of `step`, as `apply_step` says."""
        return await apply_step(self._api, step)

    async def apply_batch(self, steps: Sequence[EffectStep]) -> Mapping[str, EffectOutcome | WedSyncError]:
        """Make at most 100 effects of one kind stand in one call, as `apply_steps` says."""
        return await apply_steps(self._api, steps)

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        """Ask HubSpot whether the effect of `step` stands, as `find_step` says."""
        return await find_step(self._api, step)

    async def check(self, step: EffectStep) -> None:
        """Read the records that the effect changes or hangs on, as `check_step` says."""
        await check_step(self._api, step)

    async def retract(self, effect: StandingEffect) -> None:
        """Archive the note or task, as `retract_effect` says."""
        await retract_effect(self._api, effect)

    async def correct(self, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
        """Write the step's values over what stands, as `correct_effect` says."""
        return await correct_effect(self._api, effect, step)

    async def show_state(self, effect: StandingEffect, state: NotificationState) -> bool:
        """Write into a note or task how far its notification came, as `show_state` says."""
        return await show_state(self._api, effect, state)

    async def _allowed(self, feature: str, endpoint: str, *args: object, **options: object) -> str:
        try:
            await self._api.call(f"{feature}.probe", endpoint, *args, writes=False, **options)
        except Permanent as refused:
            if refused.detail.evidence.get("status") != HTTPStatus.FORBIDDEN:
                raise
            return ""
        return feature
