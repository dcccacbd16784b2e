"""Redshift sessions: our own TLS under the unchanged driver, and every error as what recovers from it."""

import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from activities.connectors.warehouse.redshift_session import Session
from activities.ports.connection import Connection
from activities.ports.outbound import OutboundRules
from activities.transport.relay import Relay
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, Permanent, Transient, WedSyncError
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.tls_servers import NAME, Authority
from tests.support.warehouse_stand_ins import StandIn

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def cluster(redshift_process: StandIn) -> StandIn:
    redshift_process.reset()
    return redshift_process


@pytest.fixture
def session(cluster: StandIn) -> Iterator[Session]:
    opened = Session(connection(cluster), "wedsync:test")
    opened.run("schema.create", "CREATE SCHEMA s")
    opened.run("table.create", "CREATE TABLE s.t (id BIGINT)")
    yield opened
    opened.close()


def connection(cluster: StandIn, password: str = "sandbox", database: str = "dev") -> Connection:
    host, port = cluster.address
    secrets = {"user": "sandbox", "password": password, "accessKeyId": "sandbox", "secretAccessKey": "sandbox"}
    settings = {"host": "sandbox", "database": database, "bucket": "wedsync-sandbox", "region": "us-east-1"}
    place = ("lumen", "redshift-main", "redshift", f"http://{host}:{port}")
    credential = {name: SecretStr(value) for name, value in secrets.items()}
    return Connection(*place, settings | {"iamRole": "default"}, credential, outbound=IN_DEVELOPMENT)


class Front:
    """A server that begins TLS as PostgreSQL's protocol does, and passes everything on to the stand-in."""

    def __init__(self, context: ssl.SSLContext | None, behind: tuple[str, int]) -> None:
        self._context, self._behind = context, behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.first = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            self.first = client.recv(8)
            if self._context is None:
                client.sendall(b"N")
                return
            client.sendall(b"S")
            tls = self._context.wrap_socket(client, server_side=True)
            relay = Relay(tls)
            inside = socket.socket(socket.AF_UNIX)
            inside.connect(relay.path)
            there = socket.create_connection(self._behind)
            for source, target in ((inside, there), (there, inside)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)


Fronted = Callable[..., tuple[Front, Connection]]


@pytest.fixture
def fronted(cluster: StandIn, tmp_path: Path) -> Iterator[Fronted]:
    opened: list[Front] = []

    def open_front(*, name: str = NAME, tls: bool = True, minimum: str = "1.3", **versions: ssl.TLSVersion):
        authority = Authority(tmp_path)
        context = authority.server_context(name, **versions) if tls else None
        opened.append(Front(context, cluster.address))
        rules = OutboundRules(development=True, ca_file=authority.ca_file, resolve=lambda *_: ["127.0.0.1"])
        base = f"https://{NAME}:{opened[-1].port}"
        return opened[-1], replace(connection(cluster), base_url=base, outbound=rules, min_tls_version=minimum)

    yield open_front
    for front in opened:
        front.close()


def failure(call: Callable[[], object]) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        call()
    return caught.value


def test_a_session_runs_over_tls_that_is_ours(fronted: Fronted) -> None:
    front, secured = fronted()
    opened = Session(secured, "wedsync:test")
    long = opened.run("rows.read", "SELECT REPEAT('x', 300000)", writes=False)
    opened.close()
    assert (len(long[0][0]), front.first) == (300_000, b"\0\0\0\x08\x04\xd2\x16\x2f")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "other.test"}, "wrong_name"),
        ({"tls": False}, "not_tls"),
        ({"maximum_version": ssl.TLSVersion.TLSv1_2}, "old_version"),
    ],
)
def test_f38_a_cluster_that_is_not_trusted_gets_no_password(fronted: Fronted, settings: dict, reason: str) -> None:
    _, secured = fronted(**settings)
    refused = failure(lambda: Session(secured, "wedsync:test"))
    assert isinstance(refused, Permanent)
    assert (refused.detail.code, refused.detail.evidence) == ("tls_error", {"reason": reason})


def test_an_older_tls_is_taken_where_the_tenant_decided_so(fronted: Fronted) -> None:
    _, secured = fronted(minimum="1.2", maximum_version=ssl.TLSVersion.TLSv1_2)
    Session(secured, "wedsync:test").close()


def test_f61_an_address_that_is_not_public_is_not_dialled(fronted: Fronted) -> None:
    front, secured = fronted()
    closed = replace(secured.outbound, development=False)
    assert isinstance(failure(lambda: Session(replace(secured, outbound=closed), "wedsync:test")), InvalidInput)
    assert front.first == b""


def test_a_refused_password_asks_the_tenant_to_connect_again(cluster: StandIn) -> None:
    assert isinstance(failure(lambda: Session(connection(cluster, password="wrong"), "t")), AuthExpired)


def test_a_database_that_is_not_there_is_named_as_missing(cluster: StandIn) -> None:
    refused = failure(lambda: Session(connection(cluster, database="absent"), "t"))
    assert refused.detail.code == "object_missing"


def test_a_cluster_that_does_not_answer_is_tried_again(cluster: StandIn) -> None:
    silent = replace(connection(cluster), base_url="http://127.0.0.1:9")
    assert isinstance(failure(lambda: Session(silent, "t")), Transient)


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "warehouse_busy"), (429, "vendor_unavailable"), (503, "vendor_unavailable"), (507, "storage_full")],
)
def test_what_the_cluster_says_decides_what_follows(cluster: StandIn, session: Session, status: int, code: str) -> None:
    cluster.fault("status", "^INSERT", status=status)
    refused = failure(lambda: session.run("facts.insert", "INSERT INTO s.t VALUES (1)"))
    assert refused.detail.code == code
    assert isinstance(refused, Permanent if code == "storage_full" else Transient)
    assert not isinstance(refused, OutcomeUnknown)


@pytest.mark.parametrize("kind", ["reset", "drop_after_effect"])
def test_a_write_whose_answer_was_lost_has_an_open_outcome(cluster: StandIn, session: Session, kind: str) -> None:
    cluster.fault(kind, "^INSERT")
    assert isinstance(failure(lambda: session.run("facts.insert", "INSERT INTO s.t VALUES (1)")), OutcomeUnknown)


def test_a_block_that_fails_leaves_nothing(cluster: StandIn, session: Session) -> None:
    def fail() -> None:
        with session.transaction("facts.load"):
            session.run("facts.insert", "INSERT INTO s.t VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert cluster.counts("dev") == {"s.t": 0}


def test_a_relay_waits_for_no_record_that_is_for_tls_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        client, _ = listener.accept()
        with authority.server_context().wrap_socket(client, server_side=True) as tls:
            tls.sendall(tls.recv(100))

    server = threading.Thread(target=answer, daemon=True)
    server.start()
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    tls = context.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname=NAME)
    # TLS 1.3 sends its tickets after the handshake, before anybody has asked for anything.
    assert select.select([tls], [], [], 60)[0]
    relay = Relay(tls)
    with socket.socket(socket.AF_UNIX) as inside:
        inside.settimeout(20)
        inside.connect(relay.path)
        while select.select([tls], [], [], 0)[0]:
            pass
        inside.sendall(b"hello")
        assert inside.recv(100) == b"hello"
    server.join()
    listener.close()
    relay.close()
