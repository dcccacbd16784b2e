"""`wedsync automations ...`."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from contracts.automation import AutomationDefinition, WorkflowOrchestration
from contracts.automation_check import AutomationCheck
from contracts.automation_insight import AutomationInsight, TimeSpent
from contracts.automation_run import RunStatus, StepAnswer, WorkflowResult
from starters.api.views import AutomationList
from starters.cli.options import DataDir, File, Json, NoWait, Organization, organization_of, with_wedsync
from starters.cli.output import facts, note, print_json, say, table
from starters.client import WedSync
from starters.documents import parse_object, read_file, read_text

app = typer.Typer(help="Carry out automations across systems, and look after them.", no_args_is_help=True)
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's orchestrationId.")]


@app.command("run")
def run(
    file: File,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Carry out the automation in FILE and show what became of every step."""
    asked = read_file(file, WorkflowOrchestration, organization)

    async def act(wedsync: WedSync) -> WorkflowResult | None:
        started = await wedsync.automations.start(asked)
        if not no_wait:
            return await started.result()
        print_json({"runId": started.run_id, "orchestrationId": asked.orchestration_id}) if json else say(
            f"The automation {asked.orchestration_id} runs as {started.run_id}."
        )
        return None

    result = with_wedsync(data_dir, act)
    if result is not None:
        _show(result, as_json=json)
        _end(result)


@app.command("check")
def check(file: File, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """Say everything that is wrong with the automation in FILE, each with its place; exit 1 when something is."""
    given = parse_object(read_text(file), WorkflowOrchestration)

    async def act(wedsync: WedSync) -> AutomationCheck:
        owner = given.get("organizationId", organization)
        return await wedsync.automations.check(await organization_of(wedsync, str(owner) if owner else None), given)

    found = with_wedsync(data_dir, act)
    if json:
        print_json(found)
    elif found.problems:
        rows = [(one.place, one.code, one.message) for one in found.problems]
        table(f"{len(rows)} problems", ("place", "problem", "what is wrong"), rows)
    else:
        say("The automation can be carried out.")
    if found.problems:
        raise typer.Exit(1)


@app.command("save")
def save(file: File, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """Save the automation in FILE as its next version; what it is triggered by starts it from now on."""
    definition = read_file(file, AutomationDefinition, organization)

    async def act(wedsync: WedSync) -> AutomationDefinition:
        return await wedsync.automations.save(definition)

    saved = with_wedsync(data_dir, act)
    if json:
        print_json(saved)
    else:
        say(f"Saved {saved.definition_id} as version {saved.version}.")


@app.command("list")
def list_(data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """List the saved automations and the runs that have not ended."""

    async def act(wedsync: WedSync) -> AutomationList:
        owner = await organization_of(wedsync, organization)
        return AutomationList(
            saved=await wedsync.automations.saved(owner), running=await wedsync.automations.running(owner)
        )

    found = with_wedsync(data_dir, act)
    if json:
        print_json(found)
        return
    rows = [(one.definition_id, one.version, "on" if one.enabled else "off", one.name) for one in found.saved]
    table("Saved automations", ("id", "version", "", "name"), rows)
    say(f"Running: {', '.join(found.running) or 'none'}")


@app.command("show")
def show(run_id: RunId, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """Show every step of a run as it stands."""

    async def act(wedsync: WedSync) -> WorkflowResult:
        return await wedsync.automations.show(await organization_of(wedsync, organization), run_id)

    _show(with_wedsync(data_dir, act), as_json=json)


@app.command("explain")
def explain(run_id: RunId, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """Show where a run's time went, and what would make it faster."""

    async def act(wedsync: WedSync) -> AutomationInsight:
        return await wedsync.automations.explain(await organization_of(wedsync, organization), run_id)

    found = with_wedsync(data_dir, act)
    if json:
        print_json(found)
        return
    columns = ("step", "action", "attempts", "took", *(name.removesuffix("_ms") for name in TimeSpent.model_fields))
    rows = [
        (one.step_id, one.action_id, one.attempts, f"{one.took_ms} ms", *dict(one.spent).values())
        for one in found.critical_path
    ]
    title = f"{found.orchestration_id}: {found.status}, {found.took_ms} ms; critical path of {found.chain_id}"
    table(title, columns, rows)
    for suggestion in found.suggestions:
        say(suggestion.message)


@app.command("approve")
def approve(
    run_id: RunId,
    step: Annotated[str, typer.Option("--step", help="The step that waits.")],
    actor: Annotated[str, typer.Option("--as", help="Who answers: one of the step's approvalBy.")],
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    reject: Annotated[bool, typer.Option("--reject", help="Say no.")] = False,
    json: Json = False,
) -> None:
    """Approve, or reject, the step that waits for it."""
    answer = StepAnswer(
        step_id=step, actor_id=actor, answer="reject" if reject else "approve", event_id=uuid.uuid4().hex
    )

    async def act(wedsync: WedSync) -> str:
        owner = await organization_of(wedsync, organization)
        return (await wedsync.automations.answer(owner, run_id, answer)).message

    said = with_wedsync(data_dir, act)
    print_json({"accepted": True, "message": said}) if json else say(said)


@app.command("cancel")
def cancel(run_id: RunId, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """End a run, compensate what its chains declare, and show what became of every step."""

    async def act(wedsync: WedSync) -> WorkflowResult:
        owner = await organization_of(wedsync, organization)
        return await (await wedsync.automations.cancel(owner, run_id)).result()

    _show(with_wedsync(data_dir, act), as_json=json)


def _show(result: WorkflowResult, *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    facts(f"Automation {result.orchestration_id}", {"status": result.status, "why": result.reason})
    for chain in result.results:
        rows = [
            (
                step.step_id,
                step.status,
                step.runs,
                step.reason,
                ", ".join(f"{one.action_id} {one.undone or one.status}" for one in step.actions),
            )
            for step in chain.steps
        ]
        table(f"{chain.workflow_id}: {chain.status}", ("step", "status", "runs", "why", "actions"), rows)


def _end(result: WorkflowResult) -> None:
    if result.status in {RunStatus.FAILED, RunStatus.PARTIAL_FAILURE}:
        note("Not everything was carried out: the steps say what was not, and why.")
        raise typer.Exit(1)
