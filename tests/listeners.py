"""Servers that answer wrongly or not at all."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Answer = Callable[[socket.socket], None]


@contextmanager
def listening(answer: Answer, tls: Path | None = None) -> Iterator[str]:
    """Answers every connection; gives its host and port. `tls` holds certificate and key."""
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
    end = threading.Event()

    def serve(connection: socket.socket) -> None:
        # Whoever is on the other side may leave at any time.
        with connection, suppress(OSError):
            if context is None:
                answer(connection)
            else:
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    answer(wrapped)

    def accept() -> None:
        while not end.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                connection.settimeout(30)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            end.set()
            thread.join()


def silence(connection: socket.socket) -> None:
    """Takes what comes and never answers, until the other side gives up."""
    while connection.recv(65536):
        pass


def hanging_up(connection: socket.socket) -> None:
    """Ends the connection at once."""


def saying(words: bytes) -> Answer:
    """Says these words to whatever comes."""

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(words)

    return answer


def page(status: str, body: bytes, kind: str = "text/html") -> Answer:
    """An HTTP answer, always the same."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return saying(head.encode() + b"Connection: close\r\n\r\n" + body)


def make_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "moescope tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    path = folder / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(pem) + key.private_bytes(pem, form, serialization.NoEncryption())
    )
    return path
