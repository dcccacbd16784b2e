"""The namespace's search attributes, asked of a server that is still starting."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from temporalio.service import RPCError, RPCStatusCode

from contracts.errors import Transient
from starters.search_attributes import missing_attributes


async def test_a_namespace_that_is_not_there_yet_can_be_waited_for() -> None:
    refused = RPCError("Namespace default is not found.", RPCStatusCode.NOT_FOUND, b"")
    service = SimpleNamespace(list_search_attributes=AsyncMock(side_effect=refused))
    client: Any = SimpleNamespace(namespace="default", operator_service=service)
    with pytest.raises(Transient) as caught:
        await missing_attributes(client)
    assert caught.value.detail.code == "namespace_missing"
