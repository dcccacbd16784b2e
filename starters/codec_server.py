"""The codec server: opens sealed payloads for the Web UI's browser and the Temporal command line."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from google.protobuf import json_format
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import PayloadCodec

from contracts.errors import ErrorDetail, InvalidInput, WedSyncError

MAX_BODY_BYTES = 8 << 20
Verify = Callable[[str], Awaitable[bool]]
"""Bearer token -> whether it may read every organisation's payloads."""


def build_codec_app(
    codec: PayloadCodec, *, origins: list[str], hosts: list[str], verify: Verify | None = None
) -> Starlette:
    """Return the application with `/encode` and `/decode`.

    Args:
        codec: the codec of every client and worker.
        origins: browsers' origins that may read the answers: the Web UI's.
        hosts: names this server answers to, so that a foreign page cannot reach it under its own name.
        verify: when given, every call needs a bearer token it accepts.
    """

    async def encode(request: Request) -> Response:
        return await _answer(request, codec.encode, verify)

    async def decode(request: Request) -> Response:
        return await _answer(request, codec.decode, verify)

    return Starlette(
        routes=[Route("/encode", encode, methods=["POST"]), Route("/decode", decode, methods=["POST"])],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
            Middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=["POST"],
                allow_headers=["x-namespace", "authorization", "content-type"],
                allow_credentials=True,
            ),
        ],
    )


async def _answer(
    request: Request, convert: Callable[[list[Payload]], Awaitable[list[Payload]]], verify: Verify | None
) -> Response:
    if verify is not None and not await _allowed(request, verify):
        return JSONResponse({"message": "A valid bearer token is needed."}, 401, {"WWW-Authenticate": "Bearer"})
    try:
        given = await _payloads(request)
        converted = await convert(list(given.payloads))
    except WedSyncError as error:
        return _refusal(error.detail)
    text = json_format.MessageToJson(Payloads(payloads=converted), indent=None)
    return Response(text, media_type="application/json")


async def _allowed(request: Request, verify: Verify) -> bool:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return hmac.compare_digest(scheme.lower(), "bearer") and await verify(token)


async def _payloads(request: Request) -> Payloads:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise InvalidInput("payload_too_large", "The payloads are larger than 8 MiB.", action="Send fewer at once.")
    try:
        given = from_json(bytes(body))
        if isinstance(given, dict):
            return json_format.ParseDict(given, Payloads())
    except (json_format.ParseError, ValueError):
        pass
    raise InvalidInput(
        "not_payloads", "The body is not a Payloads message in JSON.", action="Point Temporal's own tools here."
    )


def _refusal(detail: ErrorDetail) -> Response:
    return JSONResponse({"message": detail.sentence(), "code": detail.code}, 400)
