"""The otlp sink over TLS: real handshakes on loopback, with authorities that the test makes."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.common", reason="needs the extra otlp")
pytest.importorskip("cryptography", reason="certificates are made with cryptography")

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from instrument.model import Batch
from instrument.sinks.otlp.sink import OtlpSink
from instrument.sinks.otlp.transport import _reason
from tests.otlp_receiver import grpc_receiver, receiver
from tests.recorded import span

pytestmark = pytest.mark.usefixtures("patient_exporter")

VARIABLE = "OTEL_EXPORTER_OTLP_"
SIGNS = x509.KeyUsage(
    digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


class Pair(NamedTuple):
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = self._written(
            name, self._signed(self._subject, self._key, is_authority=True), self._key
        ).certificate

    def issue(self, name: str) -> Pair:
        """A certificate for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._written(f"{self.name}-{name}", self._signed(subject, key), key)

    def _signed(self, subject: Any, key: Any, is_authority: bool = False) -> Any:
        """With all that Python 3.13 asks of a certificate."""
        now = datetime.now(UTC)
        of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(of_issuer, critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        )
        if is_authority:
            made = made.add_extension(SIGNS, critical=True)
        return made.sign(self._key, hashes.SHA256())

    def _written(self, name: str, certificate: Any, key: Any) -> Pair:
        files = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "stranger")


def secured(protocol: str, authority: Authority, asks_client: bool = False) -> Any:
    """A receiver with a certificate of the authority; it may ask its clients for one as well."""
    pair = authority.issue("server")
    if protocol == "grpc":
        import grpc

        held = [(pair.key.read_bytes(), pair.certificate.read_bytes())]
        trusted = authority.file.read_bytes() if asks_client else None
        return grpc_receiver(grpc.ssl_server_credentials(held, trusted, asks_client))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if asks_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file)
    return receiver(tls=context)


def send(folder: Path, url: str, protocol: str, **variables: Path) -> tuple[list[str], OtlpSink]:
    """Send one span; what is said aloud."""
    said: list[str] = []
    environ = {f"{VARIABLE}{name}": str(value) for name, value in variables.items()}
    sink = OtlpSink(
        folder, endpoint=url, protocol=protocol, signals=("traces",), environ=environ, report=said.append,
        first_pause=0.05, gather_seconds=0.05,
    )  # fmt: skip
    sink.write(Batch([span(1)]))
    sink.flush()
    sink.close()
    return said, sink


PROTOCOLS = pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])


@PROTOCOLS
def test_an_authority_of_ones_own_is_trusted(tmp_path: Path, protocol: str, authority: Authority) -> None:
    """Named by OTEL_EXPORTER_OTLP_CERTIFICATE."""
    with secured(protocol, authority) as target:
        said, _ = send(tmp_path, target.url, protocol, CERTIFICATE=authority.file)
    assert (["span1"], []) == (target.names(), said)


def test_our_variable_wins_over_that_of_the_client_library(
    tmp_path: Path, authority: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library that speaks HTTP has a variable for all programs, which names other authorities."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stranger.file))
    with secured("http/protobuf", authority) as target:
        said, _ = send(tmp_path, target.url, "http/protobuf", CERTIFICATE=authority.file)
    assert (["span1"], []) == (target.names(), said)


@PROTOCOLS
def test_a_target_that_asks_for_a_certificate_is_shown_ours(
    tmp_path: Path, protocol: str, authority: Authority
) -> None:
    """Certificate and key of this program, each in a file."""
    pair = authority.issue("agent")
    with secured(protocol, authority, asks_client=True) as target:
        said, _ = send(
            tmp_path, target.url, protocol,
            CERTIFICATE=authority.file, CLIENT_CERTIFICATE=pair.certificate, CLIENT_KEY=pair.key,
        )  # fmt: skip
    assert (["span1"], []) == (target.names(), said)


@PROTOCOLS
@pytest.mark.parametrize("trusts", ["nobody named", "another authority"])
def test_who_is_not_trusted_gets_nothing(
    tmp_path: Path, protocol: str, trusts: str, authority: Authority, stranger: Authority
) -> None:
    """One line says why and which variable mends it; the records wait."""
    variables = {} if trusts == "nobody named" else {"CERTIFICATE": stranger.file}
    with secured(protocol, authority) as target:
        (said,), sink = send(tmp_path, target.url, protocol, **variables)
    assert (True, True, [], {}) == (
        "its certificate is not trusted" in said,
        "OTEL_EXPORTER_OTLP_CERTIFICATE names the file of its CA; records wait in" in said,
        target.names(),
        dict(sink.lost),
    )


def test_who_shows_no_certificate_sends_nothing(tmp_path: Path, authority: Authority) -> None:
    """To a target that asks for one; one line says that the records wait, and nothing is lost."""
    with secured("http/protobuf", authority, asks_client=True) as target:
        (said,), sink = send(tmp_path, target.url, "http/protobuf", CERTIFICATE=authority.file)
    assert (True, [], {}) == ("records wait in" in said, target.names(), dict(sink.lost))


def test_a_target_that_says_it_wants_a_certificate_is_told_of() -> None:
    """Its alert comes if the connection is not gone before it."""
    told = "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)"
    assert "OTEL_EXPORTER_OTLP_CLIENT_KEY name its files" in _reason(OSError(told))


def test_a_file_that_is_not_there_is_named(tmp_path: Path, authority: Authority) -> None:
    """With its path."""
    missing = tmp_path / "none.pem"
    with secured("http/protobuf", authority) as target:
        (said,), _ = send(tmp_path, target.url, "http/protobuf", CERTIFICATE=missing)
    assert str(missing) in said
