"""Salesforce: weddings as records of a custom object, notifications as activities on contacts and leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import JsonValue

from activities.connectors.crm.salesforce_api import API_VERSION, SYSTEM, SalesforceApi
from activities.connectors.crm.salesforce_bulk import BulkRecords
from activities.connectors.crm.salesforce_delivery import (
    OPPORTUNITY_UPDATE,
    TASK_UPSERT,
    apply_step,
    check_step,
    correct_effect,
    find_step,
    plan_steps,
    retract_effect,
)
from activities.connectors.crm.salesforce_delivery_batch import BATCH, upsert_tasks
from activities.connectors.crm.salesforce_records import Records
from activities.connectors.crm.salesforce_schema import (
    EFFECT_ID_FIELD,
    RECORD_ID_FIELD,
    TASK_OBJECT,
    WEDDING_OBJECT,
    checked_name,
    formatted,
)
from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, OAuth, RateLimit
from activities.ports.records import BulkStage, OutboundRecord, RemovalAnswer, UpsertAnswer
from contracts.effects import Delivery, EffectOutcome, EffectStep, StandingEffect
from contracts.errors import InvalidInput, WedSyncError
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult
from contracts.sync import RemovalPolicy

_DAY_S = 86_400.0


class Salesforce:
    """One Salesforce org.

    Source: https://developer.salesforce.com/docs/platform/api-rest/overview (v67.0).
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=SYSTEM,
        title="Salesforce",
        family=IntegrationType.CRM,
        api_version=API_VERSION,
        documentation_url="https://developer.salesforce.com/docs/platform/api-rest/overview",
        credential_fields=("accessToken",),
        optional_credential_fields=("instanceUrl", "refreshToken", "clientId", "clientSecret"),
        oauth=OAuth(
            authorize_url="/services/oauth2/authorize",
            token_url="/services/oauth2/token",  # noqa: S106 - a path
            scopes=("api", "refresh_token"),
            # Salesforce tells no life; this is the standard session timeout.
            default_life_s=7_200,
            client_credentials=True,
            instance_field="instance_url",
        ),
        optional_settings=("object", "externalIdField"),
        default_base_url="https://login.salesforce.com",
        hosts=("*.salesforce.com", "*.force.com"),
        capabilities=frozenset({Capability.DELIVER, Capability.TASK, Capability.RECORDS, Capability.BULK}),
        guarantee=EffectGuarantee.UPSERT,
        rate_limit=RateLimit(requests=100_000, per_s=_DAY_S),
        batch_size=200,
        page_size=200,
        modified_field="LastModifiedDate",
        delivery_batch={TASK_UPSERT: BATCH},
        bulk_from=2_000,
        bulk_size=10_000,
        removes=frozenset({RemovalPolicy.DELETE}),
        reversible=frozenset({TASK_UPSERT}),
        correctable=frozenset({TASK_UPSERT, OPPORTUNITY_UPDATE}),
        # Triggers of the org run inside every write.
        timeout_s=60.0,
        notes=(
            "The org's own address comes as instanceUrl with the token, or as baseUrl; the default only signs in.",
            "An administrator creates the object and the fields for our ids, because the REST API creates neither.",
            "The fields are WedSync_Id__c there and WedSync_Effect_Id__c on Activity: Text(64), External ID, Unique.",
            "100,000 requests a day are those of an Enterprise org without user licences; each licence adds to them.",
            "An activity is taken back by deleting it, into the recycle bin; a stage before the last is not kept.",
            "A probe makes three reads; a bulk job makes three writes, one look per wait and four reads.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._api = SalesforceApi(connection, self.manifest.timeout_s)
        self._object = checked_name(connection.setting("object", WEDDING_OBJECT))
        self._id_field = checked_name(connection.setting("externalIdField", RECORD_ID_FIELD))
        self._records = Records(self._api, self._id_field)
        self._bulk = BulkRecords(self._api, self._id_field)

    async def probe(self) -> ConnectionProbe:
        """Ask who the token belongs to, and whether records and activities can carry our ids.

        Features are `records` and `tasks`, each when the field for our ids is there. Latency is that of the first call,
        in milliseconds.

        Raises:
            AuthExpired: Salesforce refuses the token.
            RateLimited: the org has used its requests up.
            Transient: Salesforce does not answer.

        Source: https://help.salesforce.com/s/articleView?id=sf.remoteaccess_using_userinfo_endpoint.htm.
        """
        started = time.perf_counter()
        who = await self._api.call("account.read", "GET", "/services/oauth2/userinfo", writes=False)
        latency_ms = (time.perf_counter() - started) * 1_000
        ready = await asyncio.gather(
            self._ready(self._object, self._id_field), self._ready(TASK_OBJECT, EFFECT_ID_FIELD)
        )
        features = [name for name, there in zip(("records", "tasks"), ready, strict=True) if there]
        return ConnectionProbe(ok=True, latency_ms=latency_ms, account=who.text("organization_id"), features=features)

    async def provision(self) -> ProvisionResult:
        """Check that what an administrator has to create is there.

        Idempotent: yes, it only reads; Salesforce creates objects by its Metadata API, which wants more rights than a
        sync should have.

        Raises:
            InvalidInput: `not_provisioned`; the action says what to create.
        """
        self._records.forget()
        wanted = ((self._object, self._id_field), (TASK_OBJECT, EFFECT_ID_FIELD))
        missing = [f"{name}.{field}" for name, field in wanted if not await self._ready(name, field)]
        if missing:
            raise InvalidInput(
                "not_provisioned",
                f"The Salesforce org lacks {' and '.join(missing)}, or they are no unique external ids.",
                action="Have an administrator create each as Text(64), External ID, Unique, case-sensitive (for Task "
                "on Activity), visible to the connected user; Salesforce makes none by its REST API.",
                system=SYSTEM,
                operation="provision",
            )
        return ProvisionResult(existing=[f"{name}.{field}" for name, field in wanted])

    async def aclose(self) -> None:
        """Close the SDK's connections."""
        await self._api.close()

    def default_object(self) -> str:
        """Return the object of the settings, `Wedding__c` when they name none."""
        return self._object

    def prepare(self, object_type: str, record: OutboundRecord) -> OutboundRecord:
        """Return the record in Salesforce's formats, with our record id in the external id field.

        Preparing a prepared record changes nothing.

        Raises:
            InvalidInput: `invalid_property_value`, a value does not fit its field; `invalid_object`.
        """
        checked_name(object_type)
        given = {name: formatted(object_type, name, value) for name, value in record.properties.items()}
        return OutboundRecord(record.record_id, {**given, self._id_field: record.record_id})

    async def upsert(self, object_type: str, records: Sequence[OutboundRecord]) -> UpsertAnswer:
        """Create or update at most 200 prepared records in one call, as `Records.upsert` says."""
        return await self._records.upsert(object_type, records)

    async def read(self, object_type: str, record_ids: Sequence[str]) -> Mapping[str, Mapping[str, JsonValue]]:
        """Return Salesforce's current fields by our record id, as `Records.read` says."""
        return await self._records.read(checked_name(object_type), record_ids)

    async def remove(self, object_type: str, record_ids: Sequence[str]) -> RemovalAnswer:
        """Delete at most 200 records by our record id, as `Records.remove` says."""
        return await self._records.remove(checked_name(object_type), record_ids)

    async def begin_bulk(self, object_type: str) -> str:
        """Open a job and return its id, as `BulkRecords.begin` says."""
        return await self._bulk.begin(object_type)

    async def load_bulk(self, job_id: str, records: Sequence[OutboundRecord]) -> None:
        """Upload the records of a job and hand it over, as `BulkRecords.load` says."""
        await self._bulk.load(job_id, records)

    async def bulk_stage(self, job_id: str) -> BulkStage:
        """Say how far a job is, as `BulkRecords.stage` says."""
        return await self._bulk.stage(job_id)

    async def bulk_results(self, job_id: str) -> UpsertAnswer:
        """Return what became of a job's records, as `BulkRecords.results` says."""
        return await self._bulk.results(job_id)

    async def abandon_bulk(self, job_id: str) -> None:
        """Abort an open job, as `BulkRecords.abandon` says."""
        await self._bulk.abandon(job_id)

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return the activity per contact or lead and the opportunity's stage, as `plan_steps` says."""
        return plan_steps(delivery)

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Make the one write of `step`, as `apply_step` says."""
        return await apply_step(self._api, step)

    async def apply_batch(self, steps: Sequence[EffectStep]) -> Mapping[str, EffectOutcome | WedSyncError]:
        """Create or update at most 200 activities in one call, as `upsert_tasks` says."""
        return await upsert_tasks(self._api, steps)

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        """Ask Salesforce whether the effect of `step` stands, as `find_step` says."""
        return await find_step(self._api, step)

    async def check(self, step: EffectStep) -> None:
        """Read the opportunity that the effect changes, as `check_step` says."""
        await check_step(self._api, step)

    async def retract(self, effect: StandingEffect) -> None:
        """Delete the activity, as `retract_effect` says."""
        await retract_effect(self._api, effect)

    async def correct(self, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
        """Write the step's fields over what stands, as `correct_effect` says."""
        return await correct_effect(self._api, effect, step)

    async def _ready(self, object_type: str, id_field: str) -> bool:
        try:
            fields = await self._records.describe(object_type)
        except InvalidInput:
            return False
        field = fields.get(id_field, {})
        return all(field.get(name) is True for name in ("externalId", "unique", "caseSensitive"))
