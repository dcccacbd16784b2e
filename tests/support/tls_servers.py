"""Servers with certificates of the tests' own authority, which count what reaches them."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "vendor.test"
ELSEWHERE = "127.0.0.2"
"""An address of this machine on which a canary listens beside the vendor's, on the same port."""
UNAUTHORIZED = (
    b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
_PATIENCE_S = 20.0
_CHUNK = 64 * 1024

Answer = Callable[[socket.socket], None]


class Authority:
    """A certificate authority.

    Args:
        folder: where the PEM files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("WedSync tests")
        self.ca_file = folder / "authority.pem"
        self.ca_file.write_bytes(_pem(self._certificate("WedSync tests", self._key, authority=True)))

    def server_context(
        self, name: str = NAME, *, self_signed: bool = False, days: int = 30, **versions: ssl.TLSVersion
    ) -> ssl.SSLContext:
        """Return the context of a server.

        Args:
            name: the name its certificate is for.
            self_signed: whether it signed that by itself.
            days: for how many more days the certificate holds; negative when it has expired.
            versions: `minimum_version` and `maximum_version`.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(name, key, days=days, signer=key if self_signed else self._key)
        path = self._folder / f"{name}-{days}-{self_signed}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(_pem(certificate) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if versions:
            context.set_ciphers("ALL:@SECLEVEL=0")
        for which, version in versions.items():
            setattr(context, which, version)
        return context

    def _certificate(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        days: int = 30,
        signer: ec.EllipticCurvePrivateKey | None = None,
        authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        own = signer is key
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(name) if own else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(signer or self._key, hashes.SHA256())
        )


@dataclass
class Listener:
    """A server on loopback, with TLS where it has a context; each connection is one answer.

    Args:
        answer: speaks with one client.
        context: of TLS.
        starttls: whether the connection begins in the clear, as a mail server does.
        address: where it listens.
        port: 0 for any.
    """

    answer: Answer | None = None
    context: ssl.SSLContext | None = None
    starttls: bool = False
    address: str = "127.0.0.1"
    port: int = 0
    received: bytearray = field(default_factory=bytearray)
    """What clients sent inside of TLS, or at all where there is none."""
    sent: int = 0
    handshakes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._callers: list[int] = []
        self._own: set[int] = set()
        self._heard = threading.Condition()
        self._socket = socket.create_server((self.address, self.port))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def called(self) -> int:
        """Return how many connections were opened to it: all of them, because they are accepted in their order."""
        with socket.create_connection((self.address, self.port)) as own, self._heard:
            self._own.add(own.getsockname()[1])
            assert self._heard.wait_for(lambda: self._own <= set(self._callers), _PATIENCE_S)
            return len(self._callers) - len(self._own)

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, (_, caller) = self._socket.accept()
            except OSError:
                return
            with self._heard:
                self._callers.append(caller)
                self._heard.notify_all()
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        client.settimeout(_PATIENCE_S)
        with suppress(OSError), client:
            if self.starttls:
                _offer_tls(client)
            if self.context is None:
                self._speak(client)
                return
            with self.context.wrap_socket(client, server_side=True) as tls:
                self.handshakes.append(tls.version() or "")
                self._speak(tls)

    def _speak(self, client: socket.socket) -> None:
        if self.answer is not None:
            self.answer(_Counting(self, client))  # type: ignore[arg-type]


class _Counting:
    """A socket whose traffic its listener counts."""

    def __init__(self, listener: Listener, inner: socket.socket) -> None:
        self._listener, self._inner = listener, inner

    def recv(self, size: int) -> bytes:
        piece = self._inner.recv(size)
        self._listener.received += piece
        return piece

    def getsockname(self) -> tuple[str, int]:
        host, port = self._inner.getsockname()
        return host, port

    def sendall(self, data: bytes) -> None:
        self._inner.sendall(data)
        self._listener.sent += len(data)


def replying(reply: bytes) -> Answer:
    """Return an answer that reads one request and gives `reply`."""

    def answer(client: socket.socket) -> None:
        head, _, body = read_head(client).partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        left = sum(int(line.partition(b":")[2]) for line in lengths) - len(body)
        while left > 0 and (piece := client.recv(_CHUNK)):
            left -= len(piece)
        client.sendall(reply)

    return answer


def read_head(client: socket.socket) -> bytes:
    """Read until the end of a request's head, or until the client hangs up."""
    head = b""
    while b"\r\n\r\n" not in head and (piece := client.recv(_CHUNK)):
        head += piece
    return head


def mail(client: socket.socket) -> None:
    """Answer as a mail server that refuses every user, after its greeting."""
    while line := client.recv(_CHUNK):
        if line.upper().startswith(b"EHLO"):
            client.sendall(b"250-sink\r\n250 AUTH PLAIN\r\n")
        elif line.upper().startswith(b"AUTH"):
            client.sendall(b"535 no\r\n")
        else:
            client.sendall(b"221 bye\r\n")


def _offer_tls(client: socket.socket) -> None:
    client.sendall(b"220 sink\r\n")
    while line := client.recv(_CHUNK).upper():
        if line.startswith(b"STARTTLS"):
            client.sendall(b"220 go\r\n")
            return
        client.sendall(b"250-sink\r\n250 STARTTLS\r\n")


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
