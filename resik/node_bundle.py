"""The bundle of a node: a folder that holds everything for its flash, its label, and what to tell the broker.

::

    DIR/
      flash/             the root of the node's flash, file for file
      label.pdf          to print and stick on
      broker-entry.txt   line for the password file of a mosquitto elsewhere (a hash)
      bundle.json        who the node is, and size and SHA-256 of every file of flash/
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from resik.errors import MissingPart, StackError
from square.files import write_private

MANIFEST = "bundle.json"
FLASH = "flash"
SLOT = "a"
CHECK_WITHIN_S = 60


class NodeBundle(msgspec.Struct, frozen=True):
    """What ``bundle.json`` says.

    Attributes
    ----------
    device, kind, site, asset : str
        Who the node is and where it will sit.
    made_at : str
        When it was made, ISO 8601 UTC.
    files : dict[str, tuple[int, str]]
        Path below ``flash/`` to size [bytes] and SHA-256 in hex.
    """

    device: str
    kind: str
    site: str
    asset: str
    made_at: str
    files: dict[str, tuple[int, str]]


# -- certificates ---------------------------------------------------------------------------------


def root_as_der(path: Path) -> bytes:
    """Return the one root certificate of a PEM or DER file as DER, the only form that every node port reads.

    Raises
    ------
    StackError
        If the file cannot be read, holds no or several certificates, or one that cannot be a root today.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    content = _read(path, "--ca")
    try:
        if b"-----BEGIN" in content:
            found = x509.load_pem_x509_certificates(content)
            if len(found) != 1:
                raise StackError(f"{path} holds {len(found)} certificates: a node pins one root, keep that one alone")
            certificate = found[0]
        else:
            certificate = x509.load_der_x509_certificate(content)
    except ValueError as error:
        raise StackError(f"{path} is no certificate in PEM or DER form: name the root of the broker") from error
    try:
        is_root = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_root = False
    if not is_root:
        raise StackError(f"{path} is not the certificate of an authority: name the root that signed the broker's")
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise StackError(f"{path} expired on {certificate.not_valid_after_utc:%Y-%m-%d}: no node would connect")
    return certificate.public_bytes(Encoding.DER)


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StackError(f"{option} {path} cannot be read: {error.strerror}") from error


# -- the program of a node ------------------------------------------------------------------------


def find_tool(name: str, extra: str) -> str:
    """Return the path of a program: on PATH, or beside the interpreter that runs us.

    Raises
    ------
    MissingPart
        If it is in neither place.
    """
    beside = Path(sys.executable).parent / name
    found = shutil.which(name) or (str(beside) if beside.exists() else None)
    if found is None:
        raise MissingPart(f"{name} is not installed: pip install 'resik-kota[{extra}]'")
    return found


def write_program(flash: Path, kind: str, version: str) -> None:
    """Compile the application of a node kind into slot a, and put what starts it beside.

    Parameters
    ----------
    flash : Path
        The root of the flash.
    kind : str
        ``bin`` or ``air``.
    version : str
        What the application is to call itself, such as ``1.4.0``.

    Raises
    ------
    ReleaseError
        If the version is none, or a source does not compile.
    """
    from resik.release import compile_files, device_files, parse_version, slot_files

    root = device_files()
    content = {name: root[name].encode() for name in ("boot.py", "main.py")}
    content |= compile_files({"loader.py": root["loader.py"]})
    content |= {f"{SLOT}/{name}": code for name, code in slot_files(kind, parse_version(version)).items()}
    for name, code in content.items():
        path = flash / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(code)


# -- configuration --------------------------------------------------------------------------------


def ask_check(path: Path, what: str, wakes_per_day: int | None = None) -> tuple[list[str], dict[str, Any]]:
    """Let the node's own check judge a configuration, in a process of its own; return mistakes and energy.

    Raises
    ------
    StackError
        If it does not answer, with ``what`` could not be checked.
    """
    command = [sys.executable, "-P", "-m", "firmware.check", str(path), "--json"]
    if wakes_per_day is not None:
        command += ["--wakes-per-day", str(wakes_per_day)]
    said = ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CHECK_WITHIN_S)
        said = done.stderr.strip()[-200:]
        answer = json.loads(done.stdout)
        return [str(line) for line in answer["errors"]], dict(answer.get("energy") or {})
    except (ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{what} could not be checked: {said or error}") from error


def check_configuration(path: Path, wakes_per_day: int | None = None) -> dict[str, Any]:
    """Let the node's own check judge a configuration; return what it says of energy.

    Raises
    ------
    StackError
        If it finds a mistake: all of them, each with what to do.
    """
    errors, energy = ask_check(path, f"the configuration {path}", wakes_per_day)
    if errors:
        raise StackError(f"the configuration {path} is wrong:\n  " + "\n  ".join(errors))
    return energy


# -- the bundle as a whole ------------------------------------------------------------------------


def digest(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a file."""
    content = path.read_bytes()
    return len(content), hashlib.sha256(content).hexdigest()


def write_manifest(folder: Path, identity: Mapping[str, str]) -> None:
    """Write ``bundle.json``: the identity, and what belongs on the flash."""
    flash = folder / FLASH
    files = {path.relative_to(flash).as_posix(): digest(path) for path in sorted(flash.rglob("*")) if path.is_file()}
    bundle = NodeBundle(**identity, made_at=datetime.now(UTC).isoformat(timespec="seconds"), files=files)
    write_private(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(bundle), indent=1) + b"\n")


def read_bundle(folder: Path) -> NodeBundle:
    """Read a bundle and see that it is whole: no file missing, changed or added, and a configuration that passes.

    Raises
    ------
    StackError
        If something is wrong with it.
    """
    try:
        bundle = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=NodeBundle)
    except OSError as error:
        raise StackError(
            f"{folder} is no bundle of a node ({MANIFEST}: {error.strerror}): make one with resik provision"
        ) from error
    except msgspec.MsgspecError as error:
        raise StackError(
            f"{folder / MANIFEST} is damaged ({error}): make the bundle again with resik provision"
        ) from error
    flash = folder / FLASH
    found = {path.relative_to(flash).as_posix() for path in flash.rglob("*") if path.is_file()}
    for name in sorted(found | set(bundle.files)):
        if name not in bundle.files:
            raise StackError(f"{flash / name} does not belong to this bundle: remove it")
        if name not in found:
            raise StackError(f"{flash / name} is missing: make the bundle again with resik provision")
        if digest(flash / name) != tuple(bundle.files[name]):
            raise StackError(
                f"{flash / name} was changed after the bundle was made: make it again with resik provision"
            )
    check_configuration(flash / "config.json")
    return bundle


def broker_entry(device: str, secret: str) -> str | None:
    """Return the line for the password file of a mosquitto (a salted hash), None where its tool is missing."""
    hasher = shutil.which("mosquitto_passwd")
    if hasher is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "entry"
        write_private(path, f"{device}:{secret}\n".encode())  # as a file: arguments of a process can be read by anybody
        subprocess.run([hasher, "-U", str(path)], check=True, capture_output=True)
        return path.read_text(encoding="utf-8")
