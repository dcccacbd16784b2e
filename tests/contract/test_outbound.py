"""The outbound policy over real sockets, once for every SDK that a connector speaks through."""

from __future__ import annotations

import json
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from activities.connectors.bi.tableau import Tableau
from activities.connectors.booking.tave import Tave
from activities.connectors.communication.email import Email
from activities.connectors.communication.slack.connector import Slack
from activities.connectors.crm.hubspot import HubSpot
from activities.connectors.registry import connector_class
from activities.connectors.warehouse import snowflake_session
from activities.connectors.warehouse.bigquery import BigQuery
from activities.connectors.warehouse.snowflake import Snowflake
from activities.ports.connection import Connection
from activities.ports.connector import Connector
from activities.ports.outbound import PUBLIC_ONLY, OutboundRules
from activities.transport.oauth import OAuthClient, TokenEndpoint
from contracts.errors import ErrorKind, Owner, Permanent, WedSyncError
from tests.support.bigquery_project import service_account_key
from tests.support.deliveries import connection
from tests.support.tls_servers import (
    ELSEWHERE,
    NAME,
    UNAUTHORIZED,
    Authority,
    Listener,
    mail,
    read_head,
    replying,
)

SECRET = "canary-secret-0815"
SDKS: dict[str, tuple[Callable[[Connection], Connector], dict[str, str], dict[str, Any]]] = {
    "httpx": (Tave, {"apiKey": SECRET}, {}),
    "urllib3": (HubSpot, {"accessToken": SECRET}, {}),
    "requests": (Tableau, {"tokenName": "n", "tokenSecret": SECRET}, {"siteName": "lumen"}),
    "aiohttp": (Slack, {"botToken": SECRET}, {}),
    "smtp": (Email, {"user": "u", "password": SECRET}, {"fromAddress": "a@lumen.example", "encryption": "starttls"}),
    "google": (
        BigQuery,
        {"serviceAccountKey": json.dumps({**service_account_key(), "private_key_id": SECRET})},
        {"project": "lumen"},
    ),
    "snowflake": (
        Snowflake,
        {"user": "u", "password": SECRET},
        {"account": "lumen", "warehouse": "W", "database": "D"},
    ),
}
HTTP_SDKS = ("httpx", "urllib3", "requests", "aiohttp", "google")
JSON_SDKS = ("httpx", "urllib3", "aiohttp")
TENANTS_OWN = ("requests", "smtp")
"""Where the server is the tenant's, and so is a bad certificate."""

V1_0, V1_1, V1_2 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2
BAD_SERVERS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "wrong name": ({"name": "other.test"}, {"wrong_name"}),
    "self-signed": ({"self_signed": True}, {"self_signed"}),
    "expired": ({"days": -1}, {"expired"}),
    "TLS 1.2 only": ({"maximum_version": V1_2}, {"old_version"}),
    "TLS 1.1 only": ({"minimum_version": V1_0, "maximum_version": V1_1}, {"old_version"}),
}
CANARY = "canary.test"
ENDLESS = 200_000_000
"""Bytes after which a bomb gives up."""
UNPACKED = 600_000_000
"""Bytes it comes to, unpacked."""
RISEN = 200_000_000
"""Bytes of memory that a reader of a bomb never needs."""
STOPPED = 60_000_000
"""Two readings of 16 MiB, as one SDK asks again where it is refused, and what sockets hold of them."""

Listening = Callable[..., Listener]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def _the_driver_trusts_the_tests(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the native driver, which takes no context, the authority of the tests."""
    real = snowflake_session._parameters
    trust = {"custom_root_store_path": str(authority.ca_file)}
    monkeypatch.setattr(snowflake_session, "_parameters", lambda opened: real(opened) | trust)


def rules(authority: Authority, addresses: Sequence[str] = ("127.0.0.1",)) -> OutboundRules:
    """Rules that trust the tests' authority and find every host at `addresses`."""
    return OutboundRules(development=True, ca_file=authority.ca_file, resolve=lambda _host, _port: addresses)


def served(listening: Listening, sdk: str, context: ssl.SSLContext | None) -> Listener:
    """A server that refuses every credential."""
    if sdk == "smtp":
        return listening(mail, context, starttls=True)
    return listening(replying(UNAUTHORIZED), context)


def name_of(sdk: str) -> str:
    """Development opens unusual ports of `localhost` only, and the mail connector looks at its port each time."""
    return "localhost" if sdk == "smtp" else NAME


async def probed(
    sdk: str, port: int, outbound: OutboundRules, *, host: str = "", scheme: str = "https", tls: str = "1.3"
) -> WedSyncError:
    """Probe a server through an SDK and return the error."""
    kind, credential, settings = SDKS[sdk]
    base_url = f"{'smtp' if sdk == 'smtp' else scheme}://{host or name_of(sdk)}:{port}"
    opened = replace(connection(sdk, base_url, credential, **settings), outbound=outbound, min_tls_version=tls)
    with pytest.raises(WedSyncError) as caught:
        await _probe(kind, opened)
    assert SECRET not in caught.value.detail.model_dump_json() + repr(caught.value)
    return caught.value


@pytest.mark.parametrize("sdk", SDKS)
async def test_f38_a_server_with_a_good_certificate_is_spoken_to_by_tls_1_3(
    sdk: str, authority: Authority, listening: Listening
) -> None:
    server = served(listening, sdk, authority.server_context(name_of(sdk)))
    found = await probed(sdk, server.port, rules(authority))
    assert found.detail.code != "tls_error"
    assert set(server.handshakes) == {"TLSv1.3"}
    assert _gave_its_credential(server)


@pytest.mark.parametrize("bad", BAD_SERVERS)
@pytest.mark.parametrize("sdk", SDKS)
async def test_f38_a_server_that_cannot_be_trusted_gets_no_byte(
    sdk: str, bad: str, authority: Authority, listening: Listening
) -> None:
    options, reasons = BAD_SERVERS[bad]
    server = served(listening, sdk, authority.server_context(**{"name": name_of(sdk), **options}))
    found = (await probed(sdk, server.port, rules(authority))).detail
    assert (found.kind, found.code) == (ErrorKind.PERMANENT, "tls_error")
    assert found.evidence["reason"] in reasons
    assert found.owner is (Owner.TENANT if sdk in TENANTS_OWN else Owner.VENDOR)
    assert server.called()
    assert bytes(server.received) == b""


@pytest.mark.parametrize("sdk", SDKS)
async def test_f38_an_exception_lets_tls_1_2_in(sdk: str, authority: Authority, listening: Listening) -> None:
    server = served(listening, sdk, authority.server_context(name_of(sdk), maximum_version=V1_2))
    await probed(sdk, server.port, rules(authority), tls="1.2")
    assert set(server.handshakes) == {"TLSv1.2"}
    assert _gave_its_credential(server)


@pytest.mark.parametrize("sdk", SDKS)
async def test_f38_the_exception_does_not_let_weak_suites_in(
    sdk: str, authority: Authority, listening: Listening
) -> None:
    context = authority.server_context(name_of(sdk), maximum_version=V1_2)
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    server = served(listening, sdk, context)
    found = (await probed(sdk, server.port, rules(authority), tls="1.2")).detail
    assert (found.code, found.evidence) == ("tls_error", {"reason": "no_common_suite"})
    assert bytes(server.received) == b""


async def test_f38_a_token_endpoint_that_cannot_be_trusted_does_not_revoke_a_grant(
    authority: Authority, listening: Listening
) -> None:
    profile = connector_class("hubspot").manifest.oauth
    assert profile is not None
    server = listening(replying(UNAUTHORIZED), authority.server_context("other.test"))
    opened = replace(connection("hubspot", f"https://{NAME}:{server.port}", {}), outbound=rules(authority))
    endpoint = TokenEndpoint(opened, profile, OAuthClient("app", SecretStr(SECRET)))
    with pytest.raises(Permanent) as caught:
        await endpoint.refresh(SECRET)
    await endpoint.aclose()
    assert (caught.value.detail.code, bytes(server.received)) == ("tls_error", b"")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("sdk", [*HTTP_SDKS, "snowflake"])
async def test_f39_a_redirect_is_not_followed(
    sdk: str, status: int, authority: Authority, listening: Listening
) -> None:
    server = listening(_redirecting(status), authority.server_context())
    canary = listening(replying(UNAUTHORIZED), authority.server_context(CANARY), address=ELSEWHERE, port=server.port)
    two = replace(rules(authority), resolve=lambda host, _port: [ELSEWHERE if host == CANARY else "127.0.0.1"])
    await probed(sdk, server.port, two)
    assert server.received
    assert (canary.called(), bytes(canary.received)) == (0, b"")


@pytest.mark.parametrize("layers", [0, 1], ids=["plain", "packed"])
@pytest.mark.parametrize("sdk", HTTP_SDKS)
async def test_f40_an_answer_without_end_is_read_to_its_limit_only(
    sdk: str, layers: int, authority: Authority, listening: Listening
) -> None:
    server = listening(_bomb(layers), authority.server_context())
    found = (await probed(sdk, server.port, rules(authority))).detail
    assert (found.kind, found.code) == (ErrorKind.PERMANENT, "response_too_large")
    assert server.sent < STOPPED


@pytest.mark.parametrize("sdk", ["httpx", "urllib3", "requests"])
async def test_f40_an_answer_packed_twice_is_not_unpacked_whole(
    sdk: str, authority: Authority, listening: Listening
) -> None:
    server = listening(_bomb(2), authority.server_context())
    tracemalloc.start()
    found = await probed(sdk, server.port, rules(authority))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.detail.code == "response_too_large"
    assert peak < RISEN


@pytest.mark.parametrize("sdk", JSON_SDKS)
async def test_f40_an_answer_of_100_000_levels_is_refused(sdk: str, authority: Authority, listening: Listening) -> None:
    body = b"[" * 100_000 + b"]" * 100_000
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    server = listening(replying(head + body), authority.server_context())
    assert (await probed(sdk, server.port, rules(authority))).detail.code == "response_too_large"


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("93.184.216.34", "127.0.0.1"), ("::ffff:127.0.0.1",), ("::1",)])
@pytest.mark.parametrize("sdk", SDKS)
async def test_f61_a_public_name_that_leads_here_is_not_called(
    sdk: str, addresses: Sequence[str], authority: Authority, listening: Listening
) -> None:
    canary = listening()
    rebound = replace(rules(authority, addresses), development=False)
    host = "" if sdk != "smtp" else "mail.test"
    found = (await probed(sdk, 587 if sdk == "smtp" else canary.port, rebound, host=host)).detail
    assert (found.kind, found.code) == (ErrorKind.INVALID_INPUT, "url_not_allowed")
    assert found.evidence == {"reason": "address_not_public"}
    assert canary.called() == 0


@pytest.mark.parametrize("sdk", SDKS)
async def test_f61_the_address_that_was_judged_is_the_one_that_is_called(
    sdk: str, authority: Authority, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = served(listening, sdk, authority.server_context(name_of(sdk)))
    canary = listening(address=ELSEWHERE, port=server.port)
    real = socket.getaddrinfo

    def rebinding(host: Any, *args: Any, **options: Any) -> Any:
        return real(ELSEWHERE if host == name_of(sdk) else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    await probed(sdk, server.port, rules(authority))
    assert (_gave_its_credential(server), canary.called()) == (True, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "0.0.0.0"])
@pytest.mark.parametrize("sdk", SDKS)
async def test_f61_an_address_that_slipped_past_the_door_is_not_called_either(
    sdk: str, host: str, listening: Listening
) -> None:
    canary = listening()
    await probed(sdk, canary.port, PUBLIC_ONLY, host=host)
    assert canary.called() == 0


@pytest.mark.parametrize("sdk", HTTP_SDKS)
async def test_nothing_is_sent_in_the_clear_beyond_this_machine(
    sdk: str, authority: Authority, listening: Listening
) -> None:
    canary = listening(replying(UNAUTHORIZED))
    found = await probed(sdk, canary.port, rules(authority), scheme="http")
    assert (found.detail.code, found.detail.evidence) == ("url_not_allowed", {"reason": "scheme"})
    assert canary.called() == 0


@pytest.mark.parametrize("sdk", HTTP_SDKS)
async def test_f61_this_machine_is_not_called_in_the_clear(sdk: str, listening: Listening) -> None:
    canary = listening()
    await probed(sdk, canary.port, PUBLIC_ONLY, host="127.0.0.1", scheme="http")
    assert canary.called() == 0


@pytest.mark.parametrize("sdk", SDKS)
async def test_f61_a_proxy_of_the_environment_sees_nothing(
    sdk: str, authority: Authority, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = listening(), served(listening, sdk, authority.server_context(name_of(sdk)))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", "")
    await probed(sdk, server.port, rules(authority))
    assert (_gave_its_credential(server), proxy.called()) == (True, 0)


async def _probe(kind: Callable[[Connection], Connector], opened: Connection) -> None:
    connector = kind(opened)
    try:
        await connector.probe()
    finally:
        await connector.aclose()


def _gave_its_credential(server: Listener) -> bool:
    """Whether the server got a log-in; a mail server gets the password in another spelling, Google what it signs."""
    return any(sign in server.received for sign in (SECRET.encode(), b"AUTH PLAIN ", b"Bearer ey"))


def _redirecting(status: int) -> Callable[[socket.socket], None]:
    """An answer that sends the client to the canary on its own port."""

    def answer(client: socket.socket) -> None:
        _, port = client.getsockname()
        location = f"Location: https://{CANARY}:{port}/\r\nContent-Length: 0\r\n\r\n"
        replying(f"HTTP/1.1 {status} Elsewhere\r\nConnection: close\r\n{location}".encode())(client)

    return answer


def _bomb(layers: int) -> Callable[[socket.socket], None]:
    """An answer that goes on until nobody listens, packed so many times."""
    encoding = f"Content-Encoding: {', '.join(['gzip'] * layers)}\r\n" if layers else ""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{encoding}Connection: close\r\n\r\n"

    def answer(client: socket.socket) -> None:
        read_head(client)
        client.sendall(head.encode())
        packers = [zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16) for _ in range(layers)]
        sent, made = 0, 0
        while sent < ENDLESS and made < UNPACKED:
            data = b" " * 1_000_000
            made += len(data)
            for packer in packers:
                data = packer.compress(data)
            client.sendall(data)
            sent += len(data)
        for number, packer in enumerate(packers):
            rest = packer.flush()
            for outer in packers[number + 1 :]:
                rest = outer.compress(rest)
            client.sendall(rest)

    return answer
