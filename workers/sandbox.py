"""The workflow sandbox and the modules that pass through it."""

from __future__ import annotations

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

PASSED_THROUGH = (
    "annotated_types",  # pydantic's own
    "contracts",  # pure models; reloading them for every run costs 60 ms
    "pydantic",
    "pydantic_core",  # native code cannot be loaded twice
    "workflows.alerts",  # pure helpers
    "workflows.closing",  # pure helpers
    "workflows.escalation",  # pure helpers
    "workflows.health_round",  # pure helpers
    "workflows.policies",  # constants
    "workflows.visibility",  # pure helpers
    "workflows.wedding_facts",  # pure decisions
    "workflows.wedding_followers",  # pure decisions
)


def workflow_runner() -> SandboxedWorkflowRunner:
    """Return the sandboxed runner every worker and replayer uses."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))
