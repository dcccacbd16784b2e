"""Tokens are obtained from a real token endpoint over TCP, and kept in the store whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.testing import ActivityEnvironment

from activities.access import Access
from activities.security.envelope import MasterKey
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, metadata
from activities.tokens import Tokens
from activities.transport.oauth import OAuthClient
from contracts.errors import AuthExpired, OutcomeUnknown, Permanent, Transient, WedSyncError
from contracts.health import IntegrationKey
from contracts.integration import ConnectionConfiguration, CredentialRef, IntegrationConfiguration, IntegrationState
from contracts.tokens import ObtainedToken, ObtainToken
from tests.support.emulators import Emulators
from tests.support.loopback import IN_DEVELOPMENT, loopback_client
from tests.support.oauth import REDIRECT, VERIFIER, OAuthApp

EMULATED = ("hubspot", "salesforce", "powerbi", "sap_analytics_cloud")
KEY = IntegrationKey(organization_id="lumen", integration_id="crm", platform="hubspot")
TOKEN_PATH = "oauth/2026-09/token"


class Apps:
    def __init__(self, secret: str = "sandbox-hubspot-secret") -> None:
        self.secret: str | None = secret

    def of(self, system: str) -> OAuthClient | None:
        return OAuthClient("sandbox-hubspot-client", SecretStr(self.secret)) if self.secret else None


class Stumbling(SealedSecretStore):
    """Refuses the next writes, as a store does that is restarted."""

    failures = 0

    async def put(self, *given: object, **more: object) -> CredentialRef:
        if self.failures:
            self.failures -= 1
            raise Transient("secret_store_unavailable", "It does not answer.")
        return await super().put(*given, **more)  # type: ignore[arg-type]


@dataclass
class Bench:
    connections: ConnectionStore
    secrets: Stumbling
    tokens: Tokens
    apps: Apps

    async def holds(
        self, platform: str = "hubspot", settings: dict[str, str] | None = None, /, **values: str
    ) -> CredentialRef:
        """Put a credential to use."""
        ref = await self.secrets.put("lumen", "crm", values)
        config = IntegrationConfiguration(
            organization_id="lumen",
            integration_id="crm",
            platform=platform,
            connection_config=ConnectionConfiguration(credential_ref=ref, **settings or {}),
        )
        await self.connections.put(config, IntegrationState.ACTIVE)
        return ref

    async def obtain(self, ref: CredentialRef, *, renew: bool = False) -> ObtainedToken:
        wanted = ObtainToken(key=KEY, ref=ref, renew=renew)
        return await ActivityEnvironment().run(self.tokens.obtain, wanted)

    async def in_use(self) -> CredentialRef | None:
        stored = await self.connections.get("lumen", "crm")
        assert stored is not None
        return stored.configuration.connection_config.credential_ref

    async def values(self, ref: CredentialRef) -> dict[str, str]:
        return {name: value.get_secret_value() for name, value in (await self.secrets.get(ref)).items()}


@pytest.fixture
async def bench(emulators: Emulators, tmp_path: Path) -> AsyncIterator[Bench]:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    key = MasterKey(bytes(32))
    connections, secrets = ConnectionStore(database, key), Stumbling(database, key)

    async def at(platform: str) -> str | None:
        return emulators.base_url(platform)

    access, apps = Access(connections, secrets, at, IN_DEVELOPMENT), Apps()
    yield Bench(connections, secrets, Tokens(access, connections, secrets, apps), apps)
    await access.aclose()
    await database.aclose()


@pytest.fixture
def app(served_emulators: str, emulators: Emulators) -> Iterator[OAuthApp]:
    with loopback_client(served_emulators) as client:
        app = OAuthApp(
            client,
            "hubspot",
            "sandbox-hubspot-client",
            "sandbox-hubspot-secret",
            "/oauth/authorize",
            f"/{TOKEN_PATH}",
        )
        app.rules(rotate=True, revokeOnReuse=True, lifetimeS=1_800)
        yield app


def reads(app: OAuthApp, token: str) -> int:
    answer = app.client.get("/hubspot/crm/v3/objects/contacts/501", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


async def granted(bench: Bench, app: OAuthApp) -> CredentialRef:
    grant = app.grant()
    return await bench.holds(accessToken=grant["accessToken"], refreshToken=grant["refreshToken"])


async def test_a_consent_becomes_a_credential_that_the_vendor_accepts(bench: Bench, app: OAuthApp) -> None:
    ref = await bench.holds(authorizationCode=app.code(), codeVerifier=VERIFIER, redirectUri=REDIRECT)
    obtained = await bench.obtain(ref)
    values = await bench.values(obtained.ref)
    assert reads(app, values["accessToken"]) == 200
    assert not {"authorizationCode", "codeVerifier"} & values.keys()
    assert await bench.in_use() == obtained.ref


async def test_a_token_that_lives_is_not_renewed(bench: Bench, app: OAuthApp) -> None:
    first = await bench.obtain(await granted(bench, app), renew=True)
    again = await bench.obtain(first.ref)
    assert again.ref == first.ref
    assert 1_700 < (again.life_s or 0) <= 1_800
    assert app.counts()["requests"]["refresh_token"] == 1


async def test_a_renewal_takes_the_place_of_what_it_renewed(bench: Bench, app: OAuthApp) -> None:
    old = await granted(bench, app)
    renewed = await bench.obtain(old, renew=True)
    assert reads(app, (await bench.values(renewed.ref))["accessToken"]) == 200
    assert await bench.in_use() == renewed.ref
    with pytest.raises(AuthExpired):
        await bench.secrets.get(old)


async def test_f31_a_worker_killed_after_it_stored_the_answer_asks_nothing_again(
    bench: Bench, app: OAuthApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await granted(bench, app)

    async def killed(*_: object) -> bool:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(bench.connections, "adopt_credential", killed)
        with pytest.raises(asyncio.CancelledError):
            await bench.obtain(old, renew=True)
    renewed = await bench.obtain(old, renew=True)
    assert app.counts()["requests"]["refresh_token"] == 1
    assert reads(app, (await bench.values(renewed.ref))["accessToken"]) == 200
    assert await bench.in_use() == renewed.ref


async def test_f31_an_answer_lost_at_a_vendor_that_rotates_ends_in_a_clear_refusal(
    bench: Bench, app: OAuthApp, emulators: Emulators
) -> None:
    old = await granted(bench, app)
    emulators.fault("hubspot", "drop_after_effect", path=TOKEN_PATH, count=1)
    with pytest.raises(OutcomeUnknown):
        await bench.obtain(old, renew=True)
    with pytest.raises(AuthExpired) as caught:
        await bench.obtain(old, renew=True)
    assert caught.value.detail.code == "grant_refused"
    assert "authorize" in caught.value.detail.action


async def test_f31_an_answer_lost_at_a_vendor_that_does_not_rotate_costs_one_more_request(
    bench: Bench, app: OAuthApp, emulators: Emulators
) -> None:
    app.rules(rotate=False)
    old = await granted(bench, app)
    emulators.fault("hubspot", "drop_after_effect", path=TOKEN_PATH, count=1)
    with pytest.raises(OutcomeUnknown):
        await bench.obtain(old, renew=True)
    renewed = await bench.obtain(old, renew=True)
    assert reads(app, (await bench.values(renewed.ref))["accessToken"]) == 200


async def test_a_store_that_is_away_for_a_moment_loses_no_answer(bench: Bench, app: OAuthApp) -> None:
    old = await granted(bench, app)
    bench.secrets.failures = 2
    renewed = await bench.obtain(old, renew=True)
    assert reads(app, (await bench.values(renewed.ref))["accessToken"]) == 200
    assert app.counts()["requests"]["refresh_token"] == 1


async def test_a_rotation_waiting_in_the_store_does_not_stop_a_renewal(bench: Bench, app: OAuthApp) -> None:
    old = await granted(bench, app)
    candidate = await bench.secrets.put("lumen", "crm", {"accessToken": "candidate"})
    renewed = await bench.obtain(old, renew=True)
    assert renewed.ref.version > candidate.version
    assert (await bench.values(candidate))["accessToken"] == "candidate"


async def test_f32_a_revoked_grant_is_the_tenants_and_asked_for_once(bench: Bench, app: OAuthApp) -> None:
    old = await granted(bench, app)
    app.revoke()
    with pytest.raises(AuthExpired) as caught:
        await bench.obtain(old, renew=True)
    assert (caught.value.detail.code, caught.value.detail.owner) == ("grant_refused", "tenant")
    assert app.counts()["requests"]["refresh_token"] == 1


async def test_a_wrong_secret_of_our_app_is_the_operators(bench: Bench, app: OAuthApp) -> None:
    bench.apps.secret = "another"
    with pytest.raises(AuthExpired) as caught:
        await bench.obtain(await granted(bench, app), renew=True)
    assert (caught.value.detail.code, caught.value.detail.owner) == ("client_refused", "operator")


async def test_an_installation_without_an_app_says_so(bench: Bench, app: OAuthApp) -> None:
    bench.apps.secret = None
    with pytest.raises(Permanent) as caught:
        await bench.obtain(await granted(bench, app), renew=True)
    assert caught.value.detail.code == "oauth_client_missing"


async def test_a_private_app_token_is_kept_and_its_refusal_is_final(bench: Bench, app: OAuthApp) -> None:
    ref = await bench.holds(accessToken="sandbox-hubspot-token")
    assert await bench.obtain(ref) == ObtainedToken(ref=ref)
    with pytest.raises(AuthExpired) as caught:
        await bench.obtain(ref, renew=True)
    assert caught.value.detail.code == "credential_refused"


async def test_an_app_obtains_a_token_in_its_own_name_and_the_accounts_address_with_it(
    bench: Bench, emulators: Emulators
) -> None:
    ref = await bench.holds(
        "salesforce", clientId="sandbox-salesforce-client", clientSecret="sandbox-salesforce-secret"
    )
    obtained = await bench.obtain(ref)
    values = await bench.values(obtained.ref)
    assert values["accessToken"]
    assert values["instanceUrl"].startswith(emulators.base_url("salesforce"))
    assert "refreshToken" not in values
    again = await bench.obtain(obtained.ref, renew=True)
    assert (await bench.values(again.ref))["accessToken"] != values["accessToken"]


@pytest.mark.parametrize(
    ("platform", "app", "settings"),
    [
        ("powerbi", "powerbi", {"tenantId": "5b7d2c1e-0a44-4f0e-9d52-6f1f0c8a7e10", "groupId": "group"}),
        ("sap_analytics_cloud", "sap", {"tenant": "lumen", "region": "eu10", "version": "public.WedSync"}),
    ],
)
async def test_an_app_whose_tokens_come_from_another_host_is_renewed_by_its_secret_alone(
    platform: str, app: str, settings: dict[str, str], bench: Bench, emulators: Emulators
) -> None:
    ref = await bench.holds(platform, settings, clientId=f"sandbox-{app}-client", clientSecret=f"sandbox-{app}-secret")
    first = await bench.obtain(ref)
    assert await bench.obtain(first.ref) == first.model_copy(update={"life_s": pytest.approx(first.life_s, abs=60)})
    again = await bench.obtain(first.ref, renew=True)
    values = await bench.values(again.ref)
    assert (values["clientSecret"], "refreshToken" in values) == (f"sandbox-{app}-secret", False)
    assert [effect["kind"] for effect in emulators.effects(platform)] == ["token.issued"] * 2


async def test_a_wrong_secret_of_the_tenants_own_app_is_the_tenants(bench: Bench) -> None:
    settings = {"tenantId": "5b7d2c1e-0a44-4f0e-9d52-6f1f0c8a7e10", "groupId": "group"}
    ref = await bench.holds("powerbi", settings, clientId="sandbox-powerbi-client", clientSecret="wrong-secret")
    with pytest.raises(AuthExpired) as caught:
        await bench.obtain(ref)
    assert (caught.value.detail.code, caught.value.detail.owner) == ("client_refused", "tenant")
    assert "rotate" in caught.value.detail.action
    assert "wrong-secret" not in str(caught.value)


async def test_no_token_stands_in_an_error(bench: Bench, app: OAuthApp) -> None:
    old = await granted(bench, app)
    secrets = (await bench.values(old)).values()
    app.revoke()
    with pytest.raises(WedSyncError) as caught:
        await bench.obtain(old, renew=True)
    told = repr(caught.value.detail) + str(caught.value) + repr(caught.value.__cause__)
    assert not [secret for secret in secrets if secret in told]


async def test_f16_a_worker_whose_clock_is_ten_minutes_off_neither_renews_too_early_nor_too_late(
    bench: Bench, app: OAuthApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) - timedelta(minutes=10)

    first = await bench.obtain(await granted(bench, app), renew=True)
    monkeypatch.setattr("activities.tokens.datetime", Slow)
    second = await bench.obtain(first.ref, renew=True)
    assert second.ref != first.ref
    assert second.life_s == pytest.approx(1_800)
    assert app.counts()["requests"]["refresh_token"] == 2
