"""Certificates for tests: one authority, one good server certificate, and each way in which one can be wrong."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "broker.resik.test"
WRONG = ("wrong-ca", "wrong-name", "expired", "not-yet-valid", "self-signed")


@dataclass(frozen=True)
class Authority:
    """A root certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The root as a node keeps it."""
        return self.certificate.public_bytes(serialization.Encoding.DER)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _build(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: Authority | None,
    valid_days: tuple[int, int],
    names: tuple[str, ...],
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer.certificate.subject if issuer else _name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=valid_days[0]))
        .not_valid_after(now + dt.timedelta(days=valid_days[1]))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        alternatives = [_alternative(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(issuer.key if issuer else key, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def authority(subject: str = "Resik test root") -> Authority:
    """Make a root that is valid for a year."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(_build(subject, key, None, (-1, 365), ()), key)


def server(
    folder: Path,
    label: str,
    issuer: Authority | None,
    *,
    names: tuple[str, ...] = (NAME, "127.0.0.1"),
    valid_days: tuple[int, int] = (-1, 30),
) -> tuple[Path, Path]:
    """Write certificate and key of a server as PEM and return their paths; without issuer it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _build(names[0], key, issuer, valid_days, names)
    paths = folder / f"{label}.crt", folder / f"{label}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@dataclass(frozen=True)
class Certificates:
    """The root that nodes trust, and servers by label: `good` and each of `WRONG`."""

    ca_der: Path
    servers: dict[str, tuple[Path, Path]]


def make(folder: Path) -> Certificates:
    """Write a root and all server certificates into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    root = authority()
    # the same subject: a node that compared names only would be taken in
    stranger = authority()
    (folder / "ca.der").write_bytes(root.der)
    return Certificates(
        folder / "ca.der",
        {
            "good": server(folder, "good", root),
            "wrong-ca": server(folder, "wrong-ca", stranger),
            "wrong-name": server(folder, "wrong-name", root, names=("other.resik.test", "127.0.0.2")),
            "expired": server(folder, "expired", root, valid_days=(-30, -1)),
            "not-yet-valid": server(folder, "not-yet-valid", root, valid_days=(1, 30)),
            "self-signed": server(folder, "self-signed", None),
        },
    )
