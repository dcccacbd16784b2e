"""The namespace's search attributes."""

from __future__ import annotations

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client

from contracts.names import SearchAttribute
from starters.failures import translated


async def missing_attributes(client: Client) -> list[str]:
    """Return the search attributes that workflows set and the namespace does not know.

    Raises:
        Transient: Temporal does not answer.
    """
    with translated():
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
    return [attribute.value for attribute in SearchAttribute if attribute.value not in known.custom_attributes]


async def register_missing(client: Client) -> list[str]:
    """Register what is missing and return its names. Idempotent: yes.

    Raises:
        Transient: Temporal does not answer.
    """
    missing = await missing_attributes(client)
    if missing:
        keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        request = AddSearchAttributesRequest(
            namespace=client.namespace, search_attributes=dict.fromkeys(missing, keyword)
        )
        with translated():
            await client.operator_service.add_search_attributes(request)
    return missing
