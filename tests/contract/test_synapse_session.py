"""Synapse sessions: TDS under our own TLS with the unchanged driver, and logins that are led elsewhere."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from activities.connectors.warehouse.synapse_session import Session, _routed
from activities.ports.connection import Connection
from activities.ports.outbound import OutboundRules
from activities.transport.outbound import Target
from contracts.errors import InvalidInput, OutcomeUnknown, Permanent, WedSyncError
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.tls_servers import NAME, Authority
from tests.support.warehouse_stand_ins import StandIn

pytestmark = pytest.mark.timeout(600)
ON, NOT_SUPPORTED = 1, 2


@pytest.fixture
def pool(synapse_process: StandIn) -> StandIn:
    synapse_process.reset()
    return synapse_process


def connection(pool: StandIn) -> Connection:
    host, port = pool.address
    secrets = {"user": "sandbox", "password": "sandbox", "sasToken": "sv=2026-01-01&sig=sandbox"}
    settings = {"host": "sandbox", "database": "dev", "storageAccount": "sandbox", "container": "loads"}
    credential = {name: SecretStr(value) for name, value in secrets.items()}
    place = ("lumen", "synapse-main", "synapse", f"http://{host}:{port}")
    return Connection(*place, settings, credential, outbound=IN_DEVELOPMENT)


class Front:
    """A server that begins TLS inside of TDS packets, and passes everything on to the stand-in."""

    def __init__(self, context: ssl.SSLContext, behind: tuple[str, int], encryption: int) -> None:
        self._context, self._behind, self._encryption = context, behind, encryption
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError, struct.error):
            client, _ = self._listener.accept()
            with client:
                self._packet(client)
                client.sendall(packed(0x04, struct.pack("!BHHB", 1, 6, 1, 0xFF) + bytes([self._encryption])))
                self._encrypted(client)

    def _encrypted(self, client: socket.socket) -> None:
        arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(arriving, leaving, server_side=True)
        arriving.write(self._packet(client))
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                client.sendall(packed(0x12, leaving.read()))
                arriving.write(self._packet(client))
            except ssl.SSLError:
                client.sendall(packed(0x12, leaving.read()))
                return
            else:
                break
        client.sendall(packed(0x12, leaving.read()) if tls.version() == "TLSv1.2" else leaving.read())
        there = socket.create_connection(self._behind)
        lock = threading.Lock()
        threading.Thread(target=self._answer, args=(there, tls, leaving, client, lock), daemon=True).start()
        while piece := client.recv(65_536):
            with lock:
                arriving.write(piece)
                while text := read(tls):
                    self.received += text
                    there.sendall(text)

    def _answer(
        self,
        there: socket.socket,
        tls: ssl.SSLObject,
        leaving: ssl.MemoryBIO,
        client: socket.socket,
        lock: threading.Lock,
    ) -> None:
        with suppress(OSError):
            while piece := there.recv(65_536):
                with lock:
                    tls.write(piece)
                    client.sendall(leaving.read())

    def _packet(self, client: socket.socket) -> bytes:
        head = exactly(client, 8)
        return exactly(client, struct.unpack("!H", head[2:4])[0] - 8)


def exactly(client: socket.socket, count: int) -> bytes:
    whole = b""
    while len(whole) < count:
        piece = client.recv(count - len(whole))
        if not piece:
            raise ConnectionResetError
        whole += piece
    return whole


def read(tls: ssl.SSLObject) -> bytes:
    try:
        return tls.read(65_536)
    except ssl.SSLWantReadError:
        return b""


def packed(kind: int, payload: bytes) -> bytes:
    return struct.pack("!BBHHBB", kind, 1, len(payload) + 8, 0, 1, 0) + payload


Fronted = Callable[..., tuple[Front, Connection]]


@pytest.fixture
def fronted(pool: StandIn, tmp_path: Path) -> Iterator[Fronted]:
    opened: list[Front] = []

    def open_front(*, name: str = NAME, encryption: int = ON, minimum: str = "1.3", **versions: ssl.TLSVersion):
        authority = Authority(tmp_path)
        opened.append(Front(authority.server_context(name, **versions), pool.address, encryption))
        rules = OutboundRules(development=True, ca_file=authority.ca_file, resolve=lambda *_: ["127.0.0.1"])
        base = f"https://{NAME}:{opened[-1].port}"
        return opened[-1], replace(connection(pool), base_url=base, outbound=rules, min_tls_version=minimum)

    yield open_front
    for front in opened:
        front.close()


def failure(call: Callable[[], object]) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("versions", [{}, {"maximum_version": ssl.TLSVersion.TLSv1_2}], ids=["1.3", "1.2"])
def test_a_session_runs_over_tls_that_is_ours(fronted: Fronted, versions: dict) -> None:
    front, secured = fronted(minimum="1.2", **versions)
    opened = Session(secured)
    long = opened.run("rows.read", f"SELECT '{'x' * 60_000}' AS a", writes=False)
    opened.close()
    assert len(long[0][0]) == 60_000
    assert "sandbox".encode("utf-16-le") in front.received


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "other.test"}, "wrong_name"),
        ({"encryption": NOT_SUPPORTED}, "not_tls"),
        ({"maximum_version": ssl.TLSVersion.TLSv1_2}, "old_version"),
    ],
)
def test_f38_a_pool_that_is_not_trusted_gets_no_password(fronted: Fronted, settings: dict, reason: str) -> None:
    front, secured = fronted(**settings)
    refused = failure(lambda: Session(secured))
    assert isinstance(refused, Permanent)
    assert (refused.detail.code, refused.detail.evidence) == ("tls_error", {"reason": reason})
    assert front.received == b""


def test_f61_an_address_that_is_not_public_is_not_dialled(fronted: Fronted) -> None:
    front, secured = fronted()
    closed = replace(secured.outbound, development=False)
    assert isinstance(failure(lambda: Session(replace(secured, outbound=closed))), InvalidInput)
    assert front.received == b""


def test_a_login_that_is_led_elsewhere_follows_once(pool: StandIn) -> None:
    pool.fault("status", ".", method="LOGIN", status=307)
    opened = Session(connection(pool))
    assert opened.run("rows.read", "SELECT 1", writes=False) == [(1,)]
    opened.close()


def test_a_login_that_is_led_on_and_on_is_given_up(pool: StandIn) -> None:
    pool.fault("status", ".", method="LOGIN", count=None, status=307)
    assert isinstance(failure(lambda: Session(connection(pool))), InvalidInput)


@pytest.mark.parametrize("host", ["attacker.test", "sql.azuresynapse.net.attacker.test", "10.0.0.1"])
def test_f61_a_login_is_led_to_no_host_but_the_vendors(host: str) -> None:
    target = Target("https", "pool.sql.azuresynapse.net", 1433)
    assert isinstance(failure(lambda: _routed(target, {"server": host, "port": 11_003})), InvalidInput)


def test_a_node_of_the_vendor_is_dialled_on_its_own_port() -> None:
    target = Target("https", "pool.sql.azuresynapse.net", 1433)
    route = {"server": "TR7.eastus1-a.worker.database.windows.net", "port": 11_003}
    assert _routed(target, route) == Target("https", "tr7.eastus1-a.worker.database.windows.net", 11_003)


@pytest.mark.parametrize("kind", ["reset", "drop_after_effect"])
def test_a_write_whose_answer_was_lost_has_an_open_outcome(pool: StandIn, kind: str) -> None:
    opened = Session(connection(pool))
    pool.fault(kind, "^CREATE")
    assert isinstance(failure(lambda: opened.run("schema.create", "CREATE SCHEMA s")), OutcomeUnknown)
    opened.close()
