"""The emulated authorisation server over TCP: consent, PKCE, expiry, rotation, reuse and revocation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client
from tests.support.oauth import REDIRECT, OAuthApp
from tests.support.specs import specs_dir

EMULATED = ("hubspot",)


@pytest.fixture
def app(served_emulators: str, emulators: Emulators) -> Iterator[OAuthApp]:
    with loopback_client(served_emulators) as client:
        yield OAuthApp(
            client, "hubspot", "sandbox-hubspot-client", "sandbox-hubspot-secret", "/oauth/authorize", "/oauth/v1/token"
        )


def reads(app: OAuthApp, token: str) -> httpx.Response:
    return app.client.get("/hubspot/crm/v3/objects/contacts/501", headers={"Authorization": f"Bearer {token}"})


def kinds(emulators: Emulators) -> list[str]:
    return [effect["kind"] for effect in emulators.effects("hubspot")]


def test_an_approved_consent_brings_the_code_and_the_state_back(app: OAuthApp) -> None:
    answer = app.consent(approve="1")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(REDIRECT)
    found = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert found["state"] == ["s-1"]
    assert found["code"]


def test_a_refused_consent_brings_an_error_back(app: OAuthApp) -> None:
    found = parse_qs(urlsplit(app.consent(approve="0").headers["Location"]).query)
    assert (found["error"], found["state"]) == (["access_denied"], ["s-1"])


def test_the_consent_page_asks_the_person(app: OAuthApp) -> None:
    page = app.consent()
    assert page.headers["Content-Type"].startswith("text/html")
    assert 'name="approve"' in page.text


def test_an_unregistered_redirect_address_is_never_redirected_to(app: OAuthApp) -> None:
    app.rules(redirectUris=[REDIRECT])
    assert app.consent(approve="1", redirect_uri=REDIRECT + "/").status_code == 400


def test_an_outside_address_is_never_redirected_to(app: OAuthApp) -> None:
    assert app.consent(approve="1", redirect_uri="https://elsewhere.example.com/").status_code == 400


def test_exchanged_tokens_open_the_api(app: OAuthApp) -> None:
    tokens = app.exchange(app.code()).json()
    assert tokens["expires_in"] == 1800
    assert reads(app, tokens["access_token"]).status_code == 200


def test_the_static_sandbox_token_opens_the_api_too(app: OAuthApp) -> None:
    assert reads(app, "sandbox-hubspot-token").status_code == 200


def test_a_code_is_good_once(app: OAuthApp) -> None:
    code = app.code()
    app.exchange(code)
    assert app.exchange(code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"code_verifier": "another-verifier-of-the-same-length-0123456789-0123"}, "invalid_grant"),
        ({"redirect_uri": REDIRECT + "?x=1"}, "invalid_grant"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "wrong"}, "invalid_client_id"),
    ],
)
def test_an_exchange_that_does_not_fit_its_consent_is_refused(app: OAuthApp, wrong: dict[str, str], error: str) -> None:
    answer = app.exchange(app.code(), **wrong)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_challenge_other_than_s256_is_refused(app: OAuthApp) -> None:
    found = parse_qs(urlsplit(app.consent(approve="1", code_challenge_method="plain").headers["Location"]).query)
    assert found["error"] == ["invalid_request"]


def test_an_expired_access_token_is_told_from_an_unknown_one(app: OAuthApp) -> None:
    expired = reads(app, app.grant(lifetimeS=0)["accessToken"])
    assert (expired.status_code, expired.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert reads(app, "no-such-token").json()["category"] == "INVALID_AUTHENTICATION"


def test_without_rotation_the_refresh_token_stays(app: OAuthApp) -> None:
    grant = app.grant()
    first, second = app.refresh(grant["refreshToken"]), app.refresh(grant["refreshToken"])
    assert (first.status_code, second.status_code) == (200, 200)
    assert reads(app, second.json()["access_token"]).status_code == 200


def test_with_rotation_each_refresh_token_is_good_once(app: OAuthApp) -> None:
    app.rules(rotate=True)
    successor = app.refresh(app.grant()["refreshToken"]).json()["refresh_token"]
    assert app.refresh(successor).status_code == 200


def test_a_spent_refresh_token_revokes_its_whole_family(app: OAuthApp, emulators: Emulators) -> None:
    app.rules(rotate=True)
    grant = app.grant()
    tokens = app.refresh(grant["refreshToken"]).json()
    answer = app.refresh(grant["refreshToken"])
    assert (answer.status_code, answer.json()["status"]) == (400, "BAD_REFRESH_TOKEN")
    assert reads(app, tokens["access_token"]).status_code == 401
    assert app.refresh(tokens["refresh_token"]).status_code == 400
    assert kinds(emulators) == ["token.issued", "token.refreshed", "token.reused", "token.revoked"]
    assert app.counts()["reuseEvents"] == 1


def test_reuse_that_does_not_revoke_is_still_an_event(app: OAuthApp) -> None:
    app.rules(rotate=True, revokeOnReuse=False)
    grant = app.grant()
    tokens = app.refresh(grant["refreshToken"]).json()
    app.refresh(grant["refreshToken"])
    assert reads(app, tokens["access_token"]).status_code == 200
    assert app.counts()["reuseEvents"] == 1


def test_f38_a_lost_answer_leaves_the_token_rotated(app: OAuthApp, emulators: Emulators) -> None:
    app.rules(rotate=True)
    grant = app.grant()
    emulators.fault("hubspot", "drop_after_effect", path="oauth/v1/token", count=1)
    with pytest.raises(httpx.TransportError):
        app.refresh(grant["refreshToken"])
    assert kinds(emulators) == ["token.issued", "token.refreshed"]
    assert app.refresh(grant["refreshToken"]).json()["error"] == "invalid_grant"


def test_a_grant_revoked_by_the_account_is_dead(app: OAuthApp) -> None:
    kept, ended = app.grant(), app.grant()
    assert app.revoke(ended["grantId"]) == 1
    assert app.refresh(ended["refreshToken"]).status_code == 400
    assert reads(app, ended["accessToken"]).status_code == 401
    assert app.refresh(kept["refreshToken"]).status_code == 200


def test_revoking_everything_ends_every_grant(app: OAuthApp) -> None:
    app.grant(count=3)
    assert app.revoke() == 3
    assert app.revoke() == 0


def test_a_revocation_fault_at_the_token_endpoint_ends_the_grant(app: OAuthApp, emulators: Emulators) -> None:
    grant = app.grant()
    emulators.fault("hubspot", "revoke_token", path="oauth/v1/token", count=1)
    assert app.refresh(grant["refreshToken"]).json()["status"] == "BAD_REFRESH_TOKEN"
    assert reads(app, grant["accessToken"]).status_code == 401


def test_a_refresh_token_deleted_at_hubspot_leaves_its_access_tokens(app: OAuthApp) -> None:
    grant = app.grant()
    app.client.post("/hubspot/oauth/2026-09/token/revoke", data={"token": grant["refreshToken"]})
    assert app.refresh(grant["refreshToken"]).status_code == 400
    assert reads(app, grant["accessToken"]).status_code == 200


def test_client_credentials_bring_no_refresh_token(app: OAuthApp) -> None:
    tokens = app.token("client_credentials").json()
    assert "refresh_token" not in tokens
    assert reads(app, tokens["access_token"]).status_code == 200


def test_introspection_tells_the_scopes(app: OAuthApp) -> None:
    grant = app.grant(scope="oauth crm.objects.deals.read")
    client = {"client_id": app.client_id, "client_secret": app.client_secret}
    body = {**client, "token": grant["accessToken"]}
    described = app.client.post("/hubspot/oauth/2026-09/token/introspect", data=body).json()
    assert (described["active"], described["scopes"]) == (True, ["oauth", "crm.objects.deals.read"])


def test_a_thousand_grants_are_made_at_once(app: OAuthApp) -> None:
    made = app.grant(count=1000)["grants"]
    assert len({grant["accessToken"] for grant in made}) == 1000
    assert reads(app, made[999]["accessToken"]).status_code == 200


def test_the_counts_tell_each_request_and_refusal(app: OAuthApp) -> None:
    grant = app.grant()
    app.refresh(grant["refreshToken"])
    app.refresh("no-such-token")
    counts = app.counts()
    assert counts["requests"] == {"authorization_code": 0, "refresh_token": 2, "client_credentials": 0}
    assert counts["refusals"] == {"invalid_grant": 1}


def test_a_lifetime_set_by_hand_is_that_of_the_next_token(app: OAuthApp) -> None:
    app.rules(lifetimeS=7)
    assert app.refresh(app.grant()["refreshToken"]).json()["expires_in"] == 7


def test_hubspots_token_answers_are_those_its_description_names(app: OAuthApp) -> None:
    described = json.loads((specs_dir("hubspot") / "v1" / "oauth.json").read_text(encoding="utf-8"))
    registry: Registry[Any] = Registry().with_resource("urn:oauth", Resource(described, DRAFT4))  # type: ignore[call-arg]
    answers = {"AccessTokenResponse": app.refresh(app.grant()["refreshToken"])}
    answers["ClientCredentialsTokenResponse"] = app.token("client_credentials")
    answers["Error"] = app.refresh("no-such-token")
    for name, answer in answers.items():
        schema = {"$ref": f"urn:oauth#/components/schemas/{name}"}
        assert [error.message for error in OAS30Validator(schema, registry=registry).iter_errors(answer.json())] == []


def test_no_token_is_readable_in_what_the_control_api_shows(app: OAuthApp, emulators: Emulators) -> None:
    app.rules(rotate=True)
    grant = app.grant()
    tokens = app.refresh(grant["refreshToken"]).json()
    app.client.get("/hubspot/crm/v3/objects/contacts", params={"access_token": tokens["access_token"]})
    objects = [emulators.objects("hubspot", f"oauth/{kind}") for kind in ("grants", "access", "refresh", "codes")]
    shown = json.dumps([emulators.effects("hubspot"), emulators.requests("hubspot"), objects])
    secrets = [grant["accessToken"], grant["refreshToken"], tokens["access_token"], tokens["refresh_token"]]
    assert [secret in shown for secret in secrets] == [False] * 4
