"""The payload codec: nothing that Temporal keeps can be read without the key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from activities.security.envelope import DerivingKey, seal, unseal
from activities.security.keyring import RootKeys
from contracts.errors import Owner, Permanent

ENCODING = b"binary/encrypted"
_KEY_ID = "encryption-key-id"
_BOUND_TO = "bound-to"


_SCHEDULED_AT = re.compile(r"-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


@dataclass(frozen=True)
class SealingCodec(PayloadCodec, WithSerializationContext):
    """AES-256-GCM over whole payloads, bound to namespace and workflow id.

    The place a payload is bound to stands beside it, so that the codec server, which is told no
    workflow id, opens it too; wherever the id is known, a payload bound elsewhere is refused.

    Args:
        keys: the root keys; the newest seals, and a payload names the one that opens it.
        namespace: the Temporal namespace.
        allow_plain: whether payloads from clients without the codec are accepted.
        place: what payloads are bound to; `with_context` sets it from the workflow id.
    """

    keys: RootKeys
    namespace: str
    allow_plain: bool
    place: str | None = None

    def with_context(self, context: SerializationContext) -> Self:
        """Return this codec bound to the workflow of `context`."""
        if not isinstance(context, WorkflowSerializationContext | ActivitySerializationContext):
            return self
        return replace(self, place=_place(context.workflow_id)) if context.workflow_id else self

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return the payloads sealed."""
        root = await self._root()
        key = root.derive(f"codec/{self.namespace}")
        place = self.place or ""
        return [
            Payload(
                metadata={
                    "encoding": ENCODING,
                    _KEY_ID: root.key_id().encode(),
                    _BOUND_TO: place.encode(),
                },
                data=seal(key, payload.SerializeToString(), f"{self.namespace}|{place}"),
            )
            for payload in payloads
        ]

    async def decode(self, payloads: Iterable[Payload]) -> list[Payload]:
        """Return the payloads opened.

        Raises:
            Permanent: sealed for another workflow or under another key, changed, or plain where that is refused.
        """
        return [await self._open(payload) for payload in payloads]

    async def _root(self, key_id: str | None = None) -> DerivingKey:
        if (held := self.keys.held(key_id)) is not None:
            return held
        return await asyncio.to_thread(self.keys.fetch, key_id)

    async def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            if not self.allow_plain:
                raise Permanent(
                    "plain_input_refused",
                    "A payload arrived unencrypted, and this installation refuses that.",
                    owner=Owner.OPERATOR,
                    action="Start the workflow through the HTTP API or with a client that uses the codec.",
                )
            return payload
        place = payload.metadata.get(_BOUND_TO, b"").decode()
        if self.place is not None and place and place != self.place:
            raise Permanent(
                "payload_moved",
                "A sealed payload belongs to another workflow.",
                owner=Owner.OPERATOR,
                action="Look in the audit of the Temporal database for who wrote this history.",
            )
        root = await self._root(payload.metadata.get(_KEY_ID, b"").decode())
        key = root.derive(f"codec/{self.namespace}")
        return Payload.FromString(unseal(key, payload.data, f"{self.namespace}|{place}"))


def _place(workflow_id: str) -> str:
    """A schedule's runs share a place: each has an instant appended, and is given the result of the one before."""
    return _SCHEDULED_AT.sub("", workflow_id)
