"""Where vendors send a tenant back to after asking for consent."""

from __future__ import annotations

from html import escape
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from contracts.errors import WedSyncError
from starters.api.doors import Facade
from starters.authorizations import CALLBACK_PATH

router = APIRouter(tags=["integrations"])

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:1.1rem/1.5 system-ui;margin:15vh auto;max-width:34rem;padding:0 1rem}}</style></head>
<body><h1>{title}</h1><p>{text}</p></body></html>"""
_LONGEST = 4_000


@router.get(CALLBACK_PATH, response_class=HTMLResponse)
async def finish_authorization(
    wedsync: Facade,
    state: Annotated[str, Query(max_length=_LONGEST)] = "",
    code: Annotated[str | None, Query(max_length=_LONGEST)] = None,
) -> HTMLResponse:
    """Connect the integration that the tenant has granted access for; the `state` is good once, for ten minutes."""
    try:
        result = await wedsync.authorizations.finish(state, code)
    except WedSyncError as error:
        return _page("Not connected", error.detail.sentence(), 400)
    return _page("Connected", f"{result.platform} is connected. You may close this window.")


def _page(title: str, text: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=escape(title), text=escape(text)), status, _HEADERS)
