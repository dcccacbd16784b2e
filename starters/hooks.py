"""What vendors tell us by themselves, checked and passed on to the runs it concerns."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.service import RPCError

from activities.connectors.registry import CONNECTORS, connector_class
from activities.ports.inbound import Answered, Inbound, InboundEvent, Observed, Receipt
from activities.ports.secrets import SecretStore
from activities.security.envelope import DerivingKey
from activities.security.signatures import SignedRequest, Verdict
from activities.storage.connections import ConnectionStore, StoredConnection
from activities.storage.ledger import EffectLedger
from activities.storage.states import StateStore
from contracts.actions import ActionAnswer, ActionTaken
from contracts.effects import StandingEffect
from contracts.engagement import NotificationState, ObservedState, StateSynchronization, StateTarget
from contracts.errors import InvalidInput, Owner, Transient
from contracts.integration import IntegrationState
from starters.failures import AWAY, translated
from starters.receipts import Receipts

PATIENCE_S = 2.5
"""Vendors give up after three seconds; the run goes on with an answer whose sender has left."""
ACTION = "take_action"
ACKNOWLEDGE = "acknowledge"
_MAC_BYTES = 16
_STILL_THERE = ActionAnswer(accepted=True, message="Thank you. It is noted.")
_NOBODY = ActionAnswer(accepted=False, message="Nobody waits for this answer any more.")
_log = logging.getLogger(__name__)


class Hooks:
    """Receives vendors' webhooks.

    Args:
        client: from the one factory.
        connections: says whose an address is.
        secrets: holds what vendors sign with.
        ledger: says which run answers for an effect.
        states: what is known of notifications.
        receipts: take what is told of single messages.
        root: returns the key of the addresses, which stays the same for as long as they are used.
        sync: starts to carry states to other systems.
    """

    def __init__(
        self,
        client: Client,
        connections: ConnectionStore,
        secrets: SecretStore,
        ledger: EffectLedger,
        states: StateStore,
        receipts: Receipts,
        root: Callable[[], DerivingKey],
        sync: Callable[[StateSynchronization], Awaitable[object]],
    ) -> None:
        self._client = client
        self._connections = connections
        self._secrets = secrets
        self._ledger = ledger
        self._states = states
        self._receipts = receipts
        self._root = root
        self._sync = sync

    def token(self, organization_id: str, integration_id: str) -> str:
        """Return the unguessable part of an integration's address; the same for ever."""
        name = f"{organization_id}/{integration_id}"
        return f"{_base64(name.encode())}.{_base64(self._mac(name))}"

    async def receive(self, system: str, token: str, request: SignedRequest) -> Receipt:
        """Check a request, pass on what it tells, and return what the vendor is answered.

        Idempotent: yes, a request that comes twice changes nothing the second time.

        Raises:
            InvalidInput: no such address, a signature that is not the vendor's, or a body unlike its document.
            Transient: a part of the installation is away; vendors send again.
        """
        stored = await self._connection_of(system, token)
        inbound, now = _inbound(system), datetime.now(UTC)
        await self._check(stored, inbound, request, now)
        try:
            events = inbound.read(request, now)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _unreadable(system) from error
        words = [answer.message for event in events if (answer := await self._pass_on(stored, event)) is not None]
        return inbound.receipt(request, " ".join(words))

    async def challenge(self, system: str, token: str, request: SignedRequest) -> str:
        """Return what a system wants to hear when its webhook is set up.

        Raises:
            InvalidInput: there is no such address, or the request does not know its secret.
        """
        stored = await self._connection_of(system, token)
        inbound = _inbound(system)
        for secret in await self._secrets_of(stored, inbound.challenge_field):
            answer = inbound.challenge(request, secret)
            if answer is not None:
                return answer
        raise _not_found()

    async def _connection_of(self, system: str, token: str) -> StoredConnection:
        name, _, mac = token.partition(".")
        try:
            plain = _unbase64(name).decode()
            genuine = hmac.compare_digest(self._mac(plain), _unbase64(mac))
        except (ValueError, binascii.Error):
            genuine, plain = False, ""
        organization_id, _, integration_id = plain.partition("/")
        found = await self._connections.get(organization_id, integration_id) if genuine else None
        if found is None or found.configuration.platform != system or found.state is IntegrationState.DISCONNECTED:
            raise _not_found()
        return found

    async def _secrets_of(self, stored: StoredConnection, field: str) -> list[str]:
        ref = stored.configuration.connection_config.credential_ref
        credential = await self._secrets.get(ref) if ref else {}
        return [credential[field].get_secret_value()] if field in credential else []

    async def _check(self, stored: StoredConnection, inbound: Inbound, request: SignedRequest, now: datetime) -> None:
        live = await self._secrets_of(stored, inbound.secret_field)
        verdict = inbound.check(request, live, now) if live else Verdict.UNSIGNED
        if verdict is Verdict.GENUINE:
            return
        configuration = stored.configuration
        _log.warning(
            "a webhook of %s for %s of %s was refused: %s",
            configuration.platform,
            configuration.integration_id,
            configuration.organization_id,
            verdict.value,
        )
        raise InvalidInput(
            "signature_refused",
            "The request does not carry a signature of the system it claims to come from.",
            owner=Owner.TENANT,
            action=f"Check {inbound.secret_field} in the integration's credential against the vendor's settings.",
            evidence={"verdict": verdict.value},
        )

    async def _pass_on(self, stored: StoredConnection, told: InboundEvent) -> ActionAnswer | None:
        effect = await self._effect(stored, told)
        if effect is None:
            return _NOBODY if isinstance(told, Answered) else None
        if isinstance(told, Observed):
            await self._take(stored, effect, told)
            return None
        answer = await self._answer(stored, effect, told)
        if answer.accepted and told.action_type in {ACKNOWLEDGE, ""} and effect.notification_id:
            await self._observe(stored, effect, NotificationState.ACKNOWLEDGED, told.occurred_at, told.event_id)
        return answer

    async def _take(self, stored: StoredConnection, effect: StandingEffect, told: Observed) -> None:
        if told.state is not None:
            if told.state.rank >= NotificationState.DELIVERED.rank:
                await self._receipts.delivered(effect, told.occurred_at)
            await self._observe(stored, effect, told.state, told.occurred_at, told.event_id)
        if told.error is not None:
            await self._receipts.not_delivered(effect, told.error, told.occurred_at)

    async def _effect(self, stored: StoredConnection, told: InboundEvent) -> StandingEffect | None:
        organization_id, integration_id = stored.configuration.organization_id, stored.configuration.integration_id
        about = told.about
        with translated():
            if about.effect_id or about.effect_prefix:
                beginning = about.effect_id or about.effect_prefix
                entries = await self._ledger.by_effect_id(organization_id, integration_id, beginning)
            elif about.remote_id:
                entries = await self._ledger.by_remote_id(organization_id, integration_id, about.remote_id)
            else:
                entries = []
            if len(entries) == 1 and entries[0].standing is None:
                # The vendor's answer to us was lost, or is not written down yet, and yet the vendor has the message.
                lost, remote_id = entries[0].effect_id, about.remote_id or None
                await self._ledger.confirm(organization_id, integration_id, lost, remote_id)
                entries = await self._ledger.by_effect_id(organization_id, integration_id, lost)
        standing = [entry.standing for entry in entries if entry.standing is not None]
        # Two effects whose ids begin alike: neither may be taken for the other.
        return standing[-1] if standing and (about.remote_id or len(standing) == 1) else None

    async def _answer(self, stored: StoredConnection, effect: StandingEffect, told: Answered) -> ActionAnswer:
        configuration = stored.configuration
        taken = ActionTaken(
            event_id=told.event_id,
            action_id=told.action_id,
            action_type=told.action_type,
            notification_id=told.about.notification_id or effect.notification_id or effect.effect_id,
            system=configuration.platform,
            integration_id=configuration.integration_id,
            actor_id=told.actor_id,
            value=told.value,
            occurred_at=told.occurred_at,
        )
        handle = self._client.get_workflow_handle(effect.workflow_id)
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer: ActionAnswer = await handle.execute_update(
                    ACTION, taken, id=told.event_id, result_type=ActionAnswer
                )
        except TimeoutError:
            return _STILL_THERE
        except WorkflowUpdateFailedError:
            return _NOBODY
        except RPCError as error:
            if error.status in AWAY:
                raise Transient(
                    "temporal_unreachable", "Temporal does not answer; the vendor sends again.", owner=Owner.OPERATOR
                ) from error
            # The run has ended: what is said of a notification still counts.
            return _STILL_THERE if told.action_type in {ACKNOWLEDGE, ""} else _NOBODY
        else:
            return answer

    async def _observe(
        self, stored: StoredConnection, effect: StandingEffect, state: NotificationState, at: datetime, event_id: str
    ) -> None:
        """Note a state, and carry it to the other systems where the notification stands."""
        if effect.notification_id is None:
            return
        configuration = stored.configuration
        organization_id, mine = configuration.organization_id, configuration.integration_id
        with translated():
            await self._states.advance(organization_id, effect.notification_id, mine, state, at)
            entries = await self._ledger.of_notification(organization_id, effect.notification_id)
        others = {entry.integration_id: entry.system for entry in entries if entry.standing is not None}
        others.pop(mine, None)
        if not others:
            return
        sync = StateSynchronization(
            sync_id=event_id,
            organization_id=organization_id,
            states=[ObservedState(notification_id=effect.notification_id, system_id=mine, state=state, occurred_at=at)],
            target_systems=[
                StateTarget(system_id=name, system_type=system, integration_id=name)
                for name, system in sorted(others.items())
            ],
        )
        await self._sync(sync)

    def _mac(self, name: str) -> bytes:
        return hmac.new(self._root().derive("hooks"), name.encode(), hashlib.sha256).digest()[:_MAC_BYTES]


def _inbound(system: str) -> Inbound:
    found: Inbound | None = getattr(connector_class(system), "inbound", None) if system in CONNECTORS else None
    if found is None:
        raise _not_found()
    return found


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _not_found() -> InvalidInput:
    return InvalidInput(
        "not_found",
        "There is nothing here.",
        action="Take the address from `wedsync integrations hook ID`.",
    )


def _unreadable(system: str) -> InvalidInput:
    return InvalidInput(
        "hook_unreadable",
        f"The request is signed by {system} and is not what its document describes.",
        owner=Owner.ENGINEER,
        action="Compare the vendor's document with how its webhooks are read.",
    )
