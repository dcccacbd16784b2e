"""A workflow that only tells an alert; it stands alone because the sandbox imports its module."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.alerts import Alert
    from workflows.alerts import tell


@workflow.defn
class Teller:
    """Tells what it is given, twice."""

    @workflow.run
    async def run(self, alert: Alert) -> str:
        """Return when both have been told."""
        await tell(alert)
        await tell(alert)
        return "went on"
