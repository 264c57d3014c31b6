"""A small site, a root certificate and the command lines of a person who makes nodes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.unit.square.small_site import write_site

WIFI_WORD = "sandi-wifi-rahasia"
SPARE_BIN = """{"type": "Feature",
 "properties": {"role": "bin", "id": "bin-003", "name_id": "Tiga", "name_en": "Three", "accuracy_m": 1,
  "source": "test", "volume_l": 120, "waste_kind": "mixed", "empty_mm": 980, "full_mm": 240},
 "geometry": {"type": "Point", "coordinates": [112.8996, -7.64]}},
{"type": "Feature",
 "properties": {"role": "path","""


def certificate(*, authority: bool = True, days: int = 3650) -> x509.Certificate:
    """Make a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Resik test root")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=7300))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


class Bench:
    """Files of one person at work; `edits` of the small site on top."""

    def __init__(self, root: Path, *edits: tuple[str, str, str]) -> None:
        self.root = root
        plan_edit = ("plan.geojson", '{"type": "Feature",\n "properties": {"role": "path",', SPARE_BIN)
        self.site = write_site(root / "site", plan_edit, *edits)
        self.registry = self.site / "devices.toml"
        self.registry.write_text("# who sits where\n" + self.registry.read_text() + "\n# the end\n")
        self.ca = root / "ca.pem"
        self.ca.write_bytes(certificate().public_bytes(Encoding.PEM))
        self.wifi = root / "wifi.txt"
        self.wifi.write_text(WIFI_WORD + "\n")
        self.out = root / "out" / "node"

    def words(self, **changes: object) -> list[str]:
        """Return the arguments of `provision`; a change of None leaves an option away, True makes it a flag."""
        options: dict[str, object] = {
            "kind": "bin", "site": self.site, "asset": "bin-003", "broker": "mqtts://broker.example:8883",
            "ca": self.ca, "wifi_ssid": "alun-alun", "wifi_password_file": self.wifi, "out": self.out,
        } | changes  # fmt: skip
        line: list[str] = []
        for name, value in options.items():
            flag = "--" + name.replace("_", "-")
            line += [] if value is None else [flag] if value is True else [flag, str(value)]
        return line

    def snapshot(self) -> dict[str, bytes]:
        """Return every file below the folder with its content."""
        return {str(path): path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}
