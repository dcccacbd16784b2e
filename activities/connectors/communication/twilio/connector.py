"""Twilio: one text message or one call per recipient, and calls that are hung up again."""

from __future__ import annotations

import base64
import time
import unicodedata
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from activities.connectors.communication.twilio.inbound import INBOUND
from activities.connectors.communication.twilio.refusals import (
    CALL_IS_OVER,
    UNDELIVERED,
    bad_answer,
    code_of,
    invalid,
    refusal,
    refused_credential,
    typed,
    undecided,
)
from activities.connectors.communication.twilio.words import spoken, written
from activities.ports.connection import Connection
from activities.ports.inbound import Inbound
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transform import phones
from activities.transport.client import JsonClient
from contracts.base import JsonObject
from contracts.effects import Delivery, EffectOutcome, EffectStep, StandingEffect
from contracts.errors import (
    Permanent,
    WedSyncError,
)
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult
from contracts.names import effect_id
from contracts.sync import SyncPriority

MESSAGE, CALL = "message.create", "call.create"
_VERSION = "/2010-04-01"
_LOOK_BACK = {MESSAGE: timedelta(minutes=1), CALL: timedelta(seconds=2)}
"""How far our clock may be ahead. The same words may be taken for the same text; another call must not be for this."""
_PAGES = 5
_VALID_S = 1_800


class Twilio:
    """One Twilio account, behind its auth token or an API key.

    Source: Twilio REST API 2010-04-01, https://www.twilio.com/docs/messaging/api/message-resource and
    https://www.twilio.com/docs/voice/api/call-resource
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="twilio",
        title="Twilio",
        family=IntegrationType.COMMUNICATION_PLATFORM,
        api_version="2010-04-01",
        documentation_url="https://www.twilio.com/docs/messaging/api/message-resource",
        credential_fields=("accountSid",),
        optional_credential_fields=("authToken", "apiKeySid", "apiKeySecret"),
        optional_settings=("fromNumber", "messagingServiceSid", "hookUrl", "language"),
        default_base_url="https://api.twilio.com",
        hosts=("api.twilio.com", "*.twilio.com"),
        capabilities=frozenset({Capability.DELIVER, Capability.MESSAGE, Capability.CALL}),
        guarantee=EffectGuarantee.LOOK_BEFORE_RETRY,
        rate_limit=RateLimit(requests=10, per_s=1.0),
        reversible=frozenset({CALL}),
        page_size=100,
        timeout_s=20.0,
        notes=(
            "Twilio takes no idempotency key and keeps no field of ours, so a repeat first lists what was sent.",
            "A text message counts as the one when the same words went to the same number since it was intended.",
            "A call's words cannot be read back: a call to the number from ours since it was intended counts as it.",
            "Accounts that redact message bodies leave the outcome open, which is reported and not repeated.",
            "A sent text message cannot be taken back; a call is hung up, whether it rings or is spoken.",
            "Twilio queues by sender and publishes no figure for requests; ten a second are ours.",
            "target.settings.channel is sms or voice; a text beyond 1,600 characters is cut.",
            "Answers need hookUrl: a pressed key goes to it, and texts name the words to reply.",
            "Numbers of emergency services are never called: alerts go to people.",
        ),
    )
    inbound: ClassVar[Inbound] = INBOUND

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._account = f"{_VERSION}/Accounts/{connection.secret('accountSid')}"
        headers = {"Authorization": _basic(connection)}
        self._http = JsonClient.opened(connection, self.manifest.timeout_s, headers, error_word=code_of)

    async def aclose(self) -> None:
        """Close the sockets."""
        await self._http.aclose()

    async def probe(self) -> ConnectionProbe:
        """Read the account.

        Raises:
            AuthExpired: the credential is refused, or the account is not active.
            Transient: no usable answer.

        Source: GET /2010-04-01/Accounts/{Sid}.json.
        """
        began = time.monotonic()
        account = await self._ask("GET", f"{self._account}.json", operation="account.read")
        if account.get("status") not in {"active", None}:
            raise refused_credential("account.read")
        latency_ms = (time.monotonic() - began) * 1_000
        return ConnectionProbe(ok=True, latency_ms=latency_ms, account=str(account.get("sid") or "") or None)

    async def provision(self) -> ProvisionResult:
        """Create nothing: numbers are bought, and their webhooks set, by people.

        Idempotent: yes.
        """
        return ProvisionResult()

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return one `message.create` or one `call.create` per recipient of the target.

        Raises:
            InvalidInput: no recipient, something that is no number, an unknown channel, or no sender in the settings.
        """
        channel = str(delivery.target.settings.get("channel") or "sms")
        if channel not in {"sms", "voice"}:
            raise invalid("channel_unknown", "settings.channel of the Twilio target must be sms or voice.")
        sender = self._sender(voice=channel == "voice")
        kind = CALL if channel == "voice" else MESSAGE
        return [self._step(delivery, kind, to, sender) for to in phones.numbers(delivery.target.recipients, "twilio")]

    def _sender(self, *, voice: bool) -> dict[str, str]:
        number, service = self._connection.setting("fromNumber"), self._connection.setting("messagingServiceSid")
        if service and not voice:
            return {"MessagingServiceSid": service}
        if not number:
            raise invalid("sender_missing", "The Twilio integration has no fromNumber in its settings.")
        return {"From": number}

    def _step(self, delivery: Delivery, kind: str, to: str, sender: dict[str, str]) -> EffectStep:
        target, hook = delivery.target, self._connection.setting("hookUrl")
        effect = effect_id(delivery.organization_id, delivery.business_key, target.system_id, kind, to)
        form = {"To": to, **sender}
        if kind == CALL:
            form["Twiml"] = spoken(delivery, effect, hook=hook, language=self._connection.setting("language", "en-GB"))
        else:
            form["Body"] = written(delivery, effect, answers=bool(hook))
            if delivery.notification.priority is SyncPriority.CRITICAL:
                form["ValidityPeriod"] = str(_VALID_S)
        if hook:
            form["StatusCallback"] = f"{hook}?{urlencode({'effect': effect})}"
        return EffectStep(
            effect_id=effect,
            organization_id=delivery.organization_id,
            integration_id=target.integration_id,
            system="twilio",
            kind=kind,
            payload={"form": dict(form), "oldest": (delivery.occurred_at - _LOOK_BACK[kind]).isoformat()},
        )

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Hand the message or the call over to Twilio, which delivers it later.

        Idempotent: no; after OutcomeUnknown ask `find` before repeating.
        Source: POST /2010-04-01/Accounts/{Sid}/Messages.json and /Calls.json.
        """
        path = f"{self._account}/{_collection(step.kind)}.json"
        answer = await self._ask("POST", path, operation=step.kind, form=_form(step), writes=True)
        sid = answer.get("sid")
        if not isinstance(sid, str) or not sid:
            raise bad_answer(step.kind, writes=True)
        return EffectOutcome(remote_id=sid)

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        """Look among what was sent to the recipient since the step was intended.

        Raises:
            OutcomeUnknown: more was sent than the look-up reads, or the account keeps no bodies.
            Permanent: the message is there, and Twilio could not deliver it.

        Source: GET /2010-04-01/Accounts/{Sid}/Messages.json and /Calls.json, newest first. The list is not narrowed by
        DateSent, since no document says that messages still in the queue, which have none, are then listed.
        """
        oldest, redacted = datetime.fromisoformat(str(step.payload["oldest"])), False
        async for item in self._sent(step, oldest):
            if step.kind == CALL or _same_words(item, _form(step)):
                return _found(item, step.kind)
            redacted = redacted or not item.get("body")
        if redacted:
            raise undecided(step.kind, "The Twilio account keeps no message bodies to compare.")
        return None

    async def _sent(self, step: EffectStep, oldest: datetime) -> AsyncIterator[dict[str, Any]]:
        collection, form = _collection(step.kind), _form(step)
        path = f"{self._account}/{collection}.json"
        params: dict[str, str | int | None] = {
            "To": form["To"],
            "From": form.get("From"),
            "PageSize": self.manifest.page_size,
        }
        for _ in range(_PAGES):
            answer = await self._ask("GET", path, operation=f"{collection.lower()}.list", params=params)
            listed = answer.get(collection.lower())
            if not isinstance(listed, list):
                raise bad_answer(step.kind, writes=False)
            for item in listed:
                if isinstance(item, dict) and str(item.get("direction", "")).startswith("outbound"):
                    if _created(item) < oldest:
                        return
                    yield item
            following = answer.get("next_page_uri")
            if not following:
                return
            if not str(following).startswith(f"{self._account}/"):
                raise bad_answer(step.kind, writes=False)
            path, params = str(following), {}
        raise undecided(step.kind, "More was sent to the recipient since then than the look-up reads.")

    async def retract(self, effect: StandingEffect) -> None:
        """Hang up the call, whether it waits, rings or is spoken.

        Idempotent: yes, a call that is over stays as it is.
        Source: POST /2010-04-01/Accounts/{Sid}/Calls/{Sid}.json with Status=completed. That a call that is over
        answers with error 21220 is stated for realtime operations in general.
        """
        path = f"{self._account}/Calls/{effect.remote_id}.json"
        try:
            await self._ask("POST", path, operation="call.end", form={"Status": "completed"}, writes=True)
        except Permanent as error:
            if str(error.detail.evidence.get("vendorCode")) not in CALL_IS_OVER:
                raise

    async def _ask(self, method: str, path: str, *, operation: str, **request: Any) -> dict[str, Any]:
        try:
            answer = await self._http.request_json(method, path, operation=operation, **request)
        except WedSyncError as error:
            raise typed(error, operation) from None
        if not isinstance(answer, dict):
            raise bad_answer(operation, writes=bool(request.get("writes")))
        return answer


def _basic(connection: Connection) -> str:
    given = connection.credential
    pair = ("apiKeySid", "apiKeySecret") if "apiKeySid" in given else ("accountSid", "authToken")
    if not all(name in given for name in pair):
        raise invalid("credential_incomplete", "The Twilio credential needs authToken, or apiKeySid and apiKeySecret.")
    joined = ":".join(connection.secret(name) for name in pair)
    return f"Basic {base64.b64encode(joined.encode()).decode()}"


def _collection(kind: str) -> str:
    return "Calls" if kind == CALL else "Messages"


def _form(step: EffectStep) -> dict[str, str]:
    form = step.payload["form"]
    return {name: str(value) for name, value in form.items()} if isinstance(form, dict) else {}


def _created(item: JsonObject) -> datetime:
    try:
        return parsedate_to_datetime(str(item.get("date_created"))).astimezone(UTC)
    except ValueError:
        raise bad_answer("list", writes=False) from None


def _same_words(item: JsonObject, form: dict[str, str]) -> bool:
    # A trial account puts a sentence of Twilio's before the text, and smart encoding replaces characters in it.
    ours = _letters(form["Body"])
    return bool(ours) and _letters(str(item.get("body") or "")).endswith(ours)


def _letters(text: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFKD", text) if one.isalnum())


def _found(item: JsonObject, operation: str) -> EffectOutcome:
    code = str(item.get("error_code") or "")
    if item.get("status") in UNDELIVERED:
        raise refusal(code, operation, {"vendorCode": code})
    return EffectOutcome(remote_id=str(item.get("sid")), replayed=True)
