"""Moving an integration's work to another one: backfill, verification by reading again, cut-over."""

from __future__ import annotations

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from contracts.connection import Migration, MigrationPhase
    from contracts.errors import ErrorDetail, ErrorKind, Owner
    from contracts.integration import IntegrationInstance
    from contracts.migration import MigrationPlan, VerifiedRecords, VerifyMigration
    from contracts.names import WorkflowType, fairness_key, sync_workflow_id, system_queue
    from contracts.sync import DataSynchronizationRequest, SynchronizationResult, SynchronizationType, SyncPriority
    from workflows import policies
    from workflows.visibility import detail_of


class Move:
    """One move, told in its `migration`.

    Args:
        organization_id: whose integrations they are.
        plan: the successor and the reports it is to hold.
        tell: called with every change of `migration`.
    """

    def __init__(self, organization_id: str, plan: MigrationPlan, tell: Callable[[Migration], None]) -> None:
        self._organization_id = organization_id
        self._plan = plan
        self._tell = tell
        self.migration = Migration(successor_id=plan.successor.integration_id, reports=plan.reports)

    async def carry_out(self) -> None:
        """Bring every report to the successor and read it again; the work is not handed over here.

        Afterwards `migration` is in the phase `verifying` when all of it stands, or `failed` with its error.
        """
        try:
            for report_id in self._plan.reports:
                books = (await self._backfill(report_id)).books
                self._note(records=self.migration.records + books.created + books.updated + books.unchanged)
            self._note(phase=MigrationPhase.VERIFYING)
            await self._verify()
        except (ActivityError, ChildWorkflowError) as error:
            self._note(phase=MigrationPhase.FAILED, error=detail_of(error))

    async def _backfill(self, report_id: str) -> SynchronizationResult:
        successor = self._plan.successor
        request = DataSynchronizationRequest(
            sync_id=f"migration-{workflow.uuid4().hex[:12]}",
            organization_id=self._organization_id,
            source_report_id=report_id,
            target_integration=IntegrationInstance(integration_id=successor.integration_id),
            sync_type=SynchronizationType.FULL_SYNC,
        )
        result: SynchronizationResult = await workflow.execute_child_workflow(
            WorkflowType.SYNC_REPORT.value,
            request,
            id=sync_workflow_id(self._organization_id, successor.integration_id, request.sync_id),
            result_type=SynchronizationResult,
            priority=policies.priority(SyncPriority.LOW, self._organization_id),
            static_summary=f"Backfill {report_id} for a migration",
        )
        return result

    async def _verify(self) -> None:
        successor = self._plan.successor
        if not self._plan.reread:
            # A data set is published as a whole, and the sync has compared its rows with the vendor's.
            self._note(verified=self.migration.records)
            return
        found: VerifiedRecords = await workflow.execute_activity(
            "migration.verify",
            VerifyMigration(successor=successor),
            result_type=VerifiedRecords,
            task_queue=system_queue(successor.platform),
            priority=policies.priority(
                SyncPriority.LOW, fairness_key(successor.organization_id, successor.integration_id)
            ),
            summary="Read again what the backfill wrote",
            **policies.BULK.options(),
        )
        self._note(verified=found.standing)
        if found.standing != found.asked:
            self._note(phase=MigrationPhase.FAILED, error=_not_standing(found))

    def _note(self, **changes: object) -> None:
        self.migration = self.migration.model_copy(update=changes)
        self._tell(self.migration)


def _not_standing(found: VerifiedRecords) -> ErrorDetail:
    return ErrorDetail(
        kind=ErrorKind.PERMANENT,
        code="migration_not_verified",
        message=f"The successor holds {found.standing} of {found.asked} records as they were sent.",
        owner=Owner.TENANT,
        action="Compare the successor's mapping with its account, then migrate again; nothing was cut over.",
        evidence={"asked": found.asked, "standing": found.standing},
    )
