"""One effect per delivery, whatever happens on the way: the verbs, the ledger and the connectors over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.connectors.registry import connector_class
from contracts.effects import Delivery, EffectOutcome, EffectStep
from contracts.errors import AuthExpired, Permanent, Transient
from tests.support import hubspot_account
from tests.support.deliveries import delivery
from tests.support.desk import ORGANIZATION, Desk, open_desk
from tests.support.emulators import Emulators

EMULATED = ("hubspot", "slack", "smtp", "tave")
DEADLINE_S = 1.0
ATTEMPTS = 30


@dataclass(frozen=True)
class Sent:
    """What is delivered, the call that does it, and the effect the vendor enters for it."""

    about: Delivery
    kind: str
    call: dict[str, str]
    effect: str

    @property
    def system(self) -> str:
        return self.about.target.system_type

    def __str__(self) -> str:
        return f"{self.system} {self.kind}"


# The stand-ins' records bear the time of this machine.
_EARLY = {"occurred_at": datetime(2020, 1, 1, tzinfo=UTC)}
SENT = [
    Sent(
        delivery("slack").model_copy(update=_EARLY),
        "message.post",
        {"method": "POST", "path": "chat.postMessage"},
        "message.posted",
    ),
    Sent(hubspot_account.delivery(), "note.create", {"method": "POST", "path": "objects/notes$"}, "note.created"),
    Sent(
        hubspot_account.delivery(),
        "contact.update",
        {"method": "PATCH", "path": "objects/contacts/"},
        "contact.updated",
    ),
    Sent(delivery("tave", type="client_message"), "note.create", {"method": "POST", "path": "note"}, "note.created"),
    Sent(delivery("tave"), "event.update", {"method": "PUT", "path": "event/"}, "event.updated"),
]
each = pytest.mark.parametrize("sent", SENT, ids=str)


@pytest.fixture
async def desk(emulators: Emulators, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    place = emulators.details("smtp")

    def base_url(system: str) -> str:
        return f"smtp://{place['host']}:{place['port']}" if system == "email" else emulators.base_url(system)

    async with open_desk(tmp_path, base_url) as opened:
        for system in ("email", "hubspot", "slack", "tave"):
            await opened.connect(system)
        if not emulators.restore("hubspot"):
            await (await opened.connector("hubspot")).provision()
            emulators.snapshot("hubspot")
            emulators.restore("hubspot")
        yield opened


async def step_of(desk: Desk, sent: Sent) -> EffectStep:
    return next(step for step in await desk.planned(sent.about) if step.kind == sent.kind)


async def attempt(desk: Desk, step: EffectStep) -> EffectOutcome:
    """Try once, as a worker does."""
    outcome: EffectOutcome = await ActivityEnvironment().run(desk.notify.apply_effect, step)
    return outcome


async def delivered(desk: Desk, step: EffectStep) -> EffectOutcome:
    """Try as Temporal does: again after what passes by itself, and not after anything else."""
    for _ in range(ATTEMPTS):
        try:
            return await attempt(desk, step)
        except Transient:
            continue
    message = f"{step.system} {step.kind} was not delivered in {ATTEMPTS} attempts"
    raise AssertionError(message)


async def stands_once(desk: Desk, emulators: Emulators, sent: Sent, step: EffectStep) -> None:
    """Deliver to the end, and compare what the vendor and the ledger hold."""
    outcome = await delivered(desk, step)
    assert [one["kind"] for one in emulators.effects(sent.system)] == [sent.effect]
    assert (await desk.standing(step)).remote_id == outcome.remote_id


async def unfinished(desk: Desk, emulators: Emulators, sent: Sent, fault: str, **rule: Any) -> EffectStep:
    """Return a step whose first attempt met a fault, and is not taken for a success."""
    step = await step_of(desk, sent)
    emulators.fault(sent.system, fault, **sent.call, count=1, **rule)
    with pytest.raises(Transient):
        await attempt(desk, step)
    entry = await desk.ledger.entry(ORGANIZATION, step.effect_id)
    assert entry is not None
    assert entry.standing is None
    return step


@each
async def test_f21_an_answer_that_is_lost_after_the_effect_doubles_nothing(
    desk: Desk, emulators: Emulators, sent: Sent
) -> None:
    step = await unfinished(desk, emulators, sent, "drop_after_effect")
    await stands_once(desk, emulators, sent, step)


@each
@pytest.mark.parametrize("fault", ["reset", "truncate"])
async def test_f22_a_connection_that_breaks_in_a_request_or_an_answer_doubles_nothing(
    desk: Desk, emulators: Emulators, sent: Sent, fault: str
) -> None:
    step = await unfinished(desk, emulators, sent, fault)
    await stands_once(desk, emulators, sent, step)


@each
async def test_f23_an_answer_that_drips_ends_at_the_total_deadline_and_doubles_nothing(
    desk: Desk, emulators: Emulators, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = connector_class(sent.system)
    monkeypatch.setattr(connector, "manifest", replace(connector.manifest, timeout_s=DEADLINE_S))
    await desk.connect(sent.system)
    step = await unfinished(desk, emulators, sent, "slow_body", delayS=3_000)
    await stands_once(desk, emulators, sent, step)


@each
async def test_f24_an_answer_that_is_no_json_is_no_answer(desk: Desk, emulators: Emulators, sent: Sent) -> None:
    step = await unfinished(desk, emulators, sent, "garbage")
    await stands_once(desk, emulators, sent, step)


@each
async def test_f25_a_login_page_is_no_success(desk: Desk, emulators: Emulators, sent: Sent) -> None:
    step = await unfinished(desk, emulators, sent, "html_login_page")
    assert emulators.effects(sent.system) == []
    await stands_once(desk, emulators, sent, step)


async def test_f26_a_refusal_inside_a_success_is_a_refusal(desk: Desk, emulators: Emulators) -> None:
    sent = SENT[0]
    step = await step_of(desk, sent)
    emulators.fault("slack", "revoke_token", count=1)
    with pytest.raises(AuthExpired):
        await attempt(desk, step)
    assert {one["status"] for one in emulators.requests("slack")} == {200}
    assert await desk.ledger.entry(ORGANIZATION, step.effect_id) is None
    await stands_once(desk, emulators, sent, step)


async def mail(desk: Desk) -> EffectStep:
    [step] = await desk.planned(delivery("email", target={"recipients": ["anna@fisher.example"]}))
    return step


async def test_f21_a_mail_whose_answer_is_lost_is_never_sent_again(desk: Desk, emulators: Emulators) -> None:
    step = await mail(desk)
    emulators.fault("smtp", "drop_after_effect", count=1)
    with pytest.raises(Permanent) as caught:
        await delivered(desk, step)
    assert caught.value.detail.code == "outcome_unknown"
    assert len(emulators.effects("smtp")) == 1


async def test_f22_a_mail_whose_connection_breaks_before_its_end_is_sent_once(desk: Desk, emulators: Emulators) -> None:
    step = await mail(desk)
    emulators.fault("smtp", "reset", path="rcpt", count=1)
    await delivered(desk, step)
    assert len(emulators.effects("smtp")) == 1
