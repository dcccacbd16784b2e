"""Square: the fulfilment of a wedding's open order, as the point of sale shows it to the staff."""

from __future__ import annotations

import time
from typing import ClassVar
from urllib.parse import quote

from pydantic import JsonValue, ValidationError

from activities.connectors.payments.square_orders import UPDATE, invalid, sparse, stands, wanted
from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transport.client import JsonClient
from contracts.base import JsonObject
from contracts.effects import Delivery, EffectOutcome, EffectStep, StandingEffect
from contracts.errors import OutcomeUnknown, Permanent, Transient
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult
from contracts.names import effect_id
from contracts.notification import NotificationMetadata

_VERSION = "2025-08-20"
_OVERTAKEN = {"VERSION_MISMATCH", "CONFLICT"}
"""Codes of a write whose version is not the current one: the forum quotes the first, the description has the second."""


class Square:
    """One Square seller, behind an access token of theirs.

    A venue's staff work from the open order of the wedding: when it is to be ready, and what there is to know. So a
    notification moves the order's fulfilment and rewrites its note, which Square's point of sale displays. No money is
    moved and no customer is written to: charges, invoices and their mails need amounts that a notification has not.

    Source: Square API, https://developer.squareup.com/reference/square/orders-api (operations RetrieveOrder,
    UpdateOrder), /merchants-api (RetrieveMerchant); guide "Update Orders" on versions and idempotency keys.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="square",
        title="Square",
        family=IntegrationType.PAYMENT_PROCESSOR,
        api_version=_VERSION,
        documentation_url="https://developer.squareup.com/reference/square",
        credential_fields=("accessToken",),
        default_base_url="https://connect.squareup.com",
        hosts=("connect.squareup.com", "connect.squareupsandbox.com"),
        capabilities=frozenset({Capability.DELIVER}),
        guarantee=EffectGuarantee.IDEMPOTENCY_KEY,
        rate_limit=RateLimit(requests=10, per_s=1.0),
        correctable=frozenset({UPDATE}),
        notes=(
            "A notification names the order as squareOrderId; its first open pickup or delivery is moved and noted.",
            "Square updates orders that were made through its API, and not those made at the till.",
            "The idempotency key is the effect's id with the order's version: a key used before changes nothing.",
            "The order's metadata keep the instant of what it shows, so that an earlier notification changes nothing.",
            "Nothing is recalled, because the time before is not kept; a correction is written over it.",
            "Square publishes no figure for its limit; 10 requests a second are ours.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        headers = {"Authorization": f"Bearer {connection.secret('accessToken')}", "Square-Version": _VERSION}
        self._http = JsonClient.opened(connection, self.manifest.timeout_s, headers, error_word=_error_code)

    async def aclose(self) -> None:
        """Release the sockets."""
        await self._http.aclose()

    async def probe(self) -> ConnectionProbe:
        """Read the seller the token belongs to.

        Raises:
            AuthExpired: the token is refused.
            Transient: no usable answer.

        Source: GET /v2/merchants/me.
        """
        began = time.monotonic()
        merchant = await self._read("/v2/merchants/me", "merchant", "merchant.read")
        return ConnectionProbe(
            ok=True, latency_ms=(time.monotonic() - began) * 1_000, account=str(merchant.get("id") or "") or None
        )

    async def provision(self) -> ProvisionResult:
        """Create nothing: orders are the seller's.

        Idempotent: yes.
        """
        return ProvisionResult()

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return the one update of the order.

        Raises:
            InvalidInput: the order's id is missing, or the zone is none.
        """
        try:
            facts = NotificationMetadata.model_validate(delivery.notification.metadata)
        except ValidationError:
            raise invalid("metadata_invalid", "The notification's metadata has a field of the wrong type.") from None
        if facts.square_order_id is None:
            raise invalid("square_order_missing", "The notification's metadata names no squareOrderId.")
        target, order = delivery.target, facts.square_order_id
        return [
            EffectStep(
                effect_id=effect_id(delivery.organization_id, delivery.business_key, target.system_id, UPDATE, order),
                organization_id=delivery.organization_id,
                integration_id=target.integration_id,
                system="square",
                kind=UPDATE,
                object_id=order,
                payload=wanted(delivery, facts),
            )
        ]

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Move and note the order's fulfilment, after reading the order's version.

        Idempotent: yes, by the idempotency key.

        Raises:
            Permanent: `fulfilment_missing`, nothing of the order is to be fulfilled any more.
            Transient: `order_changed`, somebody changed the order between our read and our write.

        Source: GET and PUT /v2/orders/{order_id}.
        """
        return await self._update(step, str(step.object_id))

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        """Return the outcome when the order already reads as wanted, or tells something newer.

        Source: GET /v2/orders/{order_id}.
        """
        order = await self._read(_path(str(step.object_id)), "order", "order.find")
        return EffectOutcome(remote_id=step.object_id, replayed=True) if stands(order, step.payload) else None

    async def correct(self, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
        """Write what `step` says over the order of `effect`.

        Idempotent: yes.

        Raises:
            Permanent: the order or its fulfilment is gone.
        """
        return await self._update(step, str(effect.object_id))

    async def _update(self, step: EffectStep, order_id: str) -> EffectOutcome:
        async with self._connection.together(2):
            order = await self._read(_path(order_id), "order", "order.read")
            if stands(order, step.payload):
                return EffectOutcome(remote_id=order_id, replayed=True)
            body: JsonObject = {
                "order": sparse(order, step.payload),
                "idempotency_key": f"{step.effect_id}-{order.get('version')}",
            }
            try:
                answer = await self._http.request_json(
                    "PUT", _path(order_id), operation=step.kind, json=body, writes=True
                )
            except Permanent as error:
                if error.detail.evidence.get("vendorCode") in _OVERTAKEN:
                    raise _changed() from None
                raise
        updated = answer.get("order") if isinstance(answer, dict) else None
        if not isinstance(updated, dict) or not stands(updated, step.payload):
            raise OutcomeUnknown(
                "vendor_bad_response",
                "square answered order.update with an order that does not show it.",
                system="square",
                operation=step.kind,
            )
        return EffectOutcome(remote_id=order_id)

    async def _read(self, path: str, wrap: str, operation: str) -> dict[str, JsonValue]:
        answer = await self._http.request_json("GET", path, operation=operation)
        inner = answer.get(wrap) if isinstance(answer, dict) else None
        if not isinstance(inner, dict):
            raise Transient(
                "vendor_bad_response",
                f"square answered {operation} without the object it documents.",
                system="square",
                operation=operation,
            )
        return inner


def _path(order_id: str) -> str:
    return f"/v2/orders/{quote(order_id, safe='')}"


def _error_code(body: JsonValue) -> str:
    errors = body.get("errors") if isinstance(body, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    code = first.get("code") if isinstance(first, dict) else None
    return code if isinstance(code, str) and code.isascii() and code.isidentifier() else ""


def _changed() -> Transient:
    return Transient(
        "order_changed",
        "Somebody else changed the order meanwhile; nothing was written.",
        system="square",
        operation=UPDATE,
    )
