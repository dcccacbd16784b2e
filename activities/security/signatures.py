"""How vendors sign what they send to us, as pure checks of one request.

A check sees the raw body and the address as the vendor calls it, before anything is parsed, and all secrets that are
live at the moment. Whether a request was seen before is not its question.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import parse_qs, parse_qsl, urlsplit

WINDOW = timedelta(minutes=5)
"""How far a signed instant may lie before or after ours."""
_INSTANT = re.compile(r"[0-9]{1,16}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HUBSPOT_DECODES = {
    "%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$",
    "%27": "'", "%28": "(", "%29": ")", "%2A": "*", "%2C": ",", "%3B": ";",
}  # fmt: skip
_HUBSPOT_ENCODED = re.compile("|".join(_HUBSPOT_DECODES), re.IGNORECASE)


class Verdict(StrEnum):
    """What a check found; only `GENUINE` may change anything."""

    GENUINE = "genuine"
    UNSIGNED = "unsigned"
    """The vendor's header is missing or not in the vendor's form."""
    FORGED = "forged"
    """No live secret makes this signature."""
    STALE = "stale"
    """Signed by the vendor, at an instant outside the window."""


@dataclass(frozen=True)
class SignedRequest:
    """A request as it arrived.

    `url` is the public address with its query, as registered at the vendor; header names are in lower case.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


Check = Callable[[SignedRequest, Sequence[str], datetime], Verdict]
"""Takes the request, the live secrets, and the instant of arrival."""


def twilio(request: SignedRequest, secrets: Sequence[str], now: datetime) -> Verdict:  # noqa: ARG001
    """Check `X-Twilio-Signature`: HMAC-SHA1 of the address and the sorted form fields, under the auth token.

    A body that is no form is not signed itself: its SHA-256 stands in the address as `bodySHA256`.

    Source: https://www.twilio.com/docs/usage/security#validating-requests; that the address is tried with and without
    the port, and repeated fields count once in order, is the official SDK's behaviour.
    """
    given = request.headers.get("x-twilio-signature", "")
    if not given:
        return Verdict.UNSIGNED
    fields = ""
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        text = request.body.decode("utf-8", "replace")
        fields = "".join(name + value for name, value in sorted(set(parse_qsl(text, keep_blank_values=True))))
    elif request.body:
        [promised] = parse_qs(urlsplit(request.url).query).get("bodySHA256", [""])[:1]
        if not _same(hashlib.sha256(request.body).hexdigest(), promised.lower()):
            return Verdict.FORGED
    signed = [(url + fields).encode() for url in _with_and_without_port(request.url)]
    return _verdict([given], (_base64(one, text, "sha1") for one in secrets for text in signed if one))


def meta(request: SignedRequest, secrets: Sequence[str], now: datetime) -> Verdict:  # noqa: ARG001
    """Check `X-Hub-Signature-256`: `sha256=` and the hex HMAC-SHA256 of the body, under the app secret.

    Source: https://developers.facebook.com/docs/graph-api/webhooks/getting-started#event-notifications.
    """
    return _of_body(request, secrets, request.headers.get("x-hub-signature-256", ""), prefix="sha256=")


def slack(request: SignedRequest, secrets: Sequence[str], now: datetime) -> Verdict:
    """Check `X-Slack-Signature`: `v0=` and the hex HMAC-SHA256 of `v0:instant:body`, under the signing secret.

    Source: https://docs.slack.dev/authentication/verifying-requests-from-slack.
    """
    given = request.headers.get("x-slack-signature", "")
    instant = request.headers.get("x-slack-request-timestamp", "")
    if not given or not _INSTANT.fullmatch(instant):
        return Verdict.UNSIGNED
    signed = f"v0:{instant}:".encode() + request.body
    found = _verdict([given], (f"v0={_hex(one, signed)}" for one in secrets if one))
    return _in_time(found, int(instant), now)


def hubspot(request: SignedRequest, secrets: Sequence[str], now: datetime) -> Verdict:
    """Check `X-HubSpot-Signature-v3`: base64 HMAC-SHA256 of method, address, body and instant, under the app's secret.

    Twelve encoded characters of the address are signed decoded. The instant is in milliseconds.

    Source: https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation.
    """
    given = request.headers.get("x-hubspot-signature-v3", "")
    instant = request.headers.get("x-hubspot-request-timestamp", "")
    if not given or not _INSTANT.fullmatch(instant):
        return Verdict.UNSIGNED
    url = _HUBSPOT_ENCODED.sub(lambda found: _HUBSPOT_DECODES[found[0].upper()], request.url)
    signed = f"{request.method.upper()}{url}".encode() + request.body + instant.encode()
    found = _verdict([given], (_base64(one, signed, "sha256") for one in secrets if one))
    return _in_time(found, int(instant) / 1_000, now)


def asana(request: SignedRequest, secrets: Sequence[str], now: datetime) -> Verdict:  # noqa: ARG001
    """Check `X-Hook-Signature`: the hex HMAC-SHA256 of the body, under the secret of the webhook's handshake.

    Source: https://developers.asana.com/docs/webhooks-guide.
    """
    return _of_body(request, secrets, request.headers.get("x-hook-signature", ""))


def square(request: SignedRequest, secrets: Sequence[str], now: datetime) -> Verdict:  # noqa: ARG001
    """Check `x-square-hmacsha256-signature`: base64 HMAC-SHA256 of address and body, under the signature key.

    Source: https://developer.squareup.com/docs/webhooks/step3validate.
    """
    given = request.headers.get("x-square-hmacsha256-signature", "")
    signed = request.url.encode() + request.body
    return _verdict([given], (_base64(one, signed, "sha256") for one in secrets if one)) if given else Verdict.UNSIGNED


def pagerduty(request: SignedRequest, secrets: Sequence[str], now: datetime) -> Verdict:  # noqa: ARG001
    """Check `X-PagerDuty-Signature`: a list of `v1=` and the hex HMAC-SHA256 of the body, one per live secret.

    Source: https://developer.pagerduty.com/docs/verifying-webhook-signatures.
    """
    listed = [one.strip() for one in request.headers.get("x-pagerduty-signature", "").split(",")]
    given = [one.removeprefix("v1=") for one in listed if one.startswith("v1=")]
    return _verdict(given, (_hex(one, request.body) for one in secrets if one))


def tripleseat(request: SignedRequest, secrets: Sequence[str], now: datetime) -> Verdict:  # noqa: ARG001
    """Check `X-Signature`: the HMAC-SHA256 of the body, under the endpoint's signing key.

    Source: https://support.tripleseat.com/hc/en-us/articles/40075780832919-API-Webhooks; that it is written in hex
    no document says.
    """
    return _of_body(request, secrets, request.headers.get("x-signature", ""))


def _of_body(request: SignedRequest, secrets: Sequence[str], given: str, prefix: str = "") -> Verdict:
    if not given.startswith(prefix) or given == prefix:
        return Verdict.UNSIGNED
    return _verdict([given], (prefix + _hex(one, request.body) for one in secrets if one))


def _verdict(given: Sequence[str], made: Iterable[str]) -> Verdict:
    if not given:
        return Verdict.UNSIGNED
    # Every pair is compared, so that the time tells nothing of which one fits.
    fits = [_same(mine, theirs) for mine in made for theirs in given]
    return Verdict.GENUINE if any(fits) else Verdict.FORGED


def _in_time(found: Verdict, instant_s: float, now: datetime) -> Verdict:
    if found is Verdict.GENUINE and abs(now.timestamp() - instant_s) > WINDOW.total_seconds():
        return Verdict.STALE
    return found


def _same(mine: str, theirs: str) -> bool:
    return hmac.compare_digest(mine.encode(), theirs.encode("utf-8", "replace"))


def _hex(secret: str, signed: bytes) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _base64(secret: str, signed: bytes, algorithm: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), signed, algorithm).digest()).decode()


def _with_and_without_port(url: str) -> list[str]:
    parts = urlsplit(url)
    host, _, port = parts.netloc.partition(":") if "]" not in parts.netloc else (parts.netloc, "", "")
    if port:
        return [url, parts._replace(netloc=host).geturl()]
    default = _DEFAULT_PORTS.get(parts.scheme)
    return [url, parts._replace(netloc=f"{host}:{default}").geturl()] if default else [url]
