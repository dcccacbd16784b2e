"""Where vendors send what they tell by themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from activities.security.signatures import SignedRequest
from starters.api.doors import Facade, gateway_of, read_body

PATH = "/v1/hooks"
router = APIRouter(tags=["hooks"])


@router.post(f"{PATH}/{{system}}/{{token}}", response_class=Response)
async def receive(
    request: Request,
    system: Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{1,39}$")],
    token: Annotated[str, Path(max_length=300)],
    wedsync: Facade,
) -> Response:
    """Take a webhook whose signature is the vendor's; what it tells is passed on before it is answered."""
    signed = _as_sent(request, f"{PATH}/{system}/{token}", await read_body(request))
    reply = await wedsync.hooks.receive(system, token, signed)
    return Response(reply.body, media_type=reply.media_type)


@router.get(f"{PATH}/{{system}}/{{token}}", response_class=Response)
async def confirm(
    request: Request,
    system: Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{1,39}$")],
    token: Annotated[str, Path(max_length=300)],
    wedsync: Facade,
) -> Response:
    """Answer a vendor that asks, while its webhook is set up, whether the address is ours."""
    reply = await wedsync.hooks.confirm(system, token, _as_sent(request, f"{PATH}/{system}/{token}", b""))
    return Response(reply.body, media_type=reply.media_type)


def _as_sent(request: Request, path: str, body: bytes) -> SignedRequest:
    # Vendors sign the address as they call it, which a proxy in between may have changed.
    query = f"?{request.url.query}" if request.url.query else ""
    return SignedRequest(request.method, f"{gateway_of(request).public_url(path)}{query}", dict(request.headers), body)
