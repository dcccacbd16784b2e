"""Consents are begun at vendors that ask a person; every other system says how it is connected."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import InvalidInput
from contracts.integration import IntegrationConfiguration
from starters.authorizations import Authorizations


@pytest.mark.parametrize("platform", ["powerbi", "sap_analytics_cloud", "tave"])
async def test_a_system_without_a_consent_page_names_the_command_that_connects_it(platform: str) -> None:
    nothing: Any = None
    authorizations = Authorizations(nothing, nothing, nothing, nothing, "https://wedsync.example")
    asked = IntegrationConfiguration(organization_id="lumen", integration_id="bi", platform=platform)
    with pytest.raises(InvalidInput, match="integrations connect FILE") as caught:
        await authorizations.begin(asked)
    assert caught.value.detail.code == "oauth_unsupported"
