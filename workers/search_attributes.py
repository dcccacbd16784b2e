"""The namespace's search attributes: without them every workflow task of ours fails for ever."""

from __future__ import annotations

from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client, RPCError
from temporalio.service import RPCStatusCode

from contracts.errors import Owner, Permanent, Transient
from contracts.names import SearchAttribute

_NOT_TOLD = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED})
"""What a service answers that shows its search attributes to its own console only."""


async def missing_attributes(client: Client) -> list[str]:
    """Return the search attributes that workflows set and the namespace does not know.

    Raises:
        RPCError: Temporal does not answer, or does not tell.
    """
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return [attribute.value for attribute in SearchAttribute if attribute.value not in known.custom_attributes]


async def require_attributes(client: Client) -> None:
    """Refuse to work in a namespace where no workflow could make progress.

    Raises:
        Permanent: some are missing.
        Transient: Temporal does not answer.
    """
    try:
        missing = await missing_attributes(client)
    except RPCError as error:
        if error.status in _NOT_TOLD:
            return
        raise Transient(
            "temporal_unreachable",
            f"Temporal does not list the search attributes of the namespace {client.namespace}.",
            owner=Owner.OPERATOR,
            action="Look at `wedsync doctor`: the service or the namespace may be missing.",
        ) from error
    if missing:
        names = " ".join(f"--name {name} --type Keyword" for name in missing)
        raise Permanent(
            "search_attributes_missing",
            f"The namespace {client.namespace} does not know the search attributes {', '.join(missing)}.",
            owner=Owner.OPERATOR,
            action=f"Run `temporal operator search-attribute create {names}`, then start the worker again.",
        )
