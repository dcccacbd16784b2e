"""WhatsApp against its emulated number: templates, texts with buttons inside the window, and codes that decide."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from activities.connectors.communication.whatsapp.connector import WhatsApp
from activities.connectors.communication.whatsapp.refusals import code_of
from contracts.effects import EffectStep, Rendered
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, Permanent, RateLimited, WedSyncError
from tests.support.deliveries import connection, delivery
from tests.support.delivery_suite import DeliverySuite, raises_typed
from tests.support.emulators import Emulators
from tests.support.specs import specs_dir

EMULATED = ("whatsapp",)
CREDENTIAL = {"accessToken": "sandbox-whatsapp-token"}
NUMBER = {"phoneNumberId": "106540352242922"}
SETTINGS = {**NUMBER, "template": "wedding_update"}
COUPLE = "+447700900102"
TO_THE_COUPLE = {"recipients": [COUPLE]}
LATER, EARLIER = ((datetime(2027, 6, 1, 9, 30, tzinfo=UTC) + timedelta(hours=hours)).isoformat() for hours in (1, -1))


class TestATemplate(DeliverySuite):
    connector_class = WhatsApp
    credential = CREDENTIAL
    settings = SETTINGS
    target = TO_THE_COUPLE
    write_path = "messages"
    created = "message.sent"


@pytest.fixture
async def whatsapp(emulators: Emulators) -> AsyncIterator[WhatsApp]:
    connector = WhatsApp(connection("whatsapp", emulators.base_url("whatsapp"), CREDENTIAL, **SETTINGS))
    yield connector
    await connector.aclose()


def planned(**settings: Any) -> WhatsApp:
    return WhatsApp(connection("whatsapp", "http://127.0.0.1:9", CREDENTIAL, **{**NUMBER, **settings}))


def step_of(
    connector: WhatsApp, to: str = COUPLE, rendered: Rendered | None = None, given: Any = (), **settings: Any
) -> EffectStep:
    target = {"recipients": [to], "settings": settings}
    [step] = connector.plan(delivery("whatsapp", target=target, rendered=rendered, **dict(given)))
    return step


def message_of(step: EffectStep) -> dict[str, Any]:
    return step.payload["message"]  # type: ignore[return-value]


def act(emulators: Emulators, what: str, **given: Any) -> None:
    emulators._client.post(f"/_emulators/whatsapp/{what}", json=given).raise_for_status()


def test_a_message_carries_its_effect_id_for_the_status_webhooks() -> None:
    step = step_of(planned(template="wedding_update"))
    assert message_of(step)["biz_opaque_callback_data"] == step.effect_id
    assert COUPLE[1:] not in step.model_dump_json(exclude={"payload"})


def test_a_templates_parameter_is_one_line() -> None:
    step = step_of(planned(template="wedding_update"), rendered=Rendered(text="Moved\n to\t15:30.      See you"))
    [body] = message_of(step)["template"]["components"]
    assert body["parameters"] == [{"type": "text", "text": "Moved to 15:30. See you"}]


def test_rendered_properties_are_the_parameters_in_their_order() -> None:
    rendered = Rendered(properties={"1": "Anna", "2": "15:30", "venue": "Orangery"})
    [body] = message_of(step_of(planned(template="t"), rendered=rendered))["template"]["components"]
    assert [(one["text"], one.get("parameter_name")) for one in body["parameters"]] == [
        ("Anna", None),
        ("15:30", None),
        ("Orangery", "venue"),
    ]


@pytest.mark.parametrize(("until", "kind"), [(None, "template"), (EARLIER, "template"), (LATER, "interactive")])
def test_text_is_for_an_open_window_and_a_template_for_all_else(until: str | None, kind: str) -> None:
    settings = {"serviceWindowUntil": until} if until else {}
    assert message_of(step_of(planned(template="wedding_update"), **settings))["type"] == kind


@pytest.mark.parametrize(
    ("settings", "given", "code"),
    [
        ({}, {}, "template_missing"),
        ({"serviceWindowUntil": "tomorrow"}, {}, "service_window"),
        ({"serviceWindowUntil": "2027-06-12T10:00:00"}, {}, "service_window"),
        (
            {"serviceWindowUntil": LATER},
            {"actions": [{"actionId": f"a{n}", "label": f"Answer {n}", "type": "choose"} for n in range(4)]},
            "too_many_actions",
        ),
        (
            {"serviceWindowUntil": LATER},
            {"actions": [{"actionId": f"a{n}", "label": "Yes", "type": "choose"} for n in range(2)]},
            "action_titles",
        ),
    ],
)
def test_what_a_delivery_lacks_is_told_before_anything_is_sent(
    settings: dict[str, Any], given: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        step_of(planned(), given=given, **settings)
    assert caught.value.detail.code == code


def test_buttons_fit_the_vendors_limits_and_say_what_they_answer() -> None:
    actions = [{"actionId": "a" * 64, "label": "I confirm that I have read this", "type": "acknowledge"}]
    given = {"actions": actions, "notificationId": "n" * 64}
    step = step_of(planned(), given=given, rendered=Rendered(text="word " * 700), serviceWindowUntil=LATER)
    interactive = message_of(step)["interactive"]
    [button] = interactive["action"]["buttons"]
    assert len(interactive["body"]["text"]) <= 1_024
    assert len(button["reply"]["title"]) <= 20
    assert len(button["reply"]["id"]) <= 256
    assert json.loads(button["reply"]["id"]) == {
        "actionId": "a" * 64,
        "notificationId": "n" * 64,
        "effectId": step.effect_id,
    }


def test_a_text_without_actions_is_a_text() -> None:
    message = message_of(step_of(planned(), given={"actions": []}, serviceWindowUntil=LATER))
    assert message["type"] == "text"
    assert message["text"]["body"].startswith("Ceremony moved to 15:30")


@pytest.mark.parametrize(
    ("template", "settings"),
    [
        ("wedding_update", {}),
        ("wedding_update_buttons", {"quickReplies": True}),
        ("", {"serviceWindowUntil": LATER}),
    ],
)
def test_every_message_is_one_the_vendor_describes(template: str, settings: dict[str, Any]) -> None:
    path = specs_dir("whatsapp") / "business-messaging-api_v23.0.yaml.gz"
    described = yaml.safe_load(gzip.decompress(path.read_bytes()))
    message = dict(message_of(step_of(planned(template=template), **settings)))
    message.pop("biz_opaque_callback_data")  # described in the vendor's guides, and not in this file
    names = {"template": "TemplateMessage", "interactive": "InteractiveMessage"}
    # The description closes the parts of a message against each other, which no message could then fulfil.
    parts = described["components"]["schemas"][names[message["type"]]]["allOf"]
    parts[1].pop("additionalProperties", None)
    # Its pattern of a button's index refuses its own example.
    for name in ("TemplateComponent", "ButtonComponent"):
        _without_index_pattern(described["components"]["schemas"][name])
    schema = {"allOf": parts, "components": described["components"]}
    assert [error.message for error in Draft202012Validator(schema).iter_errors(message)] == []


def _without_index_pattern(schema: dict[str, Any]) -> None:
    for part in (schema, *schema.get("allOf", [])):
        part.get("properties", {}).get("index", {}).pop("pattern", None)


async def test_a_template_with_quick_replies_is_sent_with_an_answer_for_each(
    whatsapp: WhatsApp, emulators: Emulators
) -> None:
    await whatsapp.apply(step_of(whatsapp, template="wedding_update_buttons", quickReplies=True))
    [sent] = emulators.effects("whatsapp")
    assert len(sent["body"]["template"]["components"]) == 3


async def test_a_text_arrives_where_the_recipient_has_written_today(whatsapp: WhatsApp, emulators: Emulators) -> None:
    step = step_of(whatsapp, serviceWindowUntil=LATER)
    with raises_typed() as found:
        await whatsapp.apply(step)
    assert (type(found[0]), found[0].detail.code) == (Permanent, "template_required")
    act(emulators, "replies", **{"from": COUPLE, "body": "When do we start?"})
    await whatsapp.apply(step)
    assert [one["body"]["type"] for one in emulators.effects("whatsapp")] == ["interactive"]


@pytest.mark.parametrize(
    ("to", "settings", "code"),
    [
        ("+15005550001", {}, "recipient_unreachable"),
        (COUPLE, {"template": "never_approved"}, "template_refused"),
        (COUPLE, {"template": "wedding_paused"}, "template_refused"),
        (COUPLE, {"language": "fr"}, "template_refused"),
        (COUPLE, {"quickReplies": True}, "template_refused"),
    ],
)
async def test_each_refusal_says_what_the_tenant_can_do(
    whatsapp: WhatsApp, to: str, settings: dict[str, Any], code: str
) -> None:
    with raises_typed() as found:
        await whatsapp.apply(step_of(whatsapp, to, **settings))
    assert (type(found[0]), found[0].detail.code, found[0].detail.owner) == (Permanent, code, "tenant")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 190, AuthExpired),
        (401, 0, AuthExpired),
        (400, 130429, RateLimited),
        (400, 131056, RateLimited),
        (403, 80007, RateLimited),
        (400, 4, RateLimited),
        (400, 10, Permanent),
        (403, 200, Permanent),
        (400, 100, Permanent),
        (400, 131048, Permanent),
        (400, 131031, Permanent),
        (400, 999999, Permanent),
        (500, 131000, OutcomeUnknown),
        (503, 131016, OutcomeUnknown),
    ],
)
async def test_the_vendors_code_decides_and_not_the_status(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch, status: int, code: int, kind: type[WedSyncError]
) -> None:
    connector = WhatsApp(connection("whatsapp", emulators.base_url("whatsapp"), CREDENTIAL, **SETTINGS))
    monkeypatch.setattr(connector._http, "_error_word", lambda _body: str(code))
    emulators.fault("whatsapp", "status", status=status)
    with raises_typed() as found:
        await connector.apply(step_of(connector))
    assert type(found[0]) is kind
    await connector.aclose()


@pytest.mark.parametrize("body", [None, [], {}, {"error": None}, {"error": {"code": "190"}}, {"error": {}}])
def test_a_body_without_a_code_has_none(body: Any) -> None:
    assert code_of(body) == ""


async def test_the_probe_tells_the_numbers_quality(whatsapp: WhatsApp) -> None:
    probe = await whatsapp.probe()
    assert (probe.account, probe.features) == ("106540352242922", ["quality_green"])
