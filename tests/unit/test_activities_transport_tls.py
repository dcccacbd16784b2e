"""What a connection's TLS accepts, whose decision an exception is, and which failures it is blamed for."""

from __future__ import annotations

import logging
import ssl
from dataclasses import replace
from datetime import date
from typing import Any, cast

import pytest

from activities.access import Access
from activities.transport.tls import tls_context, tls_error
from contracts.errors import InvalidInput, Owner, Permanent, WedSyncError
from contracts.integration import IntegrationConfiguration, require_tls_decision, tls_exception
from starters.credentials import lift
from tests.support.deliveries import connection

CONNECTION = connection("acme", "https://api.acme.example", {})
DECIDED = {"minTlsVersion": "1.2", "tlsExceptionReason": "their appliance", "tlsExceptionUntil": "2999-01-31"}
UNDECIDED = [
    {"minTlsVersion": "1.2"},
    {"minTlsVersion": "1.2", "tlsExceptionReason": "their appliance"},
    {"minTlsVersion": "1.2", "tlsExceptionUntil": "2999-01-31"},
    {"minTlsVersion": "1.2", "tlsExceptionReason": "  ", "tlsExceptionUntil": "2999-01-31"},
]


def configuration(security: dict[str, str]) -> IntegrationConfiguration:
    given = {"integrationId": "tableau-main", "organizationId": "lumen", "platform": "tableau"}
    config = {"siteName": "lumen", "baseUrl": "https://tableau.acme.example"}
    return IntegrationConfiguration.model_validate(given | {"connectionConfig": config, "securityConfig": security})


async def opened(given: IntegrationConfiguration) -> WedSyncError:
    async def nowhere(_platform: str) -> None:
        return None

    with pytest.raises(WedSyncError) as caught:
        await Access(cast("Any", None), cast("Any", None), nowhere).aside(given)
    return caught.value


def handshake(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] words that nobody reads")
    error.reason = reason
    return error


def test_tls_1_3_is_the_least_and_every_certificate_is_verified() -> None:
    context = tls_context(CONNECTION)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_the_exception_has_forward_secrecy_and_authenticated_encryption_only() -> None:
    context = tls_context(replace(CONNECTION, min_tls_version="1.2"))
    suites = [one for one in context.get_ciphers() if one["protocol"] == "TLSv1.2"]
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert suites
    assert [one["name"] for one in suites if not (one["aead"] and one["name"].startswith("ECDHE-"))] == []


@pytest.mark.parametrize("security", UNDECIDED)
async def test_tls_1_2_without_reason_and_end_is_refused_by_door_and_worker(security: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        lift(configuration(security), beside=None)
    assert caught.value.detail.code == "tls_exception_incomplete"
    assert (await opened(configuration(security))).detail.code == "tls_exception_incomplete"


async def test_an_exception_that_has_run_out_is_refused_by_door_and_worker() -> None:
    over = configuration(DECIDED | {"tlsExceptionUntil": "2020-01-31"})
    with pytest.raises(InvalidInput) as caught:
        lift(over, beside=None)
    assert caught.value.detail.code == "tls_exception_expired"
    assert (await opened(over)).detail.code == "tls_exception_expired"


@pytest.mark.parametrize(("today", "holds"), [(date(2999, 1, 31), True), (date(2999, 2, 1), False)])
def test_an_exception_holds_through_its_last_day(today: date, *, holds: bool) -> None:
    if holds:
        require_tls_decision(configuration(DECIDED), today)
        return
    with pytest.raises(InvalidInput):
        require_tls_decision(configuration(DECIDED), today)


async def test_the_worker_says_when_it_uses_an_exception(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="activities.access"):
        await opened(configuration(DECIDED))
    assert "tableau-main of lumen is opened with TLS 1.2, by an exception until 2999-01-31" in caplog.text
    assert "appliance" not in caplog.text


def test_an_exception_can_be_shown() -> None:
    assert tls_exception(configuration(DECIDED)) == "TLS 1.2 is accepted until 2999-01-31: their appliance"
    assert tls_exception(configuration({})) is None


@pytest.mark.parametrize("reason", ["TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_VERSION_NUMBER", "NO_SHARED_CIPHER"])
def test_f38_a_handshake_that_cannot_succeed_is_not_repeated(reason: str) -> None:
    found = tls_error("acme", "things.read", handshake(reason))
    assert isinstance(found, Permanent)
    assert (found.detail.code, found.detail.owner) == ("tls_error", Owner.VENDOR)
    assert "nobody reads" not in str(found)


@pytest.mark.parametrize("reason", ["UNEXPECTED_EOF_WHILE_READING", "DECRYPTION_FAILED_OR_BAD_RECORD_MAC", ""])
def test_f38_a_network_s_fault_is_no_certificate_s(reason: str) -> None:
    assert tls_error("acme", "things.read", handshake(reason)) is None
    assert tls_error("acme", "things.read", ssl.SSLEOFError(8, "gone")) is None


def test_f38_a_wrapped_handshake_is_found() -> None:
    outer = ConnectionError("of an SDK", RuntimeError(handshake("NO_SHARED_CIPHER")))
    assert tls_error("acme", "things.read", outer) is not None


def test_an_error_that_contains_itself_is_read_to_an_end() -> None:
    error = ConnectionError()
    error.args = (error,)
    assert tls_error("acme", "things.read", error) is None
