"""Registering the search attributes of a namespace of our own."""

from __future__ import annotations

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client

from starters.failures import translated
from workers.search_attributes import missing_attributes


async def register_missing(client: Client) -> list[str]:
    """Register what is missing and return its names. Idempotent: yes.

    Raises:
        Transient: Temporal does not answer.
    """
    with translated():
        missing = await missing_attributes(client)
    if missing:
        keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        request = AddSearchAttributesRequest(
            namespace=client.namespace, search_attributes=dict.fromkeys(missing, keyword)
        )
        with translated():
            await client.operator_service.add_search_attributes(request)
    return missing
