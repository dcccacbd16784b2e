"""The scenario of lightning near a wedding: a dead channel, a level that nobody answers, and one who has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from contracts.actions import ActionAnswer, ActionTaken
from contracts.emergency import EmergencyAlert, EmergencyResult
from contracts.integration import IntegrationConfiguration
from starters.demo.stage import Check, Stage, example
from starters.runs import Run

_PLANNER, _VENUE = "+447700900101", "+447700900102"
_SYSTEMS = ("slack", "twilio", "pagerduty")
_ALERT = "demo-lightning"
_FIRST_LEVEL_S, _SECOND_LEVEL_S = 8, 60
_AFTERWARDS_S = 4.0


async def emergency(stage: Stage) -> list[Check]:
    """Lightning near a wedding: Slack is down, nobody answers the first level, the planner presses a digit."""
    for name in _SYSTEMS:
        configuration = example(f"integration-{name}") | {"integrationId": f"{name}-main"}
        await stage.wedsync.integrations.connect(IntegrationConfiguration.model_validate(configuration))
    since = {name: await stage.vendors.last_effect(name) for name in _SYSTEMS}
    await stage.vendors.fault("slack", kind="status", status=503, path="/chat.postMessage/", count=1_000)
    run = await stage.wedsync.emergencies.start(EmergencyAlert.model_validate(_alert()))
    await _until(lambda: _posted(stage, "twilio", since["twilio"], 1))
    first = dict(await stage.vendors.effects("twilio", since["twilio"]))
    await stage.vendors.no_faults("slack")
    await _until(lambda: _posted(stage, "slack", since["slack"], 1))
    await _until(lambda: _posted(stage, "twilio", since["twilio"], 3))
    second = dict(await stage.vendors.effects("twilio", since["twilio"]))
    pressed = await _press(run)
    result = await run.result()
    ended = {name: await stage.vendors.last_effect(name) for name in _SYSTEMS}
    await asyncio.sleep(_AFTERWARDS_S)
    later = {name: await stage.vendors.last_effect(name) for name in _SYSTEMS}
    chat = [one for one in await stage.vendors.objects("slack", "messages") if one["text"].find("Lightning") >= 0]
    calls = await stage.vendors.objects("twilio", "calls")
    texts = await stage.vendors.objects("twilio", "messages")
    incident = (await stage.vendors.objects("pagerduty", "alerts"))[-1]
    reached = {one.system_id: one for one in result.deliveries}
    return [
        Check("while Slack is down: text messages", {"message.created": 1}, first),
        Check("the text message stood in for", "ops", reached["sms-planner"].in_place_of),
        Check(
            "the first channel was reached before the second level",
            expected=True,
            found=_before(result, "sms-planner", "oncall"),
        ),
        Check("nobody answered: texts and calls of both levels", {"message.created": 2, "call.created": 1}, second),
        Check("the planner's digit", (True, "acknowledged", "call-planner"), (pressed, *_who(result))),
        Check("the call stops ringing", ["canceled"], [one["status"] for one in calls]),
        Check("PagerDuty shows", "acknowledged", incident["status"]),
        Check("Slack's one message reads", (1, True), (len(chat), "Acknowledged by call-planner" in chat[0]["text"])),
        Check("texts to the planner and to the venue", [2, 2], [_to(texts, one) for one in (_PLANNER, _VENUE)]),
        Check("effects after the end", 0, sum(later.values()) - sum(ended.values())),
    ]


def _alert() -> dict[str, Any]:
    given = example("emergency-alert")
    chat, (sms, oncall) = given["escalation"][0]["targets"][0], given["escalation"][1]["targets"]
    venue = {**sms, "systemId": "sms-venue", "recipients": [_VENUE]}
    call = {**sms, "systemId": "call-planner", "settings": {"channel": "voice"}}
    return {
        **given,
        "alertId": _ALERT,
        "notification": {**given["notification"], "notificationId": _ALERT},
        "escalation": [
            {"level": 1, "ackWithin": f"PT{_FIRST_LEVEL_S}S", "targets": [chat]},
            {"level": 2, "ackWithin": f"PT{_SECOND_LEVEL_S}S", "targets": [sms, venue, oncall, call]},
        ],
    }


async def _press(run: Run[EmergencyResult]) -> bool:
    """Answer as the door of inbound calls does when a digit is pressed."""
    action = ActionTaken(
        event_id="demo-digit",
        action_id="ack",
        action_type="acknowledge",
        notification_id=_ALERT,
        system="twilio",
        integration_id="twilio-main",
        actor_id="call-planner",
        occurred_at=datetime.now(UTC),
    )
    answer: ActionAnswer = await run.handle.execute_update("take_action", action, result_type=ActionAnswer)
    return answer.accepted


def _who(result: EmergencyResult) -> tuple[str, str | None]:
    return result.outcome.value, result.acknowledged_by


def _before(result: EmergencyResult, first: str, second: str) -> bool:
    at = {one.system_id: one.delivered_at for one in result.deliveries if one.delivered_at is not None}
    return first in at and second in at and at[first] < at[second]


def _to(texts: list[dict[str, Any]], number: str) -> int:
    return sum(one["to"] == number and one["direction"].startswith("outbound") for one in texts)


async def _posted(stage: Stage, system: str, since: int, count: int) -> bool:
    return (await stage.vendors.effects(system, since)).total() >= count


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await holds():
            return
        await asyncio.sleep(0.2)
