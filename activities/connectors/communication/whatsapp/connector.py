"""WhatsApp: one message per recipient, as a template or, within the service window, as text with buttons."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, ClassVar

from activities.connectors.communication.whatsapp.inbound import INBOUND, opaque
from activities.connectors.communication.whatsapp.messages import free_message, invalid, template_message
from activities.connectors.communication.whatsapp.refusals import bad_answer, code_of, typed
from activities.ports.connection import Connection
from activities.ports.inbound import Inbound
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transform import phones
from activities.transport.client import JsonClient
from contracts.base import JsonObject
from contracts.effects import Delivery, EffectOutcome, EffectStep
from contracts.errors import WedSyncError
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult
from contracts.names import effect_id

SEND = "message.send"
_VERSION = "v23.0"


class WhatsApp:
    """One phone number of a WhatsApp Business account, behind a system user's token.

    Source: Meta's Business Messaging API v23.0, https://developers.facebook.com/docs/whatsapp/cloud-api
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="whatsapp",
        title="WhatsApp",
        family=IntegrationType.COMMUNICATION_PLATFORM,
        api_version=_VERSION,
        documentation_url="https://developers.facebook.com/docs/whatsapp/cloud-api",
        credential_fields=("accessToken",),
        optional_credential_fields=("appSecret", "verifyToken"),
        required_settings=("phoneNumberId",),
        optional_settings=("template", "language"),
        default_base_url="https://graph.facebook.com",
        capabilities=frozenset({Capability.DELIVER, Capability.MESSAGE}),
        guarantee=EffectGuarantee.AT_MOST_ONCE,
        rate_limit=RateLimit(requests=20, per_s=1.0),
        timeout_s=20.0,
        notes=(
            "The vendor takes no idempotency key, and no call lists what was sent with anything of ours.",
            "The effect id travels as biz_opaque_callback_data, which comes back in the status webhooks alone.",
            "Outside 24 hours after the recipient's last message only approved templates arrive.",
            "target.settings: template, language, quickReplies, and serviceWindowUntil, up to which text is sent.",
            "A number sends 80 messages a second, one that is shared with the app 20; and one person one in 6 seconds.",
            "A message that was sent cannot be taken back.",
            "The vendor's message ids hold the recipient's number, so that only their digests are kept.",
        ),
    )
    inbound: ClassVar[Inbound] = INBOUND

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._number = f"/{_VERSION}/{connection.setting('phoneNumberId')}"
        headers = {"Authorization": f"Bearer {connection.secret('accessToken')}"}
        self._http = JsonClient.opened(connection, self.manifest.timeout_s, headers, error_word=code_of)

    async def aclose(self) -> None:
        """Close the sockets."""
        await self._http.aclose()

    async def probe(self) -> ConnectionProbe:
        """Read the phone number.

        Raises:
            AuthExpired: the token is refused.
            Transient: no usable answer.

        Source: GET /{Version}/{Phone-Number-ID}.
        """
        began = time.monotonic()
        number = await self._ask("GET", self._number, operation="number.read")
        latency_ms = (time.monotonic() - began) * 1_000
        quality = str(number.get("quality_rating") or "")
        return ConnectionProbe(
            ok=True,
            latency_ms=latency_ms,
            account=str(number.get("id") or "") or None,
            features=[f"quality_{quality.lower()}"] if quality else [],
        )

    async def provision(self) -> ProvisionResult:
        """Create nothing: templates are written by people and approved by the vendor.

        Idempotent: yes.
        """
        return ProvisionResult()

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return one `message.send` per recipient of the target.

        Raises:
            InvalidInput: no recipient, something that is no number, actions that do not fit, or no template for a
                recipient whose service window is not known to be open.
        """
        return [self._step(delivery, to) for to in phones.numbers(delivery.target.recipients, "whatsapp")]

    def _step(self, delivery: Delivery, to: str) -> EffectStep:
        target = delivery.target
        effect = effect_id(delivery.organization_id, delivery.business_key, target.system_id, SEND, to)
        message: JsonObject = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": to.removeprefix("+"),
            "biz_opaque_callback_data": effect,
            **self._content(delivery, effect),
        }
        return EffectStep(
            effect_id=effect,
            organization_id=delivery.organization_id,
            integration_id=target.integration_id,
            system="whatsapp",
            kind=SEND,
            payload={"message": message},
        )

    def _content(self, delivery: Delivery, effect: str) -> JsonObject:
        settings = delivery.target.settings
        if _window_is_open(delivery):
            return free_message(delivery, effect)
        name = str(settings.get("template") or self._connection.setting("template"))
        if not name:
            raise invalid(
                "template_missing", "Neither the WhatsApp target nor its integration names an approved template."
            )
        language = str(settings.get("language") or self._connection.setting("language", "en_GB"))
        return template_message(delivery, name, language, effect, buttons=bool(settings.get("quickReplies")))

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Hand the message over; whether it arrives is told by the status webhooks.

        Idempotent: no; after OutcomeUnknown it is not repeated.
        Source: POST /{Version}/{Phone-Number-ID}/messages.
        """
        message = step.payload["message"]
        body = dict(message) if isinstance(message, dict) else {}
        answer = await self._ask("POST", f"{self._number}/messages", operation=step.kind, json=body, writes=True)
        messages = answer.get("messages")
        if not isinstance(messages, list) or not messages or not isinstance(messages[0], dict):
            raise bad_answer(step.kind, writes=True)
        return EffectOutcome(remote_id=opaque(str(messages[0].get("id"))))

    async def find(self, step: EffectStep) -> EffectOutcome | None:  # noqa: ARG002
        """Return None: the vendor's message history holds ids of its own only."""
        return None

    async def _ask(self, method: str, path: str, *, operation: str, **request: Any) -> dict[str, Any]:
        try:
            answer = await self._http.request_json(method, path, operation=operation, **request)
        except WedSyncError as error:
            raise typed(error, operation) from None
        if not isinstance(answer, dict):
            raise bad_answer(operation, writes=bool(request.get("writes")))
        return answer


def _window_is_open(delivery: Delivery) -> bool:
    until = delivery.target.settings.get("serviceWindowUntil")
    if not until:
        return False
    try:
        return delivery.occurred_at < datetime.fromisoformat(str(until))
    except (ValueError, TypeError):
        raise invalid(
            "service_window", "settings.serviceWindowUntil of the WhatsApp target is no instant with an offset."
        ) from None
