"""`wedsync integrations limits`."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError

from activities.boundary import invalid_input
from contracts.errors import InvalidInput
from contracts.limits import CallLimit, ConnectionLimits, OwnLimit
from starters.cli.options import DataDir, Json, Organization, organization_of, settings_of, with_wedsync
from starters.cli.output import facts, print_json
from starters.client import WedSync
from starters.limits import open_limits

_DEFAULT = "default"


def limits(
    integration_id: Annotated[str, typer.Argument(metavar="ID", help="The integration's id.")],
    set_: Annotated[
        str | None,
        typer.Option("--set", metavar="REQUESTS/SECONDS", help="The account's own limit; `default` takes it away."),
    ] = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Show how much of the vendor's limit is used, and whether the vendor is called at all; or set the limit."""
    wanted = None if set_ is None else parsed(set_)

    async def act(wedsync: WedSync) -> ConnectionLimits:
        chosen = await organization_of(wedsync, organization)
        async with open_limits(settings_of(data_dir)) as store:
            if wanted is not None:
                return await store.set_own(wedsync.client, chosen, integration_id, wanted)
            return await store.show(chosen, integration_id)

    _show(with_wedsync(data_dir, act), as_json=json)


def parsed(text: str) -> OwnLimit:
    """Return the limit that `100/10` (100 requests per 10 seconds) or `default` means.

    Raises:
        InvalidInput: it is neither.
    """
    if text == _DEFAULT:
        return OwnLimit()
    requests, _, seconds = text.partition("/")
    try:
        return OwnLimit(limit=CallLimit(requests=int(requests), per_s=float(seconds)))
    except ValidationError as error:
        raise invalid_input(error) from None
    except ValueError:
        raise InvalidInput(
            "limit_unreadable",
            f"{text!r} is not a limit.",
            action="Write requests and seconds, such as 100/10, or `default`.",
        ) from None


def _show(found: ConnectionLimits, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    limit = found.limit
    facts(
        f"Limits of {found.integration_id}",
        {
            "limit": f"{limit.requests} requests per {limit.per_s:g} s{', its own' if found.own else ''}",
            "used now": str(found.used),
            "kept for emergencies": str(found.reserved),
            "paused until": found.paused_until,
            "circuit": found.circuit,
            "asked again": found.asked_again_at,
        },
    )
