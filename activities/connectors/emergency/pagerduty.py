"""PagerDuty: one event per notification, which opens, joins, acknowledges or resolves the incident it names."""

from __future__ import annotations

import time
from typing import ClassVar

from pydantic import JsonValue

from activities.connectors.emergency.pagerduty_inbound import INBOUND
from activities.ports.connection import Connection
from activities.ports.inbound import Inbound
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transport.client import JsonClient, open_client
from contracts.base import JsonObject
from contracts.effects import Delivery, EffectOutcome, EffectStep, StandingEffect
from contracts.engagement import NotificationState
from contracts.errors import AuthExpired, InvalidInput, Permanent
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult
from contracts.names import effect_id
from contracts.notification import NotificationMetadata, SourceNotification
from contracts.sync import SyncPriority

_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("info", "warning", "error", "critical")
_SEVERITY_OF = {
    SyncPriority.LOW: "info",
    SyncPriority.NORMAL: "warning",
    SyncPriority.HIGH: "error",
    SyncPriority.CRITICAL: "critical",
}
_SUMMARY_LIMIT = 1_024
_KEY_LENGTH = 32
_BAD_REQUEST = 400
_PROBE_KEY = "wedsync-connection-test"


class PagerDuty:
    """One Events API integration of a PagerDuty service, behind its routing key.

    Source: PagerDuty Events API v2, https://developer.pagerduty.com/docs/events-api-v2-overview
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="pagerduty",
        title="PagerDuty",
        family=IntegrationType.EMERGENCY_SERVICES,
        api_version="Events API v2",
        documentation_url="https://developer.pagerduty.com/docs/events-api-v2-overview",
        credential_fields=("routingKey",),
        optional_credential_fields=("webhookSecret",),
        default_base_url="https://events.pagerduty.com",
        hosts=("events.pagerduty.com", "events.eu.pagerduty.com"),
        capabilities=frozenset({Capability.DELIVER}),
        guarantee=EffectGuarantee.IDEMPOTENCY_KEY,
        rate_limit=RateLimit(requests=2, per_s=1.0),
        timeout_s=20.0,
        reversible=frozenset({"event.trigger"}),
        notes=(
            "The incident's id is the dedup_key: an event of the same key joins the alert that is open.",
            "The vendor throttles dynamically and publishes no figure; two events a second per service are ours.",
            "The probe resolves an alert that does not exist, which the vendor accepts and which changes nothing.",
            "A trigger is taken back by resolving its incident, which ends it for whoever else triggered it too.",
            "Accounts in the European region need the base URL https://events.eu.pagerduty.com.",
        ),
    )
    inbound: ClassVar[Inbound] = INBOUND

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        client = open_client(connection, timeout_s=self.manifest.timeout_s)
        self._client = JsonClient("pagerduty", client, timeout_s=self.manifest.timeout_s)

    async def aclose(self) -> None:
        """Close the sockets."""
        await self._client.aclose()

    async def probe(self) -> ConnectionProbe:
        """Resolve an alert that does not exist: the API has no call that only looks.

        Raises:
            AuthExpired: the routing key is not one.
            Transient: no usable answer.
        """
        began = time.monotonic()
        event: JsonObject = {"event_action": "resolve", "dedup_key": _PROBE_KEY}
        await self._enqueue(event, operation="probe", writes=False)
        return ConnectionProbe(ok=True, latency_ms=(time.monotonic() - began) * 1_000)

    async def provision(self) -> ProvisionResult:
        """Create nothing: services and escalation policies are made by people.

        Idempotent: yes.
        """
        return ProvisionResult()

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return the one event of the delivery.

        Raises:
            InvalidInput: the notification's metadata ask for an action or a severity that PagerDuty has not.
        """
        target = delivery.target
        event = event_of(delivery)
        return [
            EffectStep(
                effect_id=effect_id(
                    delivery.organization_id, delivery.business_key, target.system_id, f"event.{event['event_action']}"
                ),
                organization_id=delivery.organization_id,
                integration_id=target.integration_id,
                system="pagerduty",
                kind=f"event.{event['event_action']}",
                object_id=str(event["dedup_key"]),
                payload={"event": event},
            )
        ]

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Send the event.

        Idempotent: yes, by `dedup_key`: a repeated trigger joins the open alert.
        Source: https://developer.pagerduty.com/docs/send-alert-event
        """
        event = step.payload["event"]
        answer = await self._enqueue(dict(event) if isinstance(event, dict) else {}, operation=step.kind, writes=True)
        key = answer.get("dedup_key") if isinstance(answer, dict) else None
        return EffectOutcome(remote_id=str(key or step.object_id))

    async def find(self, step: EffectStep) -> EffectOutcome | None:  # noqa: ARG002
        """Return None: the Events API shows nothing, and a repeat changes nothing."""
        return None

    async def retract(self, effect: StandingEffect) -> None:
        """Resolve the incident that the event triggered.

        Idempotent: yes, resolving what is not open changes nothing.
        Source: https://developer.pagerduty.com/docs/send-alert-event
        """
        event: JsonObject = {"event_action": "resolve", "dedup_key": effect.remote_id or effect.object_id}
        await self._enqueue(event, operation="event.resolve", writes=True)

    async def show_state(self, effect: StandingEffect, state: NotificationState) -> bool:
        """Acknowledge the incident when somebody has acknowledged the notification elsewhere.

        Idempotent: yes.
        Source: https://developer.pagerduty.com/docs/send-alert-event
        """
        if state is not NotificationState.ACKNOWLEDGED:
            return False
        event: JsonObject = {"event_action": "acknowledge", "dedup_key": effect.remote_id or effect.object_id}
        await self._enqueue(event, operation="event.acknowledge", writes=True)
        return True

    async def _enqueue(self, event: JsonObject, *, operation: str, writes: bool) -> JsonValue:
        await self._connection.admit()
        key = self._connection.secret("routingKey")
        if len(key) != _KEY_LENGTH or not key.isalnum():
            raise _refused_key(operation)
        try:
            return await self._client.request_json(
                "POST", "/v2/enqueue", operation=operation, json={"routing_key": key, **event}, writes=writes
            )
        except Permanent as error:
            # The only field of the probe that may be wrong is the key.
            if not writes and error.detail.evidence.get("status") == _BAD_REQUEST:
                raise _refused_key(operation) from None
            raise


def event_of(delivery: Delivery) -> JsonObject:
    """Return the event without its routing key.

    Args:
        delivery: `metadata.incidentAction` is `trigger` (the default), `acknowledge` or `resolve`;
            `metadata.incidentId` ties the events of one incident together, the notification's id else;
            `metadata.severity` is the vendor's word, the notification's priority else.

    Raises:
        InvalidInput: an action or a severity that PagerDuty has not.

    Source: Events API v2, schema of /enqueue.
    """
    notification = delivery.notification
    told = NotificationMetadata.model_validate(notification.metadata)
    if told.incident_action not in _ACTIONS:
        raise _invalid("incident_action", f"incidentAction must be one of {', '.join(_ACTIONS)}.")
    severity = told.severity or _SEVERITY_OF[notification.priority]
    if severity not in _SEVERITIES:
        raise _invalid("severity", f"severity must be one of {', '.join(_SEVERITIES)}.")
    incident = told.incident_id or notification.notification_id
    event: JsonObject = {
        "event_action": told.incident_action,
        "dedup_key": effect_id(delivery.organization_id, "incident", incident),
    }
    if told.incident_action != "trigger":
        return event
    summary = " ".join((delivery.rendered.subject or notification.title).split())
    event["payload"] = {
        "summary": summary[:_SUMMARY_LIMIT] or notification.type,
        "source": delivery.organization_id,
        "severity": severity,
        "timestamp": delivery.occurred_at.isoformat(),
        "class": notification.type,
        "custom_details": {"message": delivery.rendered.text or notification.message},
    }
    links = _links(notification)
    if links:
        event["links"] = links
    return event


def _links(notification: SourceNotification) -> list[JsonValue]:
    return [
        {"href": action.url, "text": action.label}
        for action in notification.actions
        if action.url and action.url.startswith(("https://", "http://"))
    ]


def _refused_key(operation: str) -> AuthExpired:
    return AuthExpired(
        "credential_refused",
        "pagerduty does not accept the stored routing key.",
        action="Connect the integration again with the Integration Key of an Events API v2 integration.",
        system="pagerduty",
        operation=operation,
    )


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(code, message, action="Correct the notification and send it again.", system="pagerduty")
