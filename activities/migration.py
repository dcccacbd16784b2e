"""Planning a move to another integration, and reading again what was brought there."""

from __future__ import annotations

from temporalio import activity

from activities.access import Access
from activities.ports.manifest import Capability
from activities.ports.records import OutboundRecord, RecordConnector
from activities.storage.connections import ConnectionStore
from activities.storage.receipts import Receipts, Scope
from activities.transform.records import fingerprint
from contracts.errors import InvalidInput
from contracts.integration import IntegrationState
from contracts.migration import MigrationPlan, PlanMigration, VerifiedRecords, VerifyMigration

_TAKES_REPORTS = {Capability.RECORDS, Capability.DATASETS}


class Migrations:
    """The verbs of a move.

    Args:
        access: opens the successor's connector.
        connections: what is connected.
        receipts: what vendors have acknowledged.
        fingerprint_key: 32 secret bytes, those of the syncs.
    """

    def __init__(
        self, access: Access, connections: ConnectionStore, receipts: Receipts, *, fingerprint_key: bytes
    ) -> None:
        self._access = access
        self._connections = connections
        self._receipts = receipts
        self._key = fingerprint_key

    @activity.defn(name="migration.plan")
    async def plan(self, wanted: PlanMigration) -> MigrationPlan:
        """Return the successor, and the reports that the old integration was kept in step with. Idempotent: yes.

        Raises:
            InvalidInput: the successor is not there, not active, or takes no reports.
        """
        stored = await self._access.stored(wanted.key.organization_id, wanted.successor_id)
        manifest = self._access.manifest(stored.configuration.platform)
        if stored.state is not IntegrationState.ACTIVE or _TAKES_REPORTS.isdisjoint(manifest.capabilities):
            raise InvalidInput(
                "successor_unfit",
                f"The integration {wanted.successor_id!r} is {stored.state.value}, or its system takes no reports.",
                action="Connect an integration that holds the same reports, then begin again.",
            )
        reports = set(await self._receipts.reports(wanted.key.organization_id, wanted.key.integration_id))
        if wanted.scheduled_report_id:
            reports.add(wanted.scheduled_report_id)
        return MigrationPlan(
            successor=stored.key, reports=sorted(reports), reread=Capability.RECORDS in manifest.capabilities
        )

    @activity.defn(name="migration.verify")
    async def verify(self, wanted: VerifyMigration) -> VerifiedRecords:
        """Read every record that the successor's vendor acknowledged, and compare it with what was sent.

        Idempotent: yes, it only reads.

        Raises:
            AuthExpired: the vendor refuses the credential.
            Transient: the vendor does not answer.
        """
        key = wanted.successor
        connector = await self._access.connector(key.organization_id, key.integration_id, RecordConnector)
        stored = await self._access.stored(key.organization_id, key.integration_id)
        names = [field.target for field in stored.configuration.data_mapping]
        found = VerifiedRecords()
        scope = Scope(key.organization_id, key.integration_id, connector.default_object())
        after = ""
        while batch := await self._receipts.page(scope, after, connector.manifest.batch_size):
            held = await connector.read(scope.object_type, [receipt.record_id for receipt in batch])
            for receipt in batch:
                values = held.get(receipt.record_id, {})
                ours = OutboundRecord(receipt.record_id, {name: values.get(name) for name in names})
                found = VerifiedRecords(
                    asked=found.asked + 1,
                    standing=found.standing + self._stands(connector, scope, ours, receipt.fingerprint),
                )
            after = batch[-1].record_id
            activity.heartbeat(found)
        return found

    def _stands(self, connector: RecordConnector, scope: Scope, ours: OutboundRecord, sent: str) -> bool:
        try:
            prepared = connector.prepare(scope.object_type, ours)
        except InvalidInput:
            return False
        return fingerprint(self._key, prepared.properties) == sent
