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
    raw = await read_body(request)
    # Vendors sign the address as they call it, which a proxy in between may have changed.
    public = gateway_of(request).public_url(f"{PATH}/{system}/{token}")
    query = f"?{request.url.query}" if request.url.query else ""
    signed = SignedRequest(request.method, f"{public}{query}", dict(request.headers), raw)
    reply = await wedsync.hooks.receive(system, token, signed)
    return Response(reply.body, media_type=reply.media_type)
