"""`wedsync up`: one line, supervision, a clean end, and nothing lost over a restart."""

from __future__ import annotations

import json

import psutil

from tests.e2e.conftest import RunningStack
from tests.e2e.documents import ORGANIZATION, wedding
from tests.support.loopback import loopback_client

FIELDS = {"event", "temporal", "namespace", "temporal_ui", "api", "api_key", "codec", "emulators", "metrics"}


def test_the_ready_line_has_the_agreed_fields_and_stands_in_a_private_file(stack: RunningStack) -> None:
    assert stack.ready.keys() == FIELDS
    file = stack.data_dir / "stack.json"
    assert json.loads(file.read_text()) == stack.ready
    assert file.stat().st_mode & 0o777 == 0o600


def test_no_part_has_a_secret_on_its_command_line_or_a_stand_in_in_its_environment(stack: RunningStack) -> None:
    key = stack.ready["api_key"]
    for name, pid in stack.parts().items():
        part = psutil.Process(pid)
        assert key not in " ".join(part.cmdline())
        assert key not in " ".join(part.environ().values())
        if name in {"temporal", "emulators"}:
            assert not any(variable.startswith("WEDSYNC_") for variable in part.environ())


def test_a_second_up_on_the_same_data_continues_every_run(stack: RunningStack, fresh: str) -> None:
    first = stack.ready
    stack.json("weddings", "start", stack.file(wedding(fresh)))
    children = list(stack.parts().values())
    assert stack.stop() == 0
    assert not (stack.data_dir / "stack.json").exists()
    assert not any(psutil.pid_exists(pid) for pid in children)
    stack.start()
    assert stack.ready == first
    state = stack.json("weddings", "show", fresh, "--organization", ORGANIZATION)
    assert state["wedding"]["weddingId"] == fresh


def test_the_web_ui_is_told_where_to_decode(stack: RunningStack) -> None:
    with loopback_client(stack.ready["temporal_ui"]) as client:
        answer = client.get("/api/v1/settings")
    assert answer.json()["Codec"]["Endpoint"] == stack.ready["codec"]
