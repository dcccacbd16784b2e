"""Receipts at the door: which effect they are about, and whom they concern."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from activities.security.envelope import MasterKey
from activities.security.signatures import SignedRequest
from activities.storage.connections import StoredConnection
from activities.storage.database import Database, metadata
from activities.storage.ledger import EffectLedger
from activities.storage.states import StateStore
from contracts.effects import EffectStep, StandingEffect
from contracts.integration import ConnectionConfiguration, CredentialRef, IntegrationConfiguration, IntegrationState
from starters.hooks import Hooks

MINE, THEIRS = "lumen-studios", "harbour-weddings"
TOKEN, SID = "sandbox-twilio-auth-token", "SM" + "5a" * 16
EFFECT = "ab" * 16


class Door:
    """A door of two organisations, each with a Twilio account of the same secret, over a real ledger."""

    def __init__(self, database: Database) -> None:
        self.ledger = EffectLedger(database)
        self.told: list[tuple[str, StandingEffect]] = []
        parts: Any = self
        self.hooks = Hooks(
            parts, parts, parts, self.ledger, StateStore(database), parts, lambda: MasterKey(bytes(32)), self._unwanted
        )

    async def get(self, owner: Any, integration_id: str = "") -> Any:
        """Return a credential by its reference, or a connection by its owner and id."""
        if isinstance(owner, CredentialRef):
            return {"authToken": SecretStr(TOKEN)}
        ref = CredentialRef(organization_id=owner, integration_id=integration_id, version=1)
        configuration = IntegrationConfiguration(
            organization_id=owner,
            integration_id=integration_id,
            platform="twilio",
            connection_config=ConnectionConfiguration(credential_ref=ref),
        )
        return StoredConnection(configuration, IntegrationState.ACTIVE, 1, datetime.now(UTC), None, None, None)

    async def delivered(self, effect: StandingEffect, _at: datetime) -> None:
        self.told.append(("delivered", effect))

    async def not_delivered(self, effect: StandingEffect, error: Any, _at: datetime) -> None:
        self.told.append((error.code, effect))

    async def _unwanted(self, _sync: object) -> None:
        """Nothing stands at another system."""

    async def sent(self, *, acknowledged: bool) -> None:
        """Have a message sent, whose answer was written down or not."""
        step = EffectStep(
            effect_id=EFFECT,
            organization_id=MINE,
            integration_id="twilio-main",
            system="twilio",
            kind="message.create",
            notification_id="n-1",
        )
        await self.ledger.claim(step, "route-notification/lumen-studios/r-1/run", timedelta(minutes=2))
        if acknowledged:
            await self.ledger.receipt(step, SID)

    async def receives(self, owner: str = MINE, **form: str) -> list[tuple[str, str]]:
        """Take a status of the message at an organisation's door; return what was passed on."""
        url = f"https://hooks.example.com/v1/hooks/twilio/t?effect={EFFECT}"
        form = {"MessageSid": SID, **form}
        plain = url + "".join(f"{name}{value}" for name, value in sorted(form.items()))
        signature = base64.b64encode(hmac.new(TOKEN.encode(), plain.encode(), hashlib.sha1).digest()).decode()
        body = "&".join(f"{name}={value}" for name, value in form.items()).encode()
        headers = {"x-twilio-signature": signature, "content-type": "application/x-www-form-urlencoded"}
        request = SignedRequest("POST", url, headers, body)
        await self.hooks.receive("twilio", self.hooks.token(owner, "twilio-main"), request)
        return [(code, effect.effect_id) for code, effect in self.told]


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    database = Database(f"sqlite:///{tmp_path}/door.db")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield Door(database)
    await database.aclose()


@pytest.mark.parametrize("acknowledged", [True, False], ids=["acknowledged", "answer not written down yet"])
async def test_a_message_that_was_not_delivered_is_told_with_the_vendors_reason(door: Door, *, acknowledged: bool):
    await door.sent(acknowledged=acknowledged)
    assert await door.receives(MessageStatus="undelivered", ErrorCode="30003") == [("not_delivered", EFFECT)]
    entry = await door.ledger.entry(MINE, EFFECT)
    assert entry is not None
    assert entry.standing is not None
    assert entry.standing.remote_id == SID


async def test_a_message_that_was_sent_on_has_not_arrived_and_one_that_was_delivered_has(door: Door):
    await door.sent(acknowledged=True)
    assert await door.receives(MessageStatus="sent") == []
    assert await door.receives(MessageStatus="delivered") == [("delivered", EFFECT)]


async def test_f70_a_receipt_at_another_organisations_door_concerns_nobody(door: Door):
    await door.sent(acknowledged=False)
    assert await door.receives(THEIRS, MessageStatus="undelivered", ErrorCode="30003") == []
    entry = await door.ledger.entry(MINE, EFFECT)
    assert entry is not None
    assert entry.standing is None
