"""TLS to vendors: what is accepted, and what a refused certificate means."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from activities.ports.connection import Connection
from activities.transport.outbound import dial_blocking
from contracts.errors import Owner, Permanent

_TLS12 = "1.2"
# Forward secrecy and authenticated encryption; TLS 1.3 has no other suites.
_SUITES_OF_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"
_CERTIFICATE = {
    9: ("not_yet_valid", "is not valid yet"),
    10: ("expired", "has expired"),
    18: ("self_signed", "is signed by itself"),
    19: ("self_signed", "is signed by an unknown authority"),
    20: ("unknown_authority", "is signed by an unknown authority"),
    21: ("unknown_authority", "is signed by an unknown authority"),
    62: ("wrong_name", "is for another name"),
    64: ("wrong_name", "is for another address"),
}
# OpenSSL's names of what ends a handshake for good; any other failure may be the network's and passes.
_HANDSHAKE = {
    "TLSV1_ALERT_PROTOCOL_VERSION": "old_version",
    "UNSUPPORTED_PROTOCOL": "old_version",
    "WRONG_SSL_VERSION": "old_version",
    "NO_PROTOCOLS_AVAILABLE": "old_version",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "no_common_suite",
    "NO_SHARED_CIPHER": "no_common_suite",
    "WRONG_CIPHER_RETURNED": "no_common_suite",
    "UNKNOWN_CIPHER_RETURNED": "no_common_suite",
    "DH_KEY_TOO_SMALL": "no_common_suite",
    "EE_KEY_TOO_SMALL": "weak_certificate",
    "CA_MD_TOO_WEAK": "weak_certificate",
    "WRONG_VERSION_NUMBER": "not_tls",
    "HTTP_REQUEST": "not_tls",
    "UNKNOWN_PROTOCOL": "not_tls",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "client_certificate",
    "TLSV1_UNRECOGNIZED_NAME": "wrong_name",
    "TLSV1_ALERT_UNRECOGNIZED_NAME": "wrong_name",
}
_WORDS = {
    "old_version": "it offers no TLS version that this connection accepts",
    "no_common_suite": "it offers no cipher suite that this connection accepts",
    "weak_certificate": "its certificate or key is too weak",
    "not_tls": "it does not speak TLS",
    "client_certificate": "it asks for a client certificate",
    "wrong_name": "it has no certificate for this name",
}
_DEEPEST = 10
_ACTIONS = {
    Owner.TENANT: "Have the server's certificate or TLS settings mended, then test the connection again.",
    Owner.OPERATOR: "Mend the server's certificate, or have its authority trusted by WEDSYNC_OUTBOUND_CA_FILE.",
    Owner.VENDOR: "Ask the vendor; if only this installation sees it, check its clock, trust store and network.",
}


def tls_context(connection: Connection) -> ssl.SSLContext:
    """Return the verifying TLS context of a connection, no older than its `min_tls_version`."""
    return _context(connection.min_tls_version, connection.outbound.ca_file)


def named_context(connection: Connection, host: str) -> ssl.SSLContext:
    """Return the TLS context of a connection for a driver that dials an address: it asks for `host`'s certificate."""
    context = _Named(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    context.host = host
    return _limited(context, connection.min_tls_version, connection.outbound.ca_file)


class _Named(ssl.SSLContext):
    host = ""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the library's signature
        server_hostname: str | bytes | None = None,  # noqa: ARG002 - the address that was dialled
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin TLS under the name and not under the address."""
        return super().wrap_bio(incoming, outgoing, server_side, self.host, session)


@cache
def _context(minimum: str, ca_file: Path | None) -> ssl.SSLContext:
    # Loading the system's certificates takes tens of milliseconds: once per process is enough.
    return _limited(ssl.create_default_context(), minimum, ca_file)


def _limited(context: ssl.SSLContext, minimum: str, ca_file: Path | None) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if minimum == _TLS12:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_SUITES_OF_1_2)
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def prove(connection: Connection, host: str, port: int, timeout_s: float) -> None:
    """Shake hands with a host and hang up, for an SDK that does not say why a handshake failed. Blocks.

    Raises:
        ssl.SSLError: it is not trusted.
        OSError: it does not answer.
        InvalidInput: `url_not_allowed`.
    """
    with (
        dial_blocking(host, port, connection.outbound, timeout_s) as plain,
        tls_context(connection).wrap_socket(plain, server_hostname=host),
    ):
        pass


def tls_error(system: str, operation: str, error: BaseException, *, owner: Owner = Owner.VENDOR) -> Permanent | None:
    """Return the error for a connection that TLS refused, None when `error` is of another kind.

    Args:
        system: the vendor.
        operation: what was asked.
        error: what the SDK raised; the failed handshake may be anything it wraps.
        owner: whose certificate it is.
    """
    # An SDK may derive from the class of an SSL error without having its fields.
    plain = (one for one in _wrapped(error) if isinstance(one, ssl.SSLError) and type(one).__module__ == "ssl")
    failed = next(plain, None)
    if isinstance(failed, ssl.SSLCertVerificationError):
        reason, words = _CERTIFICATE.get(failed.verify_code, ("not_trusted", "is not trusted"))
        return _refusal(system, operation, reason, f"its certificate {words}", owner)
    reason = _HANDSHAKE.get(getattr(failed, "reason", None) or "", "")
    return _refusal(system, operation, reason, _WORDS[reason], owner) if reason else None


def _refusal(system: str, operation: str, reason: str, words: str, owner: Owner) -> Permanent:
    return Permanent(
        "tls_error",
        f"{system} cannot be trusted for {operation}: {words}. Nothing was sent.",
        owner=owner,
        action=_ACTIONS[owner],
        system=system,
        operation=operation,
        evidence={"reason": reason},
    )


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it wraps: as its cause, its context, or one of its arguments."""
    seen, waiting = 0, [error]
    while waiting and seen < _DEEPEST:
        one = waiting.pop(0)
        seen += 1
        yield one
        inner = (one.__cause__, one.__context__, getattr(one, "certificate_error", None), *one.args)
        waiting += [item for item in inner if isinstance(item, BaseException)]
