"""Weddings on a real stack: the example through the Temporal CLI, a wedding's life through our own doors."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx

from contracts.names import wedding_workflow_id
from tests.e2e.conftest import ROOT, RunningStack
from tests.e2e.documents import ORGANIZATION, routing, wedding
from tests.support.emulators import Emulators
from workers.engine import binary

ORG = ("--organization", ORGANIZATION)
EXAMPLE = ROOT / "examples" / "wedding-timeline.json"


def temporal(stack: RunningStack, *arguments: str) -> None:
    """Run the Temporal CLI as any client would that knows our codec server and nothing else of us."""
    place = ("--address", stack.ready["temporal"], "--codec-endpoint", stack.ready["codec"])
    done = subprocess.run(
        [binary("temporal"), "workflow", *arguments, *place], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_the_example_wedding_runs_verbatim_through_the_temporal_cli(connected: RunningStack) -> None:
    workflow_id = wedding_workflow_id(ORGANIZATION, json.loads(EXAMPLE.read_text())["weddingId"])
    start = ("--type", "WeddingTimeline", "-t", "orchestration", "-w", workflow_id, "--input-file", str(EXAMPLE))
    temporal(connected, "start", *start)
    moved = {"eventId": "cli-1", "type": "moved", "weddingDate": "2031-06-12", "timeZone": "Europe/Paris"}
    update = ("--name", "apply_event", "-w", workflow_id, "-i", json.dumps(moved))
    temporal(connected, "update", "execute", *update)
    temporal(
        connected, "signal", "--name", "event", "-w", workflow_id, "-i", '{"eventId": "cli-2", "type": "cancelled"}'
    )
    state = connected.json("weddings", "show", "wed-1001", *ORG)
    assert (state["wedding"]["weddingDate"], state["status"]) == ("2031-06-12", "cancelled")
    details = [step for step in state["steps"] if step["automation"] == "Final details"]
    assert [step["dueAt"] for step in details] == ["2031-05-29T07:00:00Z"]
    temporal(connected, "terminate", "-w", workflow_id)


def test_a_wedding_is_moved_postponed_cancelled_reopened_and_recalled(
    connected: RunningStack, emulators: Emulators, api: httpx.Client, fresh: str, tmp_path: Path
) -> None:
    connected.json("weddings", "start", connected.file(wedding(fresh)))
    moved = connected.json("weddings", "move", fresh, "--date", "2031-07-12", "--venue", "Orangery", *ORG)
    assert moved["wedding"]["venueName"] == "Orangery"
    assert connected.json("weddings", "postpone", fresh, *ORG)["status"] == "postponed"
    assert connected.json("weddings", "move", fresh, "--date", "2031-08-12", *ORG)["status"] == "planned"
    assert connected.json("weddings", "cancel", fresh, *ORG)["status"] == "cancelled"
    assert connected.json("weddings", "reopen", fresh, *ORG)["status"] == "planned"
    nothing = connected.cli("weddings", "decide", fresh, "none", "approve", *ORG, "--json")
    assert (nothing.returncode, json.loads(nothing.stdout)["error"]["code"]) == (1, "not_asked")

    given = routing(fresh)
    given["sourceNotification"]["weddingContext"] = {"weddingId": fresh}
    connected.json("notify", connected.file(given))
    report = connected.json("weddings", "recall", fresh, *ORG)
    assert (report["status"], report["counts"]) == ("complete", {"retracted": 1})
    posted = [one for one in emulators.objects("slack", "messages") if fresh in json.dumps(one)]
    assert posted == []
    assert connected.json("weddings", "show", fresh, *ORG)["status"] == "recalled"

    again = api.post(f"/v1/organizations/{ORGANIZATION}/weddings/{fresh}/recall", json={"recallId": "again"})
    assert again.status_code == httpx.codes.ACCEPTED
    shown = connected.json("weddings", "recall", fresh, "--recall-id", "again", *ORG)
    assert shown["counts"] == {"gone_already": 1}
    assert api.get(again.headers["Location"]).json()["status"] == "complete"
    strangers = f"/v1/organizations/{ORGANIZATION}/weddings/{fresh}/recall/nobodys"
    assert api.get(strangers).status_code == httpx.codes.NOT_FOUND
