"""Slack against its emulated workspace: one message with its buttons, looks before repeats, and the error words."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from activities.connectors.communication.slack.connector import Slack
from contracts.effects import EffectStep, Rendered
from contracts.errors import AuthExpired, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from tests.support.deliveries import PRIVATE_WORDS, connection, delivery, standing
from tests.support.emulators import Emulators
from tests.support.specs import specs_dir

TOKEN = {"botToken": "sandbox-slack-token", "signingSecret": "sandbox-slack-signing-secret"}
WORDS = Rendered(
    text="*Ceremony moved to 15:30*\nThe ceremony now starts at 15:30 in the Orangery.\nWedding: 2027-06-12"
)


@pytest.fixture
async def slack(emulators: Emulators) -> AsyncIterator[Slack]:
    connector = Slack(connection("slack", emulators.base_url("slack"), TOKEN))
    yield connector
    await connector.aclose()


def step_for(connector: Slack, channel: str = "C0WEDDINGS") -> EffectStep:
    """The example's step; its instant lies at the emulator's beginning of time."""
    target = {"channels": [{"channelId": channel, "messageStyle": "detailed"}]}
    [step] = connector.plan(delivery("slack", target=target, rendered=WORDS))
    return step.model_copy(update={"payload": {**step.payload, "oldest": "0.000000"}})


def impatient(connector: Slack) -> Slack:
    """The connector with a total deadline of half a second."""
    connector._web()
    connector._session._timeout = aiohttp.ClientTimeout(total=0.5)  # type: ignore[union-attr]
    return connector


async def failure(call: Callable[[EffectStep], Any], step: EffectStep) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        await call(step)
    told = caught.value.detail.model_dump_json() + str(caught.value)
    assert not [word for word in PRIVATE_WORDS if word in told]
    return caught.value


async def test_the_example_is_one_message_with_its_buttons(slack: Slack, emulators: Emulators) -> None:
    outcome = await slack.apply(step_for(slack))
    [effect] = emulators.effects("slack")
    actions = [block for block in effect["body"]["blocks"] if block["type"] == "actions"]
    assert (effect["kind"], effect["objectId"]) == ("message.posted", f"C0WEDDINGS:{outcome.remote_id}")
    assert effect["body"]["text"] == WORDS.text
    assert [button["action_id"] for button in actions[0]["elements"]] == ["wedding_action_ack", "wedding_action_call"]


async def test_a_message_that_stands_is_found_by_its_effect_id(slack: Slack) -> None:
    step = step_for(slack)
    outcome = await slack.apply(step)
    found = await slack.find(step)
    assert found is not None
    assert (found.remote_id, found.replayed) == (outcome.remote_id, True)


async def test_a_message_whose_answer_was_dropped_is_found_and_not_repeated(slack: Slack, emulators: Emulators) -> None:
    emulators.fault("slack", "drop_after_effect", path="chat.postMessage", count=1)
    step = step_for(slack)
    assert type(await failure(slack.apply, step)) is OutcomeUnknown
    assert await slack.find(step) is not None
    assert len(emulators.effects("slack")) == 1


async def test_a_message_that_was_never_sent_is_not_found(slack: Slack) -> None:
    await slack.apply(step_for(slack, "C0BOOKINGS"))
    assert await slack.find(step_for(slack)) is None


async def test_a_message_is_found_behind_newer_pages(slack: Slack, monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_for(slack)
    await slack.apply(step)
    for _ in range(4):
        await slack._web().chat_postMessage(channel="C0WEDDINGS", text="later")
    monkeypatch.setattr(Slack, "manifest", replace(Slack.manifest, page_size=2))
    assert await slack.find(step) is not None


@pytest.mark.parametrize(("channel", "code"), [("C0PRIVATE", "missing_permission"), ("C0NOWHERE", "not_found")])
async def test_a_channel_that_cannot_be_written_is_the_tenant_s(slack: Slack, channel: str, code: str) -> None:
    found = await failure(slack.apply, step_for(slack, channel))
    assert (type(found), found.detail.code, found.detail.owner) == (Permanent, code, "tenant")


@pytest.mark.parametrize("fault", ["expire_token", "revoke_token"])
async def test_a_dead_token_asks_for_a_new_connection(slack: Slack, emulators: Emulators, fault: str) -> None:
    emulators.fault("slack", fault)
    assert type(await failure(slack.apply, step_for(slack))) is AuthExpired


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthExpired), (403, Permanent), (404, Permanent), (500, OutcomeUnknown), (503, OutcomeUnknown)],
)
async def test_each_refused_post_becomes_the_error_that_recovers(
    slack: Slack, emulators: Emulators, status: int, kind: type[WedSyncError]
) -> None:
    emulators.fault("slack", "status", path="chat.postMessage", status=status)
    assert type(await failure(slack.apply, step_for(slack))) is kind


async def test_the_wait_the_vendor_asks_for_is_kept(slack: Slack, emulators: Emulators) -> None:
    emulators.fault("slack", "rate_limit", retryAfter=7)
    found = await failure(slack.apply, step_for(slack))
    assert (type(found), found.detail.retry_after_s) == (RateLimited, 7)


@pytest.mark.parametrize("fault", ["reset", "hang", "garbage", "truncate", "html_login_page"])
async def test_a_post_without_a_usable_answer_is_unknown(slack: Slack, emulators: Emulators, fault: str) -> None:
    emulators.fault("slack", fault, path="chat.postMessage", count=1)
    assert type(await failure(impatient(slack).apply, step_for(slack))) is OutcomeUnknown


@pytest.mark.parametrize("fault", ["hang", "garbage", "html_login_page"])
async def test_a_look_without_a_usable_answer_is_transient(slack: Slack, emulators: Emulators, fault: str) -> None:
    emulators.fault("slack", fault, path="conversations.history", count=1)
    assert type(await failure(impatient(slack).find, step_for(slack))) is Transient


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("invalid_auth", AuthExpired),
        ("account_inactive", AuthExpired),
        ("missing_scope", Permanent),
        ("msg_too_long", Permanent),
        ("a_word_of_next_year", Permanent),
        ("ratelimited", RateLimited),
        ("service_unavailable", Transient),
        ("internal_error", OutcomeUnknown),
        ("fatal_error", OutcomeUnknown),
        ("Anna Fisher is away", OutcomeUnknown),
    ],
)
async def test_each_error_word_inside_a_200_becomes_the_error_that_recovers(
    slack: Slack, monkeypatch: pytest.MonkeyPatch, word: str, kind: type[WedSyncError]
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        answer = AsyncSlackResponse(
            client=None, http_verb="POST", api_url="", req_args={}, data={"ok": False, "error": word}, headers={},
            status_code=200,
        )  # fmt: skip
        raise SlackApiError("refused", answer)

    monkeypatch.setattr(slack._web(), "api_call", refuse)
    assert type(await failure(slack.apply, step_for(slack))) is kind


async def test_a_server_that_is_not_there_may_be_tried_again() -> None:
    nobody = Slack(connection("slack", "http://127.0.0.1:9", TOKEN))
    found = await failure(nobody.apply, step_for(nobody))
    assert (type(found), found.detail.code) == (Transient, "vendor_unreachable")
    await nobody.aclose()


async def test_the_probe_names_team_and_scopes(slack: Slack) -> None:
    found = await slack.probe()
    assert (found.ok, found.account) == (True, "T0LUMEN01")
    assert {"chat:write", "channels:history"} <= set(found.scopes)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    connector = Slack(connection("slack", "http://127.0.0.1:9", TOKEN))
    assert connector._web().proxy is None
    await connector.aclose()


async def test_every_argument_is_one_the_vendor_describes(slack: Slack) -> None:
    with gzip.open(specs_dir("slack") / "slack_web_openapi_v2.json.gz") as packed:
        described = json.load(packed)["paths"]
    sent: list[tuple[str, set[str]]] = []
    send = slack._web().api_call

    async def record(method: str, **options: Any) -> Any:
        sent.append((method, set(options.get("json") or options["params"])))
        return await send(method, **options)

    slack._web().api_call = record  # type: ignore[method-assign]
    step = step_for(slack)
    effect = standing(step, await slack.apply(step))
    await slack.correct(effect, step)
    await slack.retract(effect)
    # The description of 2021 predates message metadata, https://docs.slack.dev/messaging/message-metadata
    found = {
        method: names - {one["name"] for one in described[f"/{method}"]["post"]["parameters"]} for method, names in sent
    }
    assert found == {"chat.postMessage": {"metadata"}, "chat.update": {"metadata"}, "chat.delete": set()}
