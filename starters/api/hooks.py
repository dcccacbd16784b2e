"""Where vendors send what they tell by themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from activities.security.signatures import SignedRequest
from starters.api.doors import Facade, gateway_of, read_body

PATH = "/v1/hooks"
router = APIRouter(tags=["hooks"])


System = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
Token = Annotated[str, Path(max_length=300)]


@router.post(f"{PATH}/{{system}}/{{token}}", response_class=Response)
async def receive(request: Request, system: System, token: Token, wedsync: Facade) -> Response:
    """Take a webhook whose signature is the vendor's; what it tells is passed on before it is answered."""
    receipt = await wedsync.hooks.receive(system, token, await _signed(request))
    return Response(receipt.body, media_type=receipt.media_type)


@router.get(f"{PATH}/{{system}}/{{token}}", response_class=Response)
async def challenge(request: Request, system: System, token: Token, wedsync: Facade) -> Response:
    """Answer a vendor that asks whether the address is ours."""
    return Response(await wedsync.hooks.challenge(system, token, await _signed(request)), media_type="text/plain")


async def _signed(request: Request) -> SignedRequest:
    # Vendors sign the address as they call it, which a proxy in between may have changed.
    public = gateway_of(request).public_url(request.url.path)
    query = f"?{request.url.query}" if request.url.query else ""
    return SignedRequest(request.method, f"{public}{query}", dict(request.headers), await read_body(request))
