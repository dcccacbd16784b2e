"""The command line against a real stack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import RunningStack
from tests.e2e.documents import HUBSPOT, ORGANIZATION, SLACK, automation, routing, wedding
from tests.support.emulators import Emulators


def test_a_notification_reaches_the_channel_once_however_often_it_is_sent(
    connected: RunningStack, emulators: Emulators, fresh: str
) -> None:
    file = connected.file(routing(fresh))
    first = connected.json("notify", file)
    second = connected.json("notify", file)
    assert first["overallStatus"] == "success"
    assert second == first
    assert emulators.messages(fresh) == 1


def test_a_wrong_token_is_a_sentence_and_leaves_nothing_behind(stack: RunningStack, fresh: str) -> None:
    wrong = {**SLACK, "integrationId": fresh, "connectionConfig": {"credential": {"botToken": "canary-wrong-token"}}}
    done = stack.cli("integrations", "connect", stack.file(wrong), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["kind"] == "AuthExpired"
    assert "canary" not in done.stdout + done.stderr
    listed = stack.json("integrations", "list", "--organization", ORGANIZATION)["integrations"]
    assert all(one["state"] == "disconnected" for one in listed if one["integrationId"] == fresh)


def test_a_new_credential_takes_the_place_of_the_old_one_only_once_the_vendor_accepts_it(
    stack: RunningStack, fresh: str
) -> None:
    mine = {**SLACK, "integrationId": fresh}
    stack.json("integrations", "connect", stack.file(mine))
    refused = {**mine, "connectionConfig": {"credential": {"botToken": "canary-wrong-token"}}}
    done = stack.cli("integrations", "rotate", stack.file(refused), "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["kind"]) == (1, "AuthExpired")
    assert stack.versions(fresh) == [1]
    assert stack.json("notify", stack.file(routing(fresh, integration_id=fresh)))["overallStatus"] == "success"
    assert stack.json("integrations", "rotate", stack.file(mine))["probe"]["ok"]
    assert stack.versions(fresh) == [2]
    again = routing(f"{fresh}-2", integration_id=fresh)
    assert stack.json("notify", stack.file(again))["overallStatus"] == "success"
    stack.json("integrations", "disconnect", fresh, "--organization", ORGANIZATION)
    assert stack.cli("integrations", "rotate", stack.file(mine)).returncode == 1
    assert stack.versions(fresh) == []


def test_a_paused_integration_says_so_until_it_is_resumed(stack: RunningStack, fresh: str) -> None:
    stack.json("integrations", "connect", stack.file({**HUBSPOT, "integrationId": fresh}))
    org = ("--organization", ORGANIZATION)
    assert stack.json("integrations", "pause", fresh, *org)["state"] == "paused"
    assert stack.json("integrations", "show", fresh, *org)["state"] == "paused"
    assert stack.json("integrations", "resume", fresh, *org)["state"] == "active"
    assert stack.json("integrations", "test", fresh, *org)["probe"]["ok"]
    assert stack.json("integrations", "disconnect", fresh, *org)["state"] == "disconnected"


def test_a_vendor_that_is_down_is_named_and_the_run_goes_on_without_the_caller(
    connected: RunningStack, emulators: Emulators, fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starters.cli.runs._LOOK_EVERY_S", 0.2)
    monkeypatch.setattr("starters.cli.runs._PATIENCE_S", 1.0)
    file = connected.file(routing(fresh))
    emulators.fault("slack", "status", status=503)
    done = connected.cli("notify", file)
    emulators.clear_faults("slack")
    assert done.returncode == 1
    assert "slack answered 503" in done.stderr
    assert "This is the vendor's to mend. The run goes on trying" in done.stderr
    monkeypatch.undo()
    assert connected.json("notify", file)["overallStatus"] == "success"
    assert emulators.messages(fresh) == 1


def test_a_notification_that_one_system_does_not_take_exits_1(
    connected: RunningStack, emulators: Emulators, fresh: str
) -> None:
    connected.json("integrations", "connect", connected.file({**SLACK, "integrationId": fresh}))
    connected.json("integrations", "pause", fresh, "--organization", ORGANIZATION)
    given = routing(fresh)
    given["targetSystems"].append({**given["targetSystems"][0], "systemId": "paused", "integrationId": fresh})
    done = connected.cli("notify", connected.file(given), "--json")
    assert (done.returncode, json.loads(done.stdout)["overallStatus"]) == (1, "partial_failure")
    assert emulators.messages(fresh) == 1


def test_an_unknown_integration_is_a_sentence(stack: RunningStack) -> None:
    done = stack.cli("integrations", "show", "nobody", "--organization", ORGANIZATION)
    assert done.returncode == 1
    assert "nobody" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_moved_wedding_shows_its_new_day(stack: RunningStack, fresh: str) -> None:
    stack.json("weddings", "start", stack.file(wedding(fresh)))
    org = ("--organization", ORGANIZATION)
    assert stack.json("weddings", "show", fresh, *org)["wedding"]["weddingDate"] == "2031-06-12"
    moved = stack.json("weddings", "move", fresh, "--date", "2031-06-19", *org)
    assert moved["wedding"]["weddingDate"] == "2031-06-19"
    assert stack.json("weddings", "cancel", fresh, *org)["status"] == "cancelled"


def test_the_doctor_finds_a_running_stack_healthy(stack: RunningStack) -> None:
    done = stack.cli("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert {name for name, check in checks.items() if not check["ok"]} == set()


def test_the_health_schedules_are_there(stack: RunningStack) -> None:
    schedules = stack.json("schedules", "list")["schedules"]
    mine = [one for one in schedules if one["scheduleId"].startswith("schedule/monitor-health/")]
    assert ({one["workflow"] for one in mine}, len(mine)) == ({"MonitorHealth"}, 9)


def test_a_file_of_notifications_is_routed_as_a_batch_and_each_is_counted(
    connected: RunningStack, emulators: Emulators, fresh: str
) -> None:
    names = [f"{fresh}-{number}" for number in range(2)]
    file = connected.file(routing(names[0]))
    Path(file).write_text("\n".join(json.dumps(routing(name)) for name in names))
    summary = connected.json("notify", file, "--batch", fresh)
    assert (summary["total"], summary["counts"]["success"]) == (2, 2)
    assert [emulators.messages(name) for name in names] == [1, 1]


def test_an_automation_is_checked_run_rejected_and_explained(connected: RunningStack, fresh: str) -> None:
    asked = automation(fresh)
    owner = ("--organization", ORGANIZATION)
    faulty = connected.cli("automations", "check", connected.file({**asked, "chains": []}), "--json")
    assert (faulty.returncode, json.loads(faulty.stdout)["problems"][0]["code"]) == (1, "nothing_to_do")
    file = connected.file(asked)
    assert connected.json("automations", "check", file) == {"problems": []}
    assert connected.json("automations", "run", file, "--no-wait")["orchestrationId"] == fresh
    no = ("automations", "approve", fresh, "--step", "tell", "--as", "planner", "--reject", *owner)
    while connected.cli(*no).returncode != 0:
        pass
    shown = connected.json("automations", "run", file)
    assert [one["status"] for one in shown["results"][0]["steps"]] == ["rejected"]
    assert connected.json("automations", "explain", fresh, *owner)["criticalPath"][0]["stepId"] == "tell"
    assert connected.json("automations", "show", fresh, *owner) == shown


def test_a_notification_is_explained_to_the_end_and_one_that_never_was_plainly(
    connected: RunningStack, fresh: str
) -> None:
    org = ("--organization", ORGANIZATION)
    connected.json("notify", connected.file(routing(fresh)))
    told = connected.json("explain", f"n-{fresh}", *org)
    stages = [one["stage"] for run in told["runs"] for one in run["decisions"]]
    assert stages == ["rule", "preference", "delivery", "attempt", "receipt"]
    assert "Nothing was ever routed" in connected.json("explain", f"never-{fresh}", *org)["sentence"]


def test_preferences_and_templates_are_set_and_shown(stack: RunningStack, fresh: str) -> None:
    org, address = ("--organization", fresh), f"{fresh}@fisher.example"
    stack.json("preferences", "set", address, stack.file({"optedOut": True}), *org)
    assert stack.json("preferences", "show", address.upper(), *org)["preferences"]["optedOut"] is True
    stack.json("preferences", "policy", stack.file({"identity": {"fromName": "Canary House"}}), *org)
    assert stack.json("preferences", "policy", *org)["identity"]["fromName"] == "Canary House"
    stack.json("templates", "save", stack.file({"name": "reminder", "text": "Soon"}), *org)
    assert [one["version"] for one in stack.json("templates", "list", *org)["templates"]] == [1]


def test_a_sync_is_planned_carried_out_once_and_its_rejected_records_are_tried_again(
    stack: RunningStack, fresh: str, tmp_path: Path
) -> None:
    lines = [{"id": f"{fresh}-{n}", "name": f"Couple {n}", "guests": n, "status": "booked"} for n in range(3)]
    report = tmp_path / "report.ndjson"
    report.write_text("".join(json.dumps(line) + "\n" for line in lines))
    mapping = {"wedding_name": "name", "guest_count": "guests", "booking_status": "status"}
    crm = {
        **HUBSPOT,
        "integrationId": fresh,
        "dataMapping": [{"source": source, "target": target} for target, source in mapping.items()],
        "errorHandling": {"maxRejectedRatio": 1.0},
    }
    stack.json("integrations", "connect", stack.file(crm))
    sync = {
        "syncId": fresh,
        "organizationId": ORGANIZATION,
        "sourceReportId": "import",
        "source": {"kind": "file", "uri": report.as_uri(), "format": "ndjson"},
        "targetIntegration": {"integrationId": fresh},
    }
    file, org = stack.file(sync), ("--organization", ORGANIZATION)
    plan = stack.json("sync", "plan", file)
    assert plan["counts"] == {"create": 3, "update": 0, "remove": 0, "unchanged": 0, "blocked": 0}
    done = stack.json("sync", "apply", file, "--plan", plan["hash"])
    assert (done["status"], done["books"]["created"]) == ("success", 3)
    refused = stack.cli("sync", "apply", file, "--plan", plan["hash"], "--json")
    assert (refused.returncode, json.loads(refused.stdout)["error"]["code"]) == (1, "plan_outdated")

    report.write_text(report.read_text().replace("booked", "no such status", 1))
    assert stack.json("sync", "run", stack.file({**sync, "syncId": f"{fresh}-2"}))["deadLetters"] == 1
    [letter] = stack.json("deadletters", "list", "--integration", fresh, *org)["letters"]
    assert (letter["recordId"], letter["attempts"]) == (f"{fresh}-0", 1)
    again = stack.cli("deadletters", "retry", letter["letterId"], *org, "--json")
    assert (again.returncode, json.loads(again.stdout)["letters"]) == (1, 1)
    [letter] = stack.json("deadletters", "list", "--integration", fresh, *org)["letters"]
    assert letter["attempts"] == 2
    report.write_text(report.read_text().replace("no such status", "booked"))
    assert stack.json("sync", "run", stack.file({**sync, "syncId": f"{fresh}-3"}))["deadLetters"] == 0


def test_a_sync_that_would_remove_much_waits_until_somebody_approves(
    stack: RunningStack, emulators: Emulators, fresh: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.ndjson"
    crm = {**HUBSPOT, "integrationId": fresh, "dataMapping": [{"source": "name", "target": "wedding_name"}]}
    stack.json("integrations", "connect", stack.file(crm))
    sync = {
        "organizationId": ORGANIZATION,
        "sourceReportId": "import",
        "source": {"kind": "file", "uri": report.as_uri(), "format": "ndjson"},
        "targetIntegration": {"integrationId": fresh},
        "removals": {"policy": "archive"},
    }
    org = ("--organization", ORGANIZATION)
    lines = [json.dumps({"id": f"{fresh}-{n}", "name": f"Couple {n}"}) + "\n" for n in range(4)]
    report.write_text("".join(lines))
    assert stack.json("sync", "run", stack.file({**sync, "syncId": f"{fresh}-1"}))["books"]["created"] == 4
    report.write_text(lines[0])
    run_id = stack.json("sync", "run", stack.file({**sync, "syncId": f"{fresh}-2"}), "--no-wait")["runId"]
    while (answer := stack.cli("sync", "approve", run_id, *org, "--json")).returncode:
        assert json.loads(answer.stdout)["error"]["code"] == "approval_not_asked"
    assert json.loads(answer.stdout) == {"accepted": True}
    ended = stack.json("sync", "run", stack.file({**sync, "syncId": f"{fresh}-2"}))
    assert (ended["removals"]["decision"], ended["removals"]["removed"]) == ("approved", 3)
    held = [one["properties"]["wedsync_id"] for one in emulators.objects("hubspot", "weddings")]
    assert [one for one in held if one.startswith(fresh)] == [f"{fresh}-0"]
