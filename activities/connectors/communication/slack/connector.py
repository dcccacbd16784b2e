"""Slack: one message per channel that carries the words, the facts and the buttons."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from activities.connectors.communication.slack.inbound import INBOUND
from activities.connectors.communication.slack.refusals import GONE, no_answer, refusal
from activities.connectors.communication.slack.words import invalid, message_of
from activities.ports.connection import Connection
from activities.ports.inbound import Inbound
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transport.aio import open_session
from activities.transport.bounds import AnswerTooLargeError, Limits, too_large
from activities.transport.tls import tls_context, tls_error
from contracts.base import JsonObject
from contracts.effects import Delivery, EffectOutcome, EffectStep, StandingEffect
from contracts.engagement import EngagementResult, EngagementTracking, NotificationState, Reaction
from contracts.errors import (
    OutcomeUnknown,
    Permanent,
    Transient,
)
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult
from contracts.names import effect_id
from contracts.notification import CommunicationChannel

EVENT_TYPE = "wedsync_notification"
_POST = "message.post"
_HISTORY_PAGES = 20
_LOOK_BACK = timedelta(seconds=60)
_REACTIONS = {NotificationState.READ: "eyes", NotificationState.ACKNOWLEDGED: "white_check_mark"}


class Slack:
    """One Slack workspace, behind a bot token.

    Source: Slack Web API, https://docs.slack.dev/reference/methods (auth.test, chat.postMessage,
    chat.update, chat.delete, conversations.history) and https://docs.slack.dev/reference/block-kit.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="slack",
        title="Slack",
        family=IntegrationType.COMMUNICATION_PLATFORM,
        api_version="Web API",
        documentation_url="https://docs.slack.dev/reference/methods",
        credential_fields=("botToken",),
        optional_credential_fields=("signingSecret", "appToken"),
        default_base_url="https://slack.com",
        hosts=("slack.com", "slack-gov.com"),
        capabilities=frozenset({Capability.DELIVER}),
        guarantee=EffectGuarantee.LOOK_BEFORE_RETRY,
        rate_limit=RateLimit(requests=1, per_s=1.0),
        page_size=200,
        reversible=frozenset({_POST}),
        correctable=frozenset({_POST}),
        notes=(
            "The limit is chat.postMessage's one message a second per channel, applied to the whole connection.",
            "Each message carries its effect id in its metadata; a repeat first reads the channel's history for it.",
            "That look-up needs the scope channels:history, and groups:history for private channels.",
            "An organisation's own name and icon need the scope chat:write.customize.",
            "Apps sold outside the Slack Marketplace may read history about once a minute.",
            "A message is taken back by deleting it, and set right by editing it; a workspace may allow neither.",
        ),
    )
    inbound: ClassVar[Inbound] = INBOUND

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._session: aiohttp.ClientSession | None = None
        self._client: AsyncWebClient | None = None

    async def aclose(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def probe(self) -> ConnectionProbe:
        """Ask whose token this is.

        Raises:
            AuthExpired: the token is refused.
            Transient: no usable answer.

        Source: https://docs.slack.dev/reference/methods/auth.test
        """
        began = time.monotonic()
        answer = await self._call("auth.test", writes=False)
        latency_ms = (time.monotonic() - began) * 1_000
        scopes = [scope.strip() for scope in str(answer.headers.get("X-OAuth-Scopes") or "").split(",")]
        return ConnectionProbe(
            ok=True,
            latency_ms=latency_ms,
            account=str(answer.get("team_id") or "") or None,
            scopes=[scope for scope in scopes if scope],
        )

    async def provision(self) -> ProvisionResult:
        """Create nothing: the app is invited to its channels by people.

        Idempotent: yes.
        """
        return ProvisionResult()

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return one `message.post` per channel of the target.

        Raises:
            InvalidInput: no channel, two actions of one id, or a link that is not http(s).
        """
        channels = {channel.channel_id: channel for channel in delivery.target.channels}
        if not channels:
            raise invalid("channels_missing", "The Slack target names no channel.")
        return [self._step(delivery, channel) for channel in channels.values()]

    def _step(self, delivery: Delivery, channel: CommunicationChannel) -> EffectStep:
        target = delivery.target
        effect = effect_id(delivery.organization_id, delivery.business_key, target.system_id, _POST, channel.channel_id)
        message = {**message_of(delivery, channel), "metadata": _metadata(effect)}
        oldest = (delivery.occurred_at - _LOOK_BACK).timestamp()
        return EffectStep(
            effect_id=effect,
            organization_id=delivery.organization_id,
            integration_id=target.integration_id,
            system="slack",
            kind=_POST,
            object_id=channel.channel_id,
            payload={"message": message, "oldest": f"{oldest:.6f}"},
        )

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Post the message.

        Idempotent: no; after OutcomeUnknown ask `find` before repeating.
        Source: https://docs.slack.dev/reference/methods/chat.postMessage
        """
        answer = await self._call("chat.postMessage", writes=True, body=cast("JsonObject", step.payload["message"]))
        return EffectOutcome(remote_id=str(answer.get("ts")))

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        """Look for the message with the step's effect id in the channel's history.

        Raises:
            OutcomeUnknown: the channel is busier than the look-up reads.

        Source: https://docs.slack.dev/reference/methods/conversations.history
        """
        query: dict[str, Any] = {
            "channel": step.object_id,
            "oldest": str(step.payload["oldest"]),
            "include_all_metadata": True,
            "limit": self.manifest.page_size,
        }
        for _ in range(_HISTORY_PAGES):
            answer = await self._call("conversations.history", writes=False, query=query)
            for message in answer.get("messages") or []:
                if _effect_of(message) == step.effect_id:
                    return EffectOutcome(remote_id=str(message.get("ts")), replayed=True)
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return None
            query["cursor"] = cursor
        raise OutcomeUnknown(
            "look_up_exhausted",
            "The Slack channel has more messages since the notification than the look-up reads.",
            action="Look in the channel whether the message stands before sending it again.",
            system="slack",
            operation="conversations.history",
        )

    async def retract(self, effect: StandingEffect) -> None:
        """Delete the message.

        Idempotent: yes, a message that is not there counts as deleted.

        Raises:
            Permanent: the workspace lets no app delete messages, or keeps them by law.

        Source: https://docs.slack.dev/reference/methods/chat.delete
        """
        try:
            await self._call("chat.delete", writes=True, body={"channel": effect.object_id, "ts": effect.remote_id})
        except Permanent as refused:
            if refused.detail.evidence.get("vendorCode") != GONE:
                raise

    async def correct(self, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
        """Edit the message; it keeps the id of the effect it stands for.

        Idempotent: yes.

        Raises:
            Permanent: the message is not there any more, or may not be edited.

        Source: https://docs.slack.dev/reference/methods/chat.update
        """
        message = cast("JsonObject", step.payload["message"])
        said: JsonObject = {name: message[name] for name in ("text", "blocks") if name in message}
        where = {"channel": effect.object_id, "ts": effect.remote_id}
        await self._call("chat.update", writes=True, body={**said, **where, "metadata": _metadata(effect.effect_id)})
        return EffectOutcome(remote_id=effect.remote_id)

    async def show_state(self, effect: StandingEffect, state: NotificationState) -> bool:
        """React to the message for everybody in the channel to see: eyes when read, a tick when acknowledged.

        Idempotent: yes, an app reacts once with each emoji. Needs the scope reactions:write.

        Source: https://docs.slack.dev/reference/methods/reactions.add
        """
        if state not in _REACTIONS:
            return False
        about: JsonObject = {"channel": effect.object_id, "timestamp": effect.remote_id, "name": _REACTIONS[state]}
        try:
            await self._call("reactions.add", writes=True, body=about)
        except Permanent as refused:
            if refused.detail.evidence.get("vendorCode") != "already_reacted":
                raise
            return False
        return True

    async def engagement(self, tracking: EngagementTracking) -> EngagementResult:
        """Return the reactions and replies of one message; Slack tells nobody how many have seen it.

        The score is one point per reaction and two per reply. Needs reactions:read and the channel's history.

        Source: https://docs.slack.dev/reference/methods/reactions.get and
        https://docs.slack.dev/reference/methods/conversations.replies
        """
        channel, ts = tracking.channel_id, tracking.message_timestamp
        seen = await self._call(
            "reactions.get", writes=False, query={"channel": channel, "timestamp": ts, "full": True}
        )
        thread = await self._call("conversations.replies", writes=False, query={"channel": channel, "ts": ts})
        given = (seen.get("message") or {}).get("reactions") or []
        reactions = [Reaction(name=str(item["name"]), count=int(item["count"])) for item in given]
        replies = max(0, len(thread.get("messages") or []) - 1)
        return EngagementResult(
            message_id=tracking.message_id,
            reactions=reactions,
            reply_count=replies,
            engagement_score=sum(one.count for one in reactions) + 2 * replies,
            tracked_at=datetime.now(UTC),
        )

    async def _call(
        self, method: str, *, writes: bool, body: JsonObject | None = None, query: dict[str, Any] | None = None
    ) -> AsyncSlackResponse:
        await self._connection.admit()
        try:
            if query is not None:
                return await self._web().api_call(method, http_verb="GET", params=dict(query))
            return await self._web().api_call(method, json=dict(body or {}))
        except SlackApiError as error:
            raise refusal(method, error, writes=writes) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise tls_error("slack", method, error) or Transient(
                "vendor_unreachable",
                f"slack could not be reached for {method}; nothing was sent.",
                system="slack",
                operation=method,
            ) from None
        except (AnswerTooLargeError, RecursionError):
            raise too_large("slack", method, writes=writes) from None
        except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, TimeoutError):
            raise no_answer("no_answer", method, writes=writes) from None
        except (aiohttp.ClientError, ValueError, AttributeError):
            raise no_answer("vendor_bad_response", method, writes=writes) from None

    def _web(self) -> AsyncWebClient:
        if self._client is None:
            connection = self._connection
            self._session = open_session(connection, system="slack", limits=Limits(total_s=self.manifest.timeout_s))
            base = f"{connection.base_url.rstrip('/').removesuffix('/api')}/api"
            # The SDK prints whole requests while its logger's own level is DEBUG or unset.
            quiet = logging.Logger("slack_sdk.quiet", logging.WARNING)  # noqa: LOG001
            self._client = AsyncWebClient(
                token=connection.secret("botToken"),
                base_url=f"{base}/",
                timeout=int(self.manifest.timeout_s),
                session=self._session,
                ssl=tls_context(connection) if base.startswith("https:") else None,
                retry_handlers=[],
                logger=quiet,
            )
            self._client.proxy = None
        return self._client


def _metadata(effect: str) -> JsonObject:
    return {"event_type": EVENT_TYPE, "event_payload": {"effectId": effect}}


def _effect_of(message: object) -> str:
    metadata = message.get("metadata") if isinstance(message, dict) else None
    if not isinstance(metadata, dict) or metadata.get("event_type") != EVENT_TYPE:
        return ""
    payload = metadata.get("event_payload")
    return str(payload.get("effectId", "")) if isinstance(payload, dict) else ""
