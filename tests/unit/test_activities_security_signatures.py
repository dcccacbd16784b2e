"""Signatures of inbound requests: the vendors' own examples pass, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.security import signatures
from activities.security.signatures import Check, SignedRequest, Verdict, meta, twilio

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
SECRET = "sandbox-signing-secret"
CHECKS: dict[str, Check] = {
    "asana": signatures.asana,
    "hubspot": signatures.hubspot,
    "pagerduty": signatures.pagerduty,
    "slack": signatures.slack,
    "square": signatures.square,
    "tripleseat": signatures.tripleseat,
    "twilio": signatures.twilio,
    "whatsapp": signatures.meta,
}
URL = "https://hooks.example.com/v1/hooks/any/token?round=1"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Example:
    """A signed request that a vendor's documents or official SDK show, and the instant it was made."""

    system: str
    secret: str
    request: SignedRequest
    at: datetime = NOW


def example(
    system: str, secret: str, signature: dict[str, str], body: str, url: str = URL, at: datetime = NOW
) -> Example:
    return Example(system, secret, SignedRequest("POST", url, signature, body.encode()), at)


PUBLISHED = [
    # Twilio's security guide.
    example(
        "twilio",
        "12345",
        {"x-twilio-signature": "0/KCTR6DLpKmkAf8muzZqo1nDgQ=", **FORM},
        "CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212",
        "https://mycompany.com/myapp.php?foo=1&bar=2",
    ),
    # Slack's guide to verifying requests.
    example(
        "slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            "x-slack-request-timestamp": "1531420618",
        },
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        at=datetime.fromtimestamp(1531420618, UTC),
    ),
    # GitHub's guide to validating deliveries, which describes the same header and algorithm as Meta's.
    example(
        "whatsapp",
        "It's a Secret to Everybody",
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        "Hello, World!",
    ),
    # Square's SDK.
    example(
        "square",
        "Ibxx_5AKakO-3qeNVR61Dw",
        {"x-square-hmacsha256-signature": "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4="},
        '{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification",'
        '"event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f","created_at":"2022-07-13T20:30:59.037339943Z",'
        '"data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}',
        "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9",
    ),
]


def hexed(text: bytes) -> str:
    return hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()


def based(text: bytes) -> str:
    return base64.b64encode(hmac.new(SECRET.encode(), text, hashlib.sha256).digest()).decode()


def built(system: str, body: bytes = b'{"id":1}', at: datetime = NOW) -> SignedRequest:
    """A request signed as the vendor's document describes it in words."""
    seconds, milliseconds = str(int(at.timestamp())), str(int(at.timestamp() * 1_000))
    headers: Callable[[], dict[str, str]] = {
        "asana": lambda: {"x-hook-signature": hexed(body)},
        "hubspot": lambda: {
            "x-hubspot-signature-v3": based(b"POST" + URL.encode() + body + milliseconds.encode()),
            "x-hubspot-request-timestamp": milliseconds,
        },
        "pagerduty": lambda: {"x-pagerduty-signature": f"v1={hexed(b'rotated')}, v1={hexed(body)}"},
        "slack": lambda: {
            "x-slack-signature": "v0=" + hexed(f"v0:{seconds}:".encode() + body),
            "x-slack-request-timestamp": seconds,
        },
        "square": lambda: {"x-square-hmacsha256-signature": based(URL.encode() + body)},
        "tripleseat": lambda: {"x-signature": hexed(body)},
        "twilio": lambda: {"x-twilio-signature": _sha1(URL + "Body1"), **FORM},
        "whatsapp": lambda: {"x-hub-signature-256": "sha256=" + hexed(body)},
    }[system]
    return SignedRequest("POST", URL, headers(), b"Body=1" if system == "twilio" else body)


def _sha1(text: str) -> str:
    return base64.b64encode(hmac.new(SECRET.encode(), text.encode(), hashlib.sha1).digest()).decode()


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda one: one.system)
def test_the_example_that_the_vendor_publishes_is_genuine(published: Example) -> None:
    check = CHECKS[published.system]
    assert check(published.request, [published.secret], published.at) is Verdict.GENUINE


@pytest.mark.parametrize("system", sorted(CHECKS))
def test_a_request_signed_with_any_live_secret_is_genuine(system: str) -> None:
    assert CHECKS[system](built(system), ["the-next-secret", SECRET], NOW) is Verdict.GENUINE


@pytest.mark.parametrize("system", sorted(CHECKS))
@pytest.mark.parametrize("secrets", [["another"], [], [""]], ids=["another", "none", "empty"])
def test_a_request_that_no_live_secret_signed_is_forged(system: str, secrets: list[str]) -> None:
    assert CHECKS[system](built(system), secrets, NOW) is Verdict.FORGED


@pytest.mark.parametrize("system", sorted(CHECKS))
def test_one_changed_byte_of_the_body_is_a_forgery(system: str) -> None:
    request = built(system)
    assert CHECKS[system](replace(request, body=request.body + b" "), [SECRET], NOW) is Verdict.FORGED


@pytest.mark.parametrize("system", ["hubspot", "square", "twilio"])
def test_a_request_moved_to_another_address_is_a_forgery(system: str) -> None:
    moved = replace(built(system), url=URL.replace("token", "another"))
    assert CHECKS[system](moved, [SECRET], NOW) is Verdict.FORGED


@pytest.mark.parametrize("system", sorted(CHECKS))
def test_a_request_without_the_vendors_headers_is_unsigned(system: str) -> None:
    assert CHECKS[system](replace(built(system), headers={}), [SECRET], NOW) is Verdict.UNSIGNED


@pytest.mark.parametrize("system", ["slack", "hubspot"])
@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_genuine_request_outside_the_window_is_stale_in_both_directions(system: str, minutes: int) -> None:
    request = built(system, at=NOW + timedelta(minutes=minutes))
    assert CHECKS[system](request, [SECRET], NOW) is Verdict.STALE


@pytest.mark.parametrize("system", ["slack", "hubspot"])
@pytest.mark.parametrize("instant", ["", "soon", "-1", "1e9", "9" * 5_000, "١٢٣"])
def test_an_instant_that_is_no_number_is_unsigned(system: str, instant: str) -> None:
    request = built(system)
    [name] = [name for name in request.headers if name.endswith("timestamp")]
    changed = replace(request, headers={**request.headers, name: instant})
    assert CHECKS[system](changed, [SECRET], NOW) is Verdict.UNSIGNED


@pytest.mark.parametrize("system", sorted(CHECKS))
@given(signature=st.text(max_size=80))
def test_no_invented_signature_passes_or_raises(system: str, signature: str) -> None:
    request = built(system)
    headers = {name: signature if "signature" in name else value for name, value in request.headers.items()}
    assert CHECKS[system](replace(request, headers=headers), [SECRET], NOW) in {Verdict.FORGED, Verdict.UNSIGNED}


def test_hubspot_signs_some_characters_of_the_address_decoded() -> None:
    decoded = "https://hooks.example.com/h?mail=a@b&at=1:2%20&x=(y)"
    encoded = "https://hooks.example.com/h?mail=a%40b&at=1%3a2%20&x=%28y%29"
    instant = str(int(NOW.timestamp() * 1_000))
    headers = {
        "x-hubspot-signature-v3": based(f"POST{decoded}{{}}{instant}".encode()),
        "x-hubspot-request-timestamp": instant,
    }
    assert CHECKS["hubspot"](SignedRequest("POST", encoded, headers, b"{}"), [SECRET], NOW) is Verdict.GENUINE


@pytest.mark.parametrize("seen", ["https://hooks.example.com/h", "https://hooks.example.com:443/h"])
@pytest.mark.parametrize("signed", ["https://hooks.example.com/h", "https://hooks.example.com:443/h"])
def test_twilio_may_sign_the_address_with_or_without_its_port(seen: str, signed: str) -> None:
    request = SignedRequest("POST", seen, {"x-twilio-signature": _sha1(signed), **FORM}, b"")
    assert twilio(request, [SECRET], NOW) is Verdict.GENUINE


def test_twilio_signs_repeated_and_blank_fields_sorted() -> None:
    request = SignedRequest("POST", URL, {"x-twilio-signature": _sha1(URL + "AB1B2"), **FORM}, b"B=2&A=&B=1&B=2")
    assert twilio(request, [SECRET], NOW) is Verdict.GENUINE


@pytest.mark.parametrize(("sent", "verdict"), [(b'{"a":1}', Verdict.GENUINE), (b'{"a":2}', Verdict.FORGED)])
def test_a_json_body_of_twilio_is_held_to_the_digest_in_the_address(sent: bytes, verdict: Verdict) -> None:
    digest = hashlib.sha256(b'{"a":1}').hexdigest()
    url = f"https://hooks.example.com/h?bodySHA256={digest}"
    headers = {"x-twilio-signature": _sha1(url), "content-type": "application/json"}
    assert twilio(SignedRequest("POST", url, headers, sent), [SECRET], NOW) is verdict


def test_a_json_body_of_twilio_without_a_digest_is_a_forgery() -> None:
    headers = {"x-twilio-signature": _sha1(URL), "content-type": "application/json"}
    assert twilio(SignedRequest("POST", URL, headers, b"{}"), [SECRET], NOW) is Verdict.FORGED


def test_the_older_signature_of_meta_does_not_pass() -> None:
    sha1 = hmac.new(SECRET.encode(), b"{}", hashlib.sha1).hexdigest()
    request = SignedRequest("POST", URL, {"x-hub-signature-256": f"sha1={sha1}"}, b"{}")
    assert meta(request, [SECRET], NOW) is Verdict.UNSIGNED
