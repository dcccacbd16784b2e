"""The command line says what is wrong in one sentence and exits with the right code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from starters.cli.main import run

CANARY = "canary-3b71"


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEDSYNC_TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.delenv("WEDSYNC_DATA_DIR", raising=False)


@pytest.mark.parametrize("arguments", [["bogus"], ["notify"], ["sync", "run"], ["weddings", "move", "w-1"]])
def test_wrong_usage_is_a_sentence_and_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.err.strip()
    assert "Traceback" not in said.err
    assert said.out == ""


@pytest.mark.parametrize("command", [["notify"], ["sync", "run"], ["etl", "run"], ["integrations", "connect"]])
def test_a_file_that_is_not_there_is_exit_code_1(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "absent.json"]) == 1
    assert "absent.json" in capsys.readouterr().err


def test_with_json_an_error_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["notify", "absent.json", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "file_unreadable"


def test_a_wrong_field_is_named_and_its_value_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sync.json").write_text(json.dumps({"syncId": f"{CANARY} with blanks", "sink": CANARY}))
    assert run(["sync", "run", "sync.json", "--json"]) == 1
    said = capsys.readouterr()
    assert "syncId" in said.err
    assert CANARY not in said.err + said.out


def test_temporal_being_away_is_a_sentence_with_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["integrations", "list", "--organization", "org"]) == 1
    assert "wedsync up" in capsys.readouterr().err


def test_a_damaged_stack_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stack.json").write_text("{")
    assert run(["integrations", "list", "--data-dir", str(tmp_path)]) == 1
    assert "damaged" in capsys.readouterr().err


def test_every_contract_has_a_schema_with_wire_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "--out", str(tmp_path / "schemas"), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    assert {"CrossSystemRouting", "DataSynchronizationRequest", "EtlRequest", "Wedding"} <= set(written)
    routing = json.loads((tmp_path / "schemas" / "CrossSystemRouting.json").read_text())
    assert "routingId" in routing["properties"]


def test_the_doctor_names_what_is_missing_and_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json", "--data-dir", str(tmp_path / "none")]) == 1
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert not checks["temporal"]["ok"]
    assert all(check["action"] for check in checks.values() if not check["ok"])
