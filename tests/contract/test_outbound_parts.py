"""The parts of the outbound policy that SDKs are handed: sessions that end, and the gate."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from requests.exceptions import RequestException  # noqa: TID251 - what an SDK on this library meets

from activities.ports.outbound import PUBLIC_ONLY, OutboundRules
from activities.transport.bounds import AnswerTooLargeError, Limits
from activities.transport.gate import Gate
from activities.transport.pools import outbound_session
from contracts.errors import InvalidInput, Permanent
from tests.support.deliveries import connection
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.tls_servers import Listener, read_head, replying

HERE = ("127.0.0.1", "localhost", "::1")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
Listening = Callable[..., Listener]


@pytest.fixture
def gate() -> Iterator[Callable[..., Gate]]:
    opened: list[Gate] = []

    def open_gate(rules: OutboundRules, *ports: int, hosts: tuple[str, ...] = HERE) -> Gate:
        opened.append(Gate(rules, hosts, ports, "acme"))
        return opened[-1]

    yield open_gate
    for one in opened:
        one.close()


def fetch(port: int, limits: Limits, rules: OutboundRules = IN_DEVELOPMENT) -> bytes:
    """Read an answer through a session as an SDK would."""
    opened = replace(connection("acme", f"http://127.0.0.1:{port}", {}), outbound=rules)
    with outbound_session(opened, system="acme", limits=limits) as session:
        answer: bytes = session.get(opened.base_url, timeout=30).content
        return answer


def through(gate: Gate, request: str) -> bytes:
    """Return the first line the gate answers."""
    settings = gate.settings()
    with socket.create_connection((str(settings["host"]), int(settings["port"]))) as client:
        client.sendall(request.encode())
        return client.makefile("rb").readline().strip()


def password(gate: Gate) -> str:
    settings = gate.settings()
    return base64.b64encode(f"{settings['user']}:{settings['password']}".encode()).decode()


def connect(gate: Gate, authority: str) -> bytes:
    return through(gate, f"CONNECT {authority} HTTP/1.1\r\nProxy-Authorization: Basic {password(gate)}\r\n\r\n")


@pytest.mark.parametrize("length", [0, 1, 65_536, 1_000_000])
def test_an_answer_within_its_limit_arrives_whole(length: int, listening: Listening) -> None:
    server = listening(replying(OK + f"Content-Length: {length}\r\n\r\n".encode() + b"x" * length))
    assert fetch(server.port, Limits(max_bytes=length)) == b"x" * length


def test_f40_one_byte_more_than_the_limit_is_too_much(listening: Listening) -> None:
    server = listening(replying(OK + b"Content-Length: 11\r\n\r\n" + b"x" * 11))
    with pytest.raises(AnswerTooLargeError):
        fetch(server.port, Limits(max_bytes=10))


def test_chunks_are_counted_together(listening: Listening) -> None:
    chunk = b"6\r\nxxxxxx\r\n"
    server = listening(replying(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2 + b"0\r\n\r\n"))
    with pytest.raises(AnswerTooLargeError):
        fetch(server.port, Limits(max_bytes=10))


@pytest.mark.parametrize("head", [OK + b"\r\n", OK + b"X-Slow: "], ids=["body", "headers"])
def test_f40_an_answer_that_drips_for_ever_ends_at_its_time(head: bytes, listening: Listening) -> None:
    def drip(client: socket.socket) -> None:
        read_head(client)
        client.sendall(head)
        while True:
            client.sendall(b"x")

    server = listening(drip)
    with pytest.raises((RequestException, AnswerTooLargeError)):
        fetch(server.port, Limits(max_bytes=10**12, total_s=0.2))


def test_f39_a_session_refuses_to_be_sent_elsewhere(listening: Listening) -> None:
    canary = listening(replying(OK + b"\r\n"))
    location = f"Location: http://127.0.0.1:{canary.port}/\r\nContent-Length: 0\r\n\r\n"
    server = listening(replying(b"HTTP/1.1 307 Elsewhere\r\n" + location.encode()))
    with pytest.raises(Permanent) as caught:
        fetch(server.port, Limits())
    assert caught.value.detail.code == "unexpected_redirect"
    assert canary.called() == 0


def test_f61_a_session_does_not_call_this_machine(listening: Listening) -> None:
    canary = listening()
    with pytest.raises(InvalidInput):
        fetch(canary.port, Limits(), PUBLIC_ONLY)
    assert canary.called() == 0


def test_the_gate_leads_to_a_judged_address(gate: Callable[..., Gate], listening: Listening) -> None:
    server = listening(replying(b""))
    opened = gate(IN_DEVELOPMENT, server.port)
    assert connect(opened, f"127.0.0.1:{server.port}") == b"HTTP/1.1 200 Connection established"
    assert server.called() == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433"])
def test_f61_the_gate_does_not_lead_to_this_machine(host: str, gate: Callable[..., Gate], listening: Listening) -> None:
    canary = listening()
    opened = gate(PUBLIC_ONLY, canary.port)
    assert connect(opened, f"{host}:{canary.port}") == b"HTTP/1.1 403 Forbidden"
    found = opened.refusal()
    assert found is not None
    assert (found.detail.code, opened.refusal()) == ("url_not_allowed", None)
    assert canary.called() == 0


def test_the_gate_opens_no_other_port(gate: Callable[..., Gate], listening: Listening) -> None:
    canary = listening()
    assert connect(gate(IN_DEVELOPMENT, 443), f"127.0.0.1:{canary.port}") == b"HTTP/1.1 403 Forbidden"
    assert canary.called() == 0


def test_f39_the_gate_opens_no_other_host(gate: Callable[..., Gate], listening: Listening) -> None:
    canary = listening()
    opened = gate(IN_DEVELOPMENT, canary.port, hosts=("acme.example",))
    assert connect(opened, f"127.0.0.1:{canary.port}") == b"HTTP/1.1 403 Forbidden"
    opened.admit(("127.0.0.1",))
    assert connect(opened, f"127.0.0.1:{canary.port}") == b"HTTP/1.1 200 Connection established"
    assert canary.called() == 1


@pytest.mark.parametrize("header", ["", "Proxy-Authorization: Basic d2Vkc3luYzp3cm9uZw==\r\n"])
def test_the_gate_is_closed_to_other_programs(header: str, gate: Callable[..., Gate], listening: Listening) -> None:
    canary = listening()
    opened = gate(IN_DEVELOPMENT, canary.port)
    answer = through(opened, f"CONNECT 127.0.0.1:{canary.port} HTTP/1.1\r\n{header}\r\n")
    assert (answer, canary.called()) == (b"HTTP/1.1 407 Proxy Authentication Required", 0)


def test_the_gate_tunnels_and_does_nothing_else(gate: Callable[..., Gate]) -> None:
    opened = gate(IN_DEVELOPMENT, 80)
    request = f"GET http://127.0.0.1/ HTTP/1.1\r\nProxy-Authorization: Basic {password(opened)}\r\n\r\n"
    assert through(opened, request) == b"HTTP/1.1 405 Method Not Allowed"
