"""The emulators' core over real TCP: state that survives, a truthful ledger, and every kind of fault."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators import hubspot, slack, tave
from emulators.core import Emulator, State, build_app
from emulators.fault_book import KINDS
from tests.support.loopback import loopback_client

HUBSPOT = {"Authorization": "Bearer sandbox-hubspot-token"}
SLACK = {"Authorization": "Bearer sandbox-slack-token"}
TAVE = {"X-API-KEY": "sandbox-tave-key"}


def toy_routes(emulator: Emulator) -> list[BaseRoute]:
    async def create(request: Request) -> Response:
        body = await request.json()
        with emulator.transaction():
            thing = {"id": emulator.next_id("things"), **body}
            emulator.put("things", thing["id"], thing)
            emulator.effect("thing.created", "things", thing["id"], thing, request.headers.get("Idempotency-Key"))
        return JSONResponse(thing, 201)

    async def read(_request: Request) -> Response:
        return JSONResponse({"things": emulator.list("things"), "padding": "x" * 2000})

    return [Route("/things", create, methods=["POST"]), Route("/things", read)]


def toy(state: State) -> Emulator:
    return Emulator("toy", state, routes=toy_routes, seed=lambda emulator: emulator.put("things", "1", {"id": "1"}))


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1, timeout_keep_alive=600)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@contextmanager
def running(path: Path | None, builders: Sequence[Callable[[State], Emulator]] = (toy,)) -> Iterator[httpx.Client]:
    state = State(path)
    app = build_app([build(state) for build in builders])
    with served(app) as url, loopback_client(url) as client:
        yield client
    state.close()


@pytest.fixture(scope="module")
def everything() -> Iterator[httpx.Client]:
    with running(None, (toy, hubspot.build, slack.build, tave.build)) as client:
        yield client


@pytest.fixture
def client(everything: httpx.Client) -> httpx.Client:
    everything.post("/_emulators/reset").raise_for_status()
    return everything


def install(client: httpx.Client, kind: str, system: str = "toy", **rule: Any) -> int:
    answer = client.post(f"/_emulators/{system}/faults", json={"kind": kind, **rule})
    answer.raise_for_status()
    return int(answer.json()["id"])


def ledger(client: httpx.Client, system: str = "toy", **query: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/_emulators/{system}/effects", params=query).json()
    return found


def statuses(client: httpx.Client, system: str = "toy") -> list[int | None]:
    return [seen["status"] for seen in client.get(f"/_emulators/{system}/requests").json()]


def test_a_restarted_process_keeps_objects_effects_requests_and_spent_faults(tmp_path: Path) -> None:
    path = tmp_path / "emulators.db"
    with running(path) as first:
        install(first, "status", count=1, status=500)
        assert [first.post("/toy/things", json={"n": n}).status_code for n in (1, 2)] == [500, 201]
    with running(path) as second:
        assert second.post("/toy/things", json={"n": 3}).status_code == 201
        things = second.get("/_emulators/toy/objects/things").json()
        assert [thing.get("n") for thing in things] == [None, 2, 3]
        assert len({thing["id"] for thing in things}) == 3
        assert [entry["seq"] for entry in ledger(second)] == [1, 2]
        assert statuses(second) == [500, 201, 201]


def test_an_effect_says_what_was_applied_and_under_which_key(client: httpx.Client) -> None:
    thing = client.post("/toy/things", json={"n": 1}, headers={"Idempotency-Key": "k-1"}).json()
    (entry,) = ledger(client)
    assert entry.pop("at").endswith("Z")
    assert entry == {
        "seq": 1,
        "kind": "thing.created",
        "objectType": "things",
        "objectId": thing["id"],
        "idempotencyKey": "k-1",
        "body": thing,
    }


def test_the_ledger_can_be_read_from_a_sequence_number(client: httpx.Client) -> None:
    for number in range(3):
        client.post("/toy/things", json={"n": number})
    assert [entry["seq"] for entry in ledger(client, since=1)] == [2, 3]


def test_a_failed_transaction_leaves_neither_object_nor_effect() -> None:
    emulator = toy(State())

    def write_and_fail() -> None:
        with emulator.transaction():
            emulator.put("things", "2", {"id": "2"})
            emulator.effect("thing.created", "things", "2", {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert (emulator.get("things", "2"), emulator.effects()) == (None, [])


def test_a_lookup_by_field_uses_an_index() -> None:
    emulator = toy(State())
    emulator.put("things", "2", {"id": "2", "properties": {"key": "a'b"}})
    assert emulator.find("things", "properties.key", "a'b") == {"id": "2", "properties": {"key": "a'b"}}
    where, expression = emulator._index("things", "properties.key")
    plan = emulator.state.connection.execute(
        f"EXPLAIN QUERY PLAN SELECT body FROM objects WHERE {where} AND {expression} = 'x'"
    ).fetchall()
    assert "USING INDEX by_" in str(plan)


def test_every_system_tells_its_base_url(client: httpx.Client) -> None:
    systems = client.get("/_emulators").json()["systems"]
    root = str(client.base_url).rstrip("/")
    assert {name: entry["baseUrl"].removeprefix(root) for name, entry in systems.items()} == {
        "toy": "/toy",
        "hubspot": "/hubspot",
        "slack": "/slack/api/",
        "tave": "/tave/api/v2",
    }


def test_a_reset_brings_the_seed_back_and_forgets_the_rest(client: httpx.Client) -> None:
    client.post("/toy/things", json={})
    install(client, "status")
    client.post("/_emulators/reset").raise_for_status()
    assert client.get("/_emulators/toy/objects/things").json() == [{"id": "1"}]
    assert (ledger(client), statuses(client), client.get("/_emulators/toy/faults").json()) == ([], [], [])


def test_a_restored_snapshot_holds_the_same_objects_and_empty_books(client: httpx.Client) -> None:
    assert client.post("/_emulators/toy/restore").status_code == 409
    client.post("/toy/things", json={})
    held = client.get("/_emulators/toy/objects/things").json()
    client.post("/_emulators/toy/snapshot").raise_for_status()
    client.post("/_emulators/reset").raise_for_status()
    client.post("/_emulators/toy/restore").raise_for_status()
    assert client.get("/_emulators/toy/objects/things").json() == held
    assert (ledger(client), statuses(client)) == ([], [])


def test_an_unknown_fault_is_refused(client: httpx.Client) -> None:
    assert client.post("/_emulators/toy/faults", json={"kind": "gremlin"}).status_code == 400


def test_a_fault_meets_only_the_requests_it_matches(client: httpx.Client) -> None:
    install(client, "status", match={"method": "POST", "path": "/^.things$/"}, status=502)
    assert client.get("/toy/things").status_code == 200
    assert client.post("/toy/things", json={}).status_code == 502


def test_a_fault_with_a_count_is_spent(client: httpx.Client) -> None:
    install(client, "status", count=2)
    assert [client.get("/toy/things").status_code for _ in range(3)] == [503, 503, 200]


def test_a_random_fault_repeats_itself_under_the_same_seed(client: httpx.Client) -> None:
    def draw() -> list[int]:
        client.delete("/_emulators/toy/faults")
        install(client, "status", probability=0.5, seed=7)
        return [client.get("/toy/things").status_code for _ in range(20)]

    first = draw()
    assert set(first) == {200, 503}
    assert draw() == first


def test_deleted_faults_stop(client: httpx.Client) -> None:
    install(client, "rate_limit", retryAfter=30, count=1)
    assert client.get("/toy/things").status_code == 429
    assert client.delete("/_emulators/toy/faults").status_code == 204
    assert client.get("/toy/things").status_code == 200


def test_status_answers_before_any_effect(client: httpx.Client) -> None:
    install(client, "status", status=503, retryAfter=2, count=1)
    answer = client.post("/toy/things", json={})
    assert (answer.status_code, answer.headers["Retry-After"], ledger(client)) == (503, "2", [])


def test_latency_delays_an_answer_that_is_otherwise_right(client: httpx.Client) -> None:
    install(client, "latency", delayS=0.6, count=1)
    with pytest.raises(httpx.ReadTimeout):
        client.get("/toy/things", timeout=0.2)
    while statuses(client) == [None]:
        time.sleep(0.05)  # noqa: TID251 - a test outside Temporal
    assert statuses(client) == [200]


def test_reset_ends_the_connection_without_an_effect(client: httpx.Client) -> None:
    install(client, "reset", count=1)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        client.post("/toy/things", json={})
    assert (ledger(client), statuses(client)) == ([], [0])


def test_drop_after_effect_applies_the_effect_and_hides_the_answer(client: httpx.Client) -> None:
    install(client, "drop_after_effect", count=1)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        client.post("/toy/things", json={})
    assert len(ledger(client)) == 1


def test_truncate_breaks_the_body_off(client: httpx.Client) -> None:
    install(client, "truncate", count=1)
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/toy/things")


def test_garbage_is_not_json(client: httpx.Client) -> None:
    install(client, "garbage", count=1)
    answer = client.get("/toy/things")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(ValueError, match=r".*"):
        answer.json()


def test_hang_never_answers(client: httpx.Client) -> None:
    install(client, "hang", count=1)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/toy/things", json={}, timeout=0.3)
    assert ledger(client) == []


def test_slow_body_has_begun_long_before_it_ends(client: httpx.Client) -> None:
    install(client, "slow_body", delayS=60, count=1)
    with client.stream("GET", "/toy/things") as answer:
        first = next(answer.iter_raw())
        still_open = statuses(client)
    assert (first.startswith(b'{"things"'), len(first) < int(answer.headers["Content-Length"])) == (True, True)
    assert still_open == [None]


def test_rate_limit_refuses_everything_until_its_window_closes(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(client, "rate_limit", match={"method": "POST"}, retryAfter=600, count=1)
    first = client.post("/toy/things", json={})
    assert (first.status_code, first.headers["Retry-After"]) == (429, "600")
    assert client.get("/toy/things").status_code == 429
    closed = time.time() + 601
    monkeypatch.setattr("emulators.fault_book.time", SimpleNamespace(time=lambda: closed))
    assert client.post("/toy/things", json={}).status_code == 201
    assert statuses(client) == [429, 429, 201]


def test_html_login_page_answers_200_without_an_effect(client: httpx.Client) -> None:
    install(client, "html_login_page", count=1)
    answer = client.post("/toy/things", json={})
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    assert ledger(client) == []


def test_partial_batch_writes_some_inputs_and_names_the_others(client: httpx.Client) -> None:
    install(client, "partial_batch", "hubspot", count=1)
    inputs = [
        {"id": f"p{n}@example.com", "idProperty": "email", "objectWriteTraceId": f"t{n}", "properties": {}}
        for n in range(4)
    ]
    answer = client.post("/hubspot/crm/v3/objects/contacts/batch/upsert", json={"inputs": inputs}, headers=HUBSPOT)
    body = answer.json()
    assert (answer.status_code, [item["objectWriteTraceId"] for item in body["results"]]) == (207, ["t0", "t2"])
    assert [error["context"]["objectWriteTraceId"] for error in body["errors"]] == [["t1"], ["t3"]]
    assert [entry["kind"] for entry in ledger(client, "hubspot")] == ["contact.created"] * 2


@pytest.mark.parametrize(
    ("kind", "category"), [("expire_token", "EXPIRED_AUTHENTICATION"), ("revoke_token", "INVALID_AUTHENTICATION")]
)
def test_a_token_fault_answers_401_in_the_vendors_words(client: httpx.Client, kind: str, category: str) -> None:
    install(client, kind, "hubspot", count=1)
    answers = [client.get("/hubspot/crm/v3/objects/contacts/501", headers=HUBSPOT) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [401, 200]
    assert answers[0].json()["category"] == category


def test_a_revoked_slack_token_is_an_error_with_http_200(client: httpx.Client) -> None:
    install(client, "revoke_token", "slack", count=1)
    answer = client.post("/slack/api/auth.test", headers=SLACK)
    assert (answer.status_code, answer.json()) == (200, {"ok": False, "error": "token_revoked"})


def test_schema_drift_renames_fields(client: httpx.Client) -> None:
    install(client, "schema_drift", "tave", count=1)
    assert "items" not in client.get("/tave/api/v2/job", headers=TAVE).json()
    assert "items" in client.get("/tave/api/v2/job", headers=TAVE).json()


def test_duplicate_page_repeats_the_page_before(client: httpx.Client) -> None:
    for number in range(4):
        client.post("/slack/api/chat.postMessage", json={"channel": "C0WEDDINGS", "text": str(number)}, headers=SLACK)
    install(client, "duplicate_page", "slack", count=1)
    arguments: dict[str, Any] = {"channel": "C0WEDDINGS", "limit": 2}
    first = client.post("/slack/api/conversations.history", json=arguments, headers=SLACK).json()
    arguments["cursor"] = first["response_metadata"]["next_cursor"]
    second = client.post("/slack/api/conversations.history", json=arguments, headers=SLACK).json()
    assert second["messages"] == first["messages"]


def test_the_control_api_is_not_subject_to_faults(client: httpx.Client) -> None:
    install(client, "hang")
    assert client.get("/_emulators/toy/faults").status_code == 200


def test_every_documented_kind_can_be_installed(client: httpx.Client) -> None:
    for kind in KINDS:
        install(client, kind, count=0)
    assert {rule["kind"] for rule in client.get("/_emulators/toy/faults").json()} == set(KINDS)


def test_hubspot_refuses_calls_over_its_rolling_limit(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulators.hubspot_edge.WINDOW_REQUESTS", 5)
    monkeypatch.setattr("emulators.hubspot_edge.WINDOW_S", 1000)
    answers = [client.get("/hubspot/account-info/v3/details", headers=HUBSPOT) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].json()["policyName"] == "TEN_SECONDLY_ROLLING"
