"""Certificates of a broker: an authority of one's own and the server's certificate, or a pair from elsewhere.

Nodes pin one root and check name and dates, so the authority lives long (10 years) and the server's certificate is
made again whenever it must be (825 days): nodes do not notice. Keys are EC P-256, which an ESP32 verifies quickly.
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from resik.errors import StackError
from square.files import write_whole

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ROOT_DAYS: Final = 3650
SERVER_DAYS: Final = 825
WARN_DAYS: Final = 30
"""How long before its end a certificate is a warning, and is made anew where we can."""
BACKDATED: Final = timedelta(days=1)
"""Certificates begin a day ago: clocks of nodes differ a little, and so do ours."""


@dataclass(frozen=True, slots=True)
class Papers:
    """Where the certificates of a broker lie.

    Attributes
    ----------
    folder : Path
        ``tls/`` of the broker's folder.
    """

    folder: Path

    @property
    def root(self) -> Path:
        """Certificate of the authority, PEM: ``broker_ca_file`` of services on other machines."""
        return self.folder / "ca.crt"

    @property
    def root_der(self) -> Path:
        """The same as DER: what a node keeps."""
        return self.folder / "ca.der"

    @property
    def root_key(self) -> Path:
        """Key of our own authority; it can be kept elsewhere between renewals."""
        return self.folder / "ca.key"

    @property
    def server(self) -> Path:
        """Certificate of the broker with what leads to its root, PEM."""
        return self.folder / "server.crt"

    @property
    def server_key(self) -> Path:
        """Key of the broker, PEM."""
        return self.folder / "server.key"


def read_certificates(path: Path) -> list["x509.Certificate"]:
    """Return the certificates of a PEM file, the server's own first.

    Raises
    ------
    StackError
        If it cannot be read or holds none.
    """
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise StackError(f"the certificate {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StackError(f"{path} holds no certificate in PEM form") from error


def days_left(certificate: "x509.Certificate") -> float:
    """Return how many days a certificate is still good for; negative once it has expired."""
    return (certificate.not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1)


def hosts_of(certificate: "x509.Certificate") -> tuple[str, ...]:
    """Return the names and addresses that a server's certificate is good for."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def _alternative(host: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise StackError(f"{host!r} is no name of a machine in plain letters: use its DNS name or address") from error


def check_hosts(hosts: tuple[str, ...]) -> None:
    """See that a certificate can name these hosts.

    Raises
    ------
    StackError
        If one of them cannot stand in a certificate.
    """
    for host in hosts:
        _alternative(host)


def _certificate(
    subject: str,
    key: "EllipticCurvePrivateKey",
    days: int,
    issuer: tuple["x509.Certificate", "EllipticCurvePrivateKey"] | None,
    hosts: tuple[str, ...],
) -> "x509.Certificate":
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])])
    is_root = issuer is None
    signer = key if issuer is None else issuer[1]
    begin = datetime.now(UTC) - BACKDATED
    usage = x509.KeyUsage(
        digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _pem(key: "EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_root(papers: Papers, site: str) -> None:
    """Make the authority of a site unless it is there; a root that nodes already pin is never replaced.

    Raises
    ------
    StackError
        If a root is there but is not ours to sign with: its key is missing.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    if papers.root.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(f"Resik {site} root", key, ROOT_DAYS, None, ())
    write_whole(papers.root_key, _pem(key))
    write_whole(papers.root_der, certificate.public_bytes(Encoding.DER), 0o644)
    write_whole(papers.root, certificate.public_bytes(Encoding.PEM), 0o644)


def is_current(papers: Papers, hosts: tuple[str, ...]) -> bool:
    """Whether the server's certificate is good for these hosts and for longer than the time of warning."""
    if not (papers.server.exists() and papers.server_key.exists()):
        return False
    certificate = read_certificates(papers.server)[0]
    return (
        set(hosts) <= set(hosts_of(certificate))
        and days_left(certificate) > WARN_DAYS
        and belongs(papers.server_key, certificate)  # not so after a power cut between the two files
    )


def belongs(key: Path, certificate: "x509.Certificate") -> bool:
    """Whether a key file is the key of a certificate.

    Raises
    ------
    StackError
        If the file cannot be read as a key.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except OSError as error:
        raise StackError(f"the key {key} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise StackError(f"{key} is no private key in PEM form without a password") from error
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)


def issue_server(papers: Papers, hosts: tuple[str, ...]) -> None:
    """Make key and certificate of the server, signed by our own authority.

    Raises
    ------
    StackError
        If the key of the authority is not here, or a host has no usable name.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    try:
        root_key = load_pem_private_key(papers.root_key.read_bytes(), None)
    except OSError as error:
        raise StackError(
            f"{papers.root_key} cannot be read ({error.strerror}): put the key of the authority back, or name a "
            "certificate from elsewhere with --tls-cert and --tls-key"
        ) from error
    except ValueError as error:
        raise StackError(f"{papers.root_key} is damaged: put a good copy of the key of the authority there") from error
    if not isinstance(root_key, ec.EllipticCurvePrivateKey):
        raise StackError(f"{papers.root_key} is not the EC key that signs for this site: put that one back")
    root = read_certificates(papers.root)[0]
    if days_left(root) < SERVER_DAYS:
        raise StackError(
            f"the root {papers.root} ends on {root.not_valid_after_utc:%Y-%m-%d}, before a new certificate would: "
            "make a new authority and give its ca.der to every node (docs/security.md, renewal)"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(hosts[0], key, SERVER_DAYS, (root, root_key), hosts)
    write_whole(papers.server_key, _pem(key))
    write_whole(papers.server, certificate.public_bytes(Encoding.PEM), 0o644)


def take_server(papers: Papers, certificate: Path, key: Path, root: Path | None) -> None:
    """Copy a certificate from elsewhere, once it is seen that it works.

    Parameters
    ----------
    papers : Papers
        Where to.
    certificate, key : Path
        PEM; the certificate with its chain behind it.
    root : Path | None
        The authority that nodes are to pin; None takes the last of the chain if it is one.

    Raises
    ------
    StackError
        If the two do not belong together, the certificate names no host, or its time is over.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import Encoding

    chain = read_certificates(certificate)
    own = chain[0]
    if not belongs(key, own):
        raise StackError(f"{key} is not the key of {certificate}: name the two that belong together")
    if days_left(own) <= 0:
        raise StackError(f"{certificate} expired on {own.not_valid_after_utc:%Y-%m-%d}: get a new one")
    if not hosts_of(own):
        raise StackError(f"{certificate} names no host (subjectAltName): nodes could not check whom they talk to")
    found = read_certificates(root)[-1] if root is not None else chain[-1]
    if found.issuer != found.subject:
        raise StackError(f"the root of {certificate} is not in it: name it with --tls-ca, nodes must pin it")
    links = chain if chain[-1] == found else [*chain, found]
    try:
        for lower, upper in pairwise(links):
            lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise StackError(
            f"{certificate} does not lead to the root {found.subject.rfc4514_string()}: put the whole chain into it, "
            "own certificate first, and name its root with --tls-ca"
        ) from error
    write_whole(papers.root_der, found.public_bytes(Encoding.DER), 0o644)
    write_whole(papers.root, found.public_bytes(Encoding.PEM), 0o644)
    write_whole(papers.server_key, key.read_bytes())
    write_whole(papers.server, certificate.read_bytes(), 0o644)
