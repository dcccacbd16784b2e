"""Asana against its emulated workspace: one task per wedding, one comment per notification, errors that recover."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import yaml
from pydantic import SecretStr

from activities.connectors.crm.asana import Asana
from activities.transport.oauth import OAuthClient, TokenEndpoint
from contracts.effects import Delivery, DeliveryIntent, EffectOutcome, EffectStep, Rendered, StandingEffect
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, Transient, WedSyncError
from tests.support.admissions import Counting
from tests.support.deliveries import OCCURRED_AT, PRIVATE_WORDS, ROUTING, connection, delivery
from tests.support.delivery_suite import DeliverySuite
from tests.support.emulators import Emulators
from tests.support.specs import OpenApi, SentRequest, specs_dir

EMULATED = ("asana",)
TOKEN = {"accessToken": "sandbox-asana-token"}
PROJECT = "1200000000000002"
SETTINGS = {"projectGid": PROJECT}
CONTEXT = ROUTING["sourceNotification"]["weddingContext"]


@pytest.fixture
async def asana(emulators: Emulators) -> AsyncIterator[Asana]:
    connector = Asana(connection("asana", emulators.base_url("asana"), TOKEN, projectGid=PROJECT))
    yield connector
    await connector.aclose()


def about(day: str = "2027-06-12", key: str = "route-0001", **changed: Any) -> Delivery:
    one = delivery("asana", metadata={}, weddingContext={**CONTEXT, "weddingDate": day}, **changed)
    return one.model_copy(update={"business_key": key})


def chore(connector: Asana, **properties: str) -> EffectStep:
    one = about(rendered=Rendered(subject="Call the caterer", text="Before noon", properties=properties))
    [step] = connector.plan(one.model_copy(update={"intent": DeliveryIntent.TASK}))
    return step


def comment(connector: Asana, **changed: Any) -> EffectStep:
    [step] = connector.plan(about(**changed))
    return step


async def deliver(connector: Asana, one: Delivery) -> list[EffectOutcome]:
    return [await connector.apply(step) for step in connector.plan(one)]


def standing(step: EffectStep, outcome: EffectOutcome) -> StandingEffect:
    known = step.model_dump(include={"effect_id", "organization_id", "integration_id", "system", "kind", "object_id"})
    return StandingEffect(**known, remote_id=outcome.remote_id, workflow_id="run", applied_at=OCCURRED_AT)


def kinds(emulators: Emulators) -> list[str]:
    return [one["kind"] for one in emulators.effects("asana")]


async def failure(call: Awaitable[Any]) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        await call
    told = caught.value.detail.model_dump_json() + str(caught.value)
    assert not [word for word in PRIVATE_WORDS if word in told]
    return caught.value


async def test_a_notification_becomes_a_comment_on_the_wedding_s_task(asana: Asana, emulators: Emulators) -> None:
    await deliver(asana, about())
    [task], [story] = emulators.objects("asana", "tasks"), emulators.objects("asana", "stories")
    assert (task["name"], task["due_on"]) == ("Wedding Anna and Ben Fisher", "2027-06-12")
    assert story["target"]["gid"] == task["gid"]
    assert story["text"].startswith("Ceremony moved to 15:30\nThe ceremony now starts")


async def test_a_moved_wedding_moves_its_task_and_adds_a_comment(asana: Asana, emulators: Emulators) -> None:
    await deliver(asana, about())
    await deliver(asana, about("2027-06-19", "route-0002", createdAt="2027-06-02T00:00:00Z"))
    assert [task["due_on"] for task in emulators.objects("asana", "tasks")] == ["2027-06-19"]
    assert kinds(emulators) == ["task.created", "story.created", "task.updated", "story.created"]


async def test_what_the_team_wrote_on_the_task_stays(asana: Asana, emulators: Emulators) -> None:
    await deliver(asana, about())
    [made] = emulators.objects("asana", "tasks")
    headers = {"Authorization": f"Bearer {TOKEN['accessToken']}"}
    async with httpx.AsyncClient(base_url=emulators.base_url("asana"), headers=headers, trust_env=False) as team:
        ours = {"data": {"name": "The Fishers", "notes": "Peanut allergy"}}
        (await team.put(f"/api/1.0/tasks/{made['gid']}", json=ours)).raise_for_status()
    await deliver(asana, about("2027-06-19", createdAt="2027-06-02T00:00:00Z"))
    [task] = emulators.objects("asana", "tasks")
    assert (task["name"], task["notes"], task["due_on"]) == ("The Fishers", "Peanut allergy", "2027-06-19")


@pytest.mark.parametrize("order", permutations(range(4)))
async def test_f43_the_newest_date_stands_in_whatever_order_events_arrive(
    asana: Asana, emulators: Emulators, order: tuple[int, ...]
) -> None:
    days = ("2027-07-01", "2027-07-04", "2027-07-03", "2027-07-04")
    for number in order:
        await asana.apply(asana.plan(about(days[number], createdAt=f"2027-06-0{number + 1}T00:00:00Z"))[0])
    assert [task["due_on"] for task in emulators.objects("asana", "tasks")] == ["2027-07-04"]


async def test_of_many_first_notifications_at_once_one_task_is_left_with_all_comments(
    asana: Asana, emulators: Emulators
) -> None:
    await asyncio.gather(*(asana.apply(comment(asana, key=f"route-{number}")) for number in range(6)))
    [task] = emulators.objects("asana", "tasks")
    assert [story["target"]["gid"] for story in emulators.objects("asana", "stories")] == [task["gid"]] * 6


async def test_a_comment_whose_task_s_answer_was_dropped_finds_the_task(asana: Asana, emulators: Emulators) -> None:
    emulators.fault("asana", "drop_after_effect", method="POST", path="tasks$", count=1)
    step = comment(asana)
    assert type(await failure(asana.apply(step))) is OutcomeUnknown
    assert await asana.find(step) is None
    await asana.apply(step)
    assert kinds(emulators) == ["task.created", "story.created"]


async def test_two_organisations_never_share_a_task(asana: Asana) -> None:
    one = about()
    mine, theirs = (
        asana.plan(one.model_copy(update={"organization_id": name}))[0].object_id for name in ("lumen", "harbour")
    )
    assert mine != theirs


async def test_a_task_is_made_once_with_its_due_day(asana: Asana, emulators: Emulators) -> None:
    outcomes = [await asana.apply(chore(asana, due_on="2027-05-01")) for _ in range(2)]
    [task] = emulators.objects("asana", "tasks")
    assert (task["name"], task["notes"], task["due_on"]) == ("Call the caterer", "Before noon", "2027-05-01")
    assert ([one.replayed for one in outcomes], kinds(emulators)) == ([False, True], ["task.created"])


def test_a_target_may_name_the_task_that_takes_the_comments() -> None:
    connector = Asana(connection("asana", "http://127.0.0.1:9", TOKEN, projectGid=PROJECT))
    [step] = connector.plan(about(target={"settings": {"taskGid": "77"}}))
    assert (step.kind, step.object_id) == ("story.create", "77")


async def test_a_comment_whose_answer_was_dropped_is_found_among_more_than_a_page(
    asana: Asana, emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Asana, "manifest", replace(Asana.manifest, page_size=2))
    step = comment(asana)
    for number in range(4):
        await asana.apply(comment(asana, key=f"other-{number}"))
    assert await asana.find(step) is None
    emulators.fault("asana", "drop_after_effect", method="POST", path="stories", count=1)
    assert type(await failure(asana.apply(step))) is OutcomeUnknown
    found = await asana.find(step)
    assert found is not None
    assert found.remote_id == emulators.objects("asana", "stories")[-1]["gid"]


async def test_a_recalled_task_is_completed_and_says_so_however_often_it_is_recalled(
    asana: Asana, emulators: Emulators
) -> None:
    step = chore(asana)
    effect = standing(step, await asana.apply(step))
    for _ in range(2):
        await asana.retract(effect)
    [task] = emulators.objects("asana", "tasks")
    assert (task["completed"], task["name"]) == (True, "Withdrawn: Call the caterer")
    assert kinds(emulators) == ["task.created", "task.updated"]


async def test_a_recalled_comment_is_gone_however_often_it_is_recalled(asana: Asana, emulators: Emulators) -> None:
    [made] = await deliver(asana, about())
    for _ in range(2):
        await asana.retract(standing(comment(asana), made))
    assert emulators.objects("asana", "stories") == []


async def test_a_correction_rewrites_the_task(asana: Asana, emulators: Emulators) -> None:
    step = chore(asana)
    effect = standing(step, await asana.apply(step))
    await asana.correct(effect, step.model_copy(update={"payload": {**step.payload, "name": "Call the florist"}}))
    assert [task["name"] for task in emulators.objects("asana", "tasks")] == ["Call the florist"]


async def test_a_correction_rewrites_the_comment(asana: Asana, emulators: Emulators) -> None:
    [made] = await deliver(asana, about())
    await asana.correct(standing(comment(asana), made), comment(asana, title="Ceremony at 16:00"))
    assert [story["text"][:17] for story in emulators.objects("asana", "stories")] == ["Ceremony at 16:00"]


async def test_what_is_gone_cannot_be_corrected(asana: Asana) -> None:
    effect = standing(chore(asana), EffectOutcome(remote_id="99"))
    assert (await failure(asana.correct(effect, chore(asana)))).detail.code == "not_found"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"metadata": {"slot": 7}}, "metadata_invalid"),
        ({"target": {"settings": {"taskGid": "external:x/../1"}}}, "task_gid_invalid"),
        ({"rendered": Rendered(properties={"due_on": "soon"})}, "due_on_invalid"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_call(changed: dict[str, Any], code: str) -> None:
    connector = Asana(connection("asana", "http://127.0.0.1:9", TOKEN, projectGid=PROJECT))
    with pytest.raises(InvalidInput) as caught:
        connector.plan(delivery("asana", **{"metadata": {}, **changed}))
    assert caught.value.detail.code == code


async def test_the_probe_names_the_workspace(asana: Asana) -> None:
    found = await asana.probe()
    assert (found.ok, found.account) == (True, "1200000000000001")


async def test_a_project_that_is_not_there_is_not_connected(emulators: Emulators) -> None:
    connector = Asana(connection("asana", emulators.base_url("asana"), TOKEN, projectGid="77"))
    assert (await failure(connector.probe())).detail.code == "not_found"
    await connector.aclose()


@pytest.mark.parametrize("given", ["expired", "foreign"])
async def test_a_token_that_does_not_live_asks_for_a_new_connection(emulators: Emulators, given: str) -> None:
    token = emulators.grant("asana", lifetimeS=0)["accessToken"] if given == "expired" else "sandbox-other-token"
    connector = Asana(connection("asana", emulators.base_url("asana"), {"accessToken": token}, projectGid=PROJECT))
    assert type(await failure(connector.probe())) is AuthExpired
    await connector.aclose()


async def test_an_access_that_was_consented_to_is_renewed_and_opens_the_api(emulators: Emulators) -> None:
    root = emulators.base_url("asana")
    app = OAuthClient("sandbox-asana-client", SecretStr("sandbox-asana-secret"))
    profile = Asana.manifest.oauth
    assert profile is not None
    endpoint = TokenEndpoint(connection("asana", root, {}), profile, app)
    renewed = await endpoint.refresh(emulators.grant("asana")["refreshToken"])
    await endpoint.aclose()
    connector = Asana(connection("asana", root, {"accessToken": renewed.access_token}, projectGid=PROJECT))
    assert (await connector.probe()).ok
    assert renewed.life_s == profile.default_life_s
    await connector.aclose()


@pytest.mark.parametrize("fault", ["reset", "hang", "garbage", "html_login_page", "schema_drift"])
async def test_a_look_without_a_usable_answer_is_transient(asana: Asana, emulators: Emulators, fault: str) -> None:
    step = comment(asana)
    await asana.apply(step)
    emulators.fault("asana", fault, method="GET", count=1)
    asana._http._timeout_s = 0.5
    assert type(await failure(asana.find(step))) is Transient


async def test_every_request_was_admitted(emulators: Emulators) -> None:
    admission = Counting()
    given = connection("asana", emulators.base_url("asana"), TOKEN, projectGid=PROJECT)
    connector = Asana(replace(given, admission=admission))
    await connector.probe()
    for step in [*connector.plan(about()), chore(connector)]:
        made = await connector.apply(step)
        await connector.find(step)
        await connector.correct(standing(step, made), step)
        await connector.retract(standing(step, made))
    await connector.aclose()
    assert admission.calls == len(emulators.requests("asana")) > 10


async def test_every_request_is_one_the_vendor_describes(asana: Asana, emulators: Emulators, tmp_path: Path) -> None:
    packed = specs_dir("asana") / "asana_oas.yaml.gz"
    described = tmp_path / "asana.json"
    loaded = yaml.load(gzip.decompress(packed.read_bytes()), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    described.write_text(json.dumps(loaded, default=str))
    sent: list[SentRequest] = []

    async def record(request: httpx.Request) -> None:
        body = json.loads(request.content) if request.content else None
        path = request.url.path.partition("/api/1.0")[2]
        sent.append(SentRequest(request.method, path, parse_qs(request.url.query.decode()), body))

    asana._http._client.event_hooks["request"].append(record)
    await asana.probe()
    for step in [
        *asana.plan(about()),
        *asana.plan(about("2027-06-19", createdAt="2027-06-02T00:00:00Z")),
        chore(asana),
    ]:
        made = await asana.apply(step)
        await asana.find(step)
        if step.kind in asana.manifest.correctable:
            await asana.correct(standing(step, made), step)
            await asana.retract(standing(step, made))
    described_by = OpenApi(described, closed=False)
    problems = [(one.method, one.path, problem) for one in sent for problem in described_by.problems(one)]
    assert (len(sent) > 15, problems) == (True, [])


class TestAsana(DeliverySuite):
    """A task of its own, held to what every delivery promises."""

    connector_class = Asana
    credential = TOKEN
    settings = SETTINGS
    write_path = "tasks"
    created = "task.created"

    def delivery(self) -> Delivery:
        return about().model_copy(update={"intent": DeliveryIntent.TASK})
