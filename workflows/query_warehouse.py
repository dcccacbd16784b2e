"""QueryWarehouse: one read-only question to a warehouse, in the queue and within the limits of its connection."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.analytics import AnalyticsQuery, QueryResult, QueryTarget
    from contracts.names import DATA_QUEUE, WorkflowType, system_queue
    from workflows import policies
    from workflows.visibility import detail_of, failure, tag


@workflow.defn(name=WorkflowType.QUERY_WAREHOUSE)
class QueryWarehouse:
    """Find the warehouse and ask it."""

    @workflow.run
    async def run(self, query: AnalyticsQuery) -> QueryResult:
        """Return the answer, or the place where a long one lies."""
        organization_id, integration_id = query.organization_id, query.target_integration.integration_id
        tag(organization_id=organization_id, integration_id=integration_id, run_kind="query", outcome="running")
        try:
            target: QueryTarget = await workflow.execute_activity(
                "analytics.check",
                query,
                result_type=QueryTarget,
                task_queue=DATA_QUEUE,
                summary="Find the warehouse",
                priority=policies.priority(query.priority, organization_id),
                **policies.STORE.options(),
            )
            tag(platform=target.platform)
            result: QueryResult = await workflow.execute_activity(
                "analytics.query",
                query,
                result_type=QueryResult,
                task_queue=system_queue(target.platform),
                summary=f"At most {query.max_rows} rows within {query.timeout_s} s",
                priority=policies.connection_priority(query.priority, organization_id, integration_id),
                **policies.QUESTION.options(),
            )
        except ActivityError as error:
            tag(outcome="failed")
            raise failure(detail_of(error)) from error
        tag(outcome="completed")
        workflow.set_current_details(f"Query `{query.query_id}`: {result.row_count} rows")
        return result
