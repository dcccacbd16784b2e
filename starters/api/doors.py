"""What every handler passes first: the key, the body, the idempotency key."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Path, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import JsonValue

from activities.storage.api_keys import ApiKey, Role
from activities.storage.idempotency import Answer, Mismatch
from contracts.base import Contract
from contracts.errors import InvalidInput, Owner, WedSyncError
from starters.api.gateway import Gateway
from starters.client import WedSync
from starters.documents import parse
from starters.failures import translated

M = TypeVar("M", bound=Contract)

MAX_BODY_BYTES = 1 << 20
_LOOKING = frozenset({"GET", "HEAD"})
_OPAQUE = r"^[A-Za-z0-9][A-Za-z0-9._:\-]{0,63}$"
_bearer = HTTPBearer(auto_error=False, description="An API key of WedSync.")


def gateway_of(request: Request) -> Gateway:
    """Return the application's gateway."""
    found: Gateway = request.app.state.gateway
    return found


async def api_key(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> ApiKey:
    """Return whom the request's key speaks for.

    Raises:
        InvalidInput: no key, or one that is not accepted.
    """
    with translated():
        found = await gateway_of(request).keys.verify(given.credentials) if given else None
    if found is None:
        raise InvalidInput(
            "api_key_refused",
            "A valid API key is needed.",
            owner=Owner.TENANT,
            action="Send it as `Authorization: Bearer <key>`.",
        )
    return found


async def organization(
    request: Request,
    organization_id: Annotated[str, Path(alias="organizationId")],
    key: Annotated[ApiKey, Depends(api_key)],
) -> str:
    """Return the path's organisation; one outside the key's scope is not found.

    Raises:
        InvalidInput: no such organisation for this key, or a viewer's key would change or ask something.
    """
    if not _is_opaque(organization_id) or not key.may_enter(organization_id):
        raise InvalidInput(
            "not_found", "There is nothing here.", action="Check the organisation and the scope of the key."
        )
    if key.role is Role.VIEWER and request.method not in _LOOKING:
        raise InvalidInput(
            "role_insufficient",
            "The role viewer may look at runs and states, and start, ask or change nothing.",
            owner=Owner.TENANT,
            action="Use a key of the role operator.",
        )
    return organization_id


def _is_opaque(text: str) -> bool:
    return re.fullmatch(_OPAQUE, text) is not None


Organization = Annotated[str, Depends(organization)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same body gives the same answer; with another body it is refused.",
    ),
]


async def wedsync(request: Request) -> WedSync:
    """Return the facade.

    Raises:
        Transient: Temporal does not answer.
    """
    return await gateway_of(request).wedsync()


Facade = Annotated[WedSync, Depends(wedsync)]


async def read_body(request: Request) -> bytes:
    """Return the request's body.

    Raises:
        InvalidInput: larger than 1 MiB.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise InvalidInput(
                "payload_too_large",
                "The body is larger than 1 MiB.",
                action="Send bulk data by reference, not in a request.",
            )
    return bytes(body)


async def once(
    request: Request,
    organization_id: str,
    key: str | None,
    model: type[M],
    act: Callable[[WedSync, M], Awaitable[Answer]],
) -> Response:
    """Validate the body, act on it, and answer a repeat of the same idempotency key without acting again.

    Args:
        request: the POST.
        organization_id: its organisation.
        key: its idempotency key.
        model: what the body holds.
        act: does what is asked.

    Raises:
        InvalidInput: the body is invalid, or the key was used for another request.
    """
    body = await read_body(request)
    gateway = gateway_of(request)
    if key is None:
        return _response(await act(await gateway.wedsync(), parse(body, model, organization_id)))
    store = gateway.idempotency
    fingerprint = store.fingerprint(organization_id, _canonical(request, body))
    with translated():
        known = await store.begin(organization_id, _checked(key), fingerprint)
    if isinstance(known, Mismatch):
        raise InvalidInput(
            "idempotency_mismatch",
            "This Idempotency-Key was used for another request.",
            action="Use a new key for a new request.",
        )
    if known is None:
        try:
            known = await act(await gateway.wedsync(), parse(body, model, organization_id))
        except WedSyncError:
            await store.release(organization_id, key)
            raise
        await store.complete(organization_id, key, known)
    return _response(known)


def _checked(key: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise InvalidInput(
            "idempotency_key_invalid",
            "The Idempotency-Key is empty, longer than 255 characters or not plain text.",
            action="Use a UUID.",
        )
    return key


def _canonical(request: Request, body: bytes) -> bytes:
    """The same request whatever the order and spacing of its JSON."""
    try:
        given: JsonValue = json.loads(body)
        text = json.dumps(given, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        text = body
    return b"\n".join((request.method.encode(), request.url.path.encode(), text))


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), media_type="application/json")


def answer(model: Contract, status: int = 200, **headers: str) -> Answer:
    """Return a contract as an answer; header names are written with underscores."""
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, model.model_dump_json())
