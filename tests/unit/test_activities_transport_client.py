"""The shared HTTP client: limits, and the error each failure becomes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.transport.client import JsonClient, open_client, vendor_word
from activities.transport.tls import tls_context
from contracts.errors import AuthExpired, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from tests.support.deliveries import connection

CONNECTION = connection("acme", "https://api.acme.example", {})
SECRET = "anna.fisher@example.com"
Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler, *, timeout_s: float = 5.0, max_bytes: int = 1_000) -> JsonClient:
    """A client whose network is `handler`."""
    transport = httpx.MockTransport(handler)
    return JsonClient("acme", open_client(CONNECTION, transport=transport), timeout_s=timeout_s, max_bytes=max_bytes)


async def failure(handler: Handler, *, writes: bool, **limits: float) -> WedSyncError:
    """The error of one request."""
    http = client(handler, **limits)
    with pytest.raises(WedSyncError) as caught:
        await http.request_json("POST", "/things", operation="things.make", json={"mail": SECRET}, writes=writes)
    return caught.value


def raising(error: type[httpx.TransportError]) -> Handler:
    def handle(_request: httpx.Request) -> httpx.Response:
        raise error(f"while speaking of {SECRET}")

    return handle


async def test_a_json_answer_is_returned_as_it_is() -> None:
    http = client(lambda _request: httpx.Response(200, json={"id": "7"}))
    assert await http.request_json("GET", "/things/7", operation="things.read") == {"id": "7"}


async def test_absent_query_parameters_are_left_out() -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json=[])

    await client(handle).request_json("GET", "/things", operation="things.list", params={"page": 2, "after": None})
    assert seen == ["https://api.acme.example/things?page=2"]


async def test_a_success_without_a_body_is_none() -> None:
    http = client(lambda _request: httpx.Response(204))
    assert await http.request_json("DELETE", "/things/7", operation="things.delete", writes=True) is None


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
async def test_a_write_that_never_left_may_be_repeated(error: type[httpx.TransportError]) -> None:
    found = await failure(raising(error), writes=True)
    assert (type(found), found.detail.code) == (Transient, "vendor_unreachable")


@pytest.mark.parametrize("error", [httpx.ReadTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError])
async def test_a_write_without_an_answer_has_an_unknown_outcome(error: type[httpx.TransportError]) -> None:
    assert type(await failure(raising(error), writes=True)) is OutcomeUnknown


@pytest.mark.parametrize("error", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError])
async def test_a_read_without_an_answer_is_transient(error: type[httpx.TransportError]) -> None:
    assert type(await failure(raising(error), writes=False)) is Transient


@pytest.mark.parametrize(("writes", "kind"), [(True, OutcomeUnknown), (False, Transient)])
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<html><form>Please sign in</form></html>"),
        httpx.Response(200, content=b'{"id": "7', headers={"Content-Type": "application/json"}),
        httpx.Response(200, content=b"\xff{\x00", headers={"Content-Type": "application/json"}),
        httpx.Response(200, content=b"[" * 90, headers={"Content-Type": "application/json"}),
    ],
    ids=["html page", "truncated", "garbage", "unbalanced"],
)
async def test_an_answer_that_is_not_json_is_no_success(
    *, answer: httpx.Response, writes: bool, kind: type[WedSyncError]
) -> None:
    found = await failure(lambda _request: answer, writes=writes)
    assert (type(found), found.detail.code) == (kind, "vendor_bad_response")


@pytest.mark.parametrize(("writes", "kind"), [(True, OutcomeUnknown), (False, Permanent)])
async def test_an_answer_beyond_the_limit_is_not_kept(*, writes: bool, kind: type[WedSyncError]) -> None:
    found = await failure(lambda _request: httpx.Response(200, json="x" * 2_000), writes=writes)
    assert (type(found), found.detail.code) == (kind, "response_too_large")


async def test_a_refusal_with_an_endless_page_keeps_its_status() -> None:
    found = await failure(lambda _request: httpx.Response(401, text="x" * 5_000), writes=False)
    assert type(found) is AuthExpired


async def test_a_body_that_drips_ends_at_the_total_deadline() -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.005)

    found = await failure(
        lambda _request: httpx.Response(200, content=drip(), headers={"Content-Type": "application/json"}),
        writes=True,
        timeout_s=0.05,
    )
    assert type(found) is OutcomeUnknown


@pytest.mark.parametrize(
    ("status", "writes", "kind"),
    [
        (400, True, Permanent),
        (401, True, AuthExpired),
        (403, True, Permanent),
        (404, True, Permanent),
        (302, True, Permanent),
        (409, True, Permanent),
        (422, True, Permanent),
        (429, True, RateLimited),
        (500, True, OutcomeUnknown),
        (503, True, OutcomeUnknown),
        (503, False, Transient),
    ],
)
async def test_each_status_becomes_the_error_that_recovers(
    *, status: int, writes: bool, kind: type[WedSyncError]
) -> None:
    assert type(await failure(lambda _request: httpx.Response(status, json={}), writes=writes)) is kind


async def test_the_vendor_s_wait_is_kept() -> None:
    found = await failure(lambda _request: httpx.Response(429, headers={"Retry-After": "7"}), writes=False)
    assert found.detail.retry_after_s == 7


async def test_the_vendor_s_error_word_is_evidence() -> None:
    answer = httpx.Response(429, json={"type": "quota-limit", "detail": f"no more for {SECRET}"})
    found = await failure(lambda _request: answer, writes=False)
    assert found.detail.evidence["vendorCode"] == "quota-limit"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 503])
async def test_no_error_repeats_what_was_sent_or_answered(status: int) -> None:
    answer = httpx.Response(status, json={"code": f"for {SECRET}", "message": SECRET})
    found = await failure(lambda _request: answer, writes=True)
    assert SECRET not in found.detail.model_dump_json() + str(found)


async def test_a_transport_error_does_not_travel_with_ours() -> None:
    found = await failure(raising(httpx.ReadError), writes=True)
    assert (found.__cause__, found.__suppress_context__) == (None, True)


@given(st.text())
def test_prose_never_counts_as_an_error_word(prose: str) -> None:
    word = vendor_word({"code": prose})
    assert word in {prose, ""}
    assert " " not in word
    assert len(word) <= 64


@pytest.mark.parametrize("body", [None, [], "CONFLICT", {"code": 7}, {"code": "a" * 65}])
def test_a_body_without_a_fixed_word_has_none(body: object) -> None:
    assert not vendor_word(body)  # type: ignore[arg-type]


def test_the_tls_context_verifies_and_keeps_the_lowest_version() -> None:
    context = tls_context(CONNECTION)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert not open_client(CONNECTION)._mounts
