"""What Slack is shown: text, facts and buttons in one message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.connectors.communication.slack.connector import Slack
from activities.connectors.communication.slack.words import escaped, message_of
from contracts.effects import EffectStep, Rendered
from contracts.errors import InvalidInput
from tests.support.deliveries import connection, delivery

SLACK = Slack(connection("slack", "https://slack.com", {"botToken": "sandbox-slack-token"}))
ACTION = {"actionId": "plan", "label": "Open the plan", "type": "link", "style": "danger"}


def channels(style: str = "detailed", *ids: str) -> dict[str, Any]:
    """A target's channels."""
    return {"channels": [{"channelId": one, "messageStyle": style} for one in ids or ("C0WEDDINGS",)]}


def message(style: str = "detailed", rendered: Rendered | None = None, **notification: Any) -> dict[str, Any]:
    """The message planned for one channel."""
    [step] = SLACK.plan(delivery("slack", target=channels(style), rendered=rendered, **notification))
    return step.payload["message"]  # type: ignore[return-value]


def buttons(**notification: Any) -> list[dict[str, Any]]:
    """The buttons of the message."""
    return next(block for block in message(**notification)["blocks"] if block["type"] == "actions")["elements"]


def test_one_message_carries_the_text_and_every_button() -> None:
    assert [block["type"] for block in message()["blocks"]] == ["section", "section", "actions"]


def test_the_template_s_words_are_the_text() -> None:
    assert message(rendered=Rendered(text="*Moved*\nto 15:30"))["text"] == "*Moved*\nto 15:30"


def test_without_a_template_title_and_message_are_the_text() -> None:
    assert message()["text"] == "*Ceremony moved to 15:30*\nThe ceremony now starts at 15:30 in the Orangery."


def test_the_detailed_style_shows_date_venue_and_priority() -> None:
    fields = [field["text"] for field in message()["blocks"][1]["fields"]]
    assert fields == ["*Wedding date*\n2027-06-12", "*Venue*\nHartwell House", "*Priority*\nhigh"]


def test_the_compact_style_shows_words_and_buttons_only() -> None:
    assert [block["type"] for block in message("compact")["blocks"]] == ["section", "actions"]


def test_a_button_says_which_action_of_which_notification_it_is() -> None:
    first = buttons()[0]
    assert first["action_id"] == "wedding_action_ack"
    assert json.loads(first["value"]) == {
        "actionId": "ack",
        "notificationId": "notif-0001",
        "actionType": "acknowledge",
    }


@pytest.mark.parametrize(
    ("style", "shown"), [("primary", "primary"), ("danger", "danger"), ("default", None), ("pink", None)]
)
def test_only_the_styles_slack_knows_are_sent(style: str, shown: str | None) -> None:
    assert buttons(actions=[{**ACTION, "style": style}])[0].get("style") == shown


def test_a_link_with_an_address_opens_it() -> None:
    url = "https://app.example.com/plan"
    assert buttons(actions=[{**ACTION, "url": url}])[0]["url"] == url


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://example.com", "example.com"])
def test_a_link_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        message(actions=[{**ACTION, "url": url}])


def test_two_actions_of_one_id_are_refused() -> None:
    with pytest.raises(InvalidInput):
        message(actions=[ACTION, ACTION])


def test_a_target_without_channels_is_refused() -> None:
    with pytest.raises(InvalidInput):
        SLACK.plan(delivery("slack", target={"channels": []}))


def test_each_channel_has_its_own_effect() -> None:
    steps = SLACK.plan(delivery("slack", target=channels("detailed", "C1", "C2", "C1")))
    assert [step.object_id for step in steps] == ["C1", "C2"]
    assert len({step.effect_id for step in steps}) == 2


def test_planning_twice_plans_the_same() -> None:
    def plan() -> list[EffectStep]:
        return SLACK.plan(delivery("slack"))

    assert plan() == plan()


def test_the_message_carries_its_effect_id() -> None:
    [step] = SLACK.plan(delivery("slack"))
    metadata = step.payload["message"]["metadata"]  # type: ignore[index,call-overload]
    assert metadata == {"event_type": "wedsync_notification", "event_payload": {"effectId": step.effect_id}}


def test_a_name_cannot_mention_the_whole_channel() -> None:
    assert "<!channel>" not in json.dumps(message(message="<!channel> & <https://evil.example|here>"))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_escaping_keeps_every_character_readable(text: str) -> None:
    shown = escaped(text)
    assert not set("<>") & set(shown)
    assert shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == text


@given(st.text(alphabet="ab&<\n ", min_size=1, max_size=40), st.integers(1, 90))
def test_no_section_is_longer_than_slack_takes_and_no_entity_is_cut(piece: str, times: int) -> None:
    text = piece * times
    given_delivery = delivery("slack", rendered=Rendered(text=text))
    sent = message_of(given_delivery, given_delivery.target.channels[0])
    pieces = [block["text"]["text"] for block in sent["blocks"] if "text" in block]  # type: ignore[index,union-attr,call-overload,operator]
    assert all(0 < len(one) <= 3_000 for one in pieces)
    whole = "".join(pieces).replace("\n", "").strip()
    assert whole == escaped(text).replace("\n", "").strip()
    assert all(one.count("&") == one.count("&amp;") + one.count("&lt;") for one in pieces)
