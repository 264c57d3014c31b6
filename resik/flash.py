"""``resik flash``: the bundle of a node goes onto its flash over USB, by esptool and mpremote."""

import json
import shlex
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import click

from resik import node_bundle
from resik.complaints import plainly
from resik.errors import StackError

IMAGE_MAGIC = 0xE9
IMAGE_AT = "0x1000"
"""Where the bootloader of an ESP32 begins; the images of micropython.org hold everything from there on."""

TOOL_WITHIN_S = 600
TRIES = 3
PAUSE_S = 3.0
"""A fresh image formats its file system at the first start and does not answer meanwhile."""

# Runs on the node: empties the flash and forgets which slot ran, so that the new files alone decide.
PREPARE = """
import os
def clear(folder):
    for entry in os.ilistdir(folder or '/'):
        path = folder + '/' + entry[0]
        if entry[1] == 0x4000:
            clear(path)
            os.rmdir(path)
        else:
            os.remove(path)
clear('')
import esp32
nvs = esp32.NVS('resik')
for key in %s:
    try:
        nvs.erase_key(key)
    except OSError:
        pass
nvs.commit()
for folder in %s:
    os.mkdir(folder)
"""
NVS_KEYS = (
    "slot", "trial", "tries", "fails", "ver", "floor", "bad", "want", "wtype", "wsize", "ota", "otaver", "otamv",
    "otamis", "img", "imgto", "imgok", "imgbad", "imgat", "cmd", "past_s",
)  # fmt: skip
"""What a node remembers beside its files (firmware/core/slots.py, the last command that it obeyed, and the time
that is surely past)."""

# Runs on the node: size and hash of every file, one line each.
LIST = """
import os, hashlib, binascii
def show(folder):
    for entry in os.ilistdir(folder or '/'):
        path = folder + '/' + entry[0]
        if entry[1] == 0x4000:
            show(path)
            continue
        digest = hashlib.sha256()
        with open(path, 'rb') as file:
            while True:
                block = file.read(1024)
                if not block:
                    break
                digest.update(block)
        print('@file', path[1:], binascii.hexlify(digest.digest()).decode())
show('')
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One command on the way to a running node.

    Parameters
    ----------
    name
        What is checked at the end (``verify``), repeated while a node starts (``prepare``), or neither.
    words
        What it does, Indonesian and English.
    command
        Program and arguments.
    """

    name: str
    words: str
    command: Sequence[str]


def steps(folder: Path, bundle: node_bundle.NodeBundle, port: str, *, image: Path | None, erase: bool, baud: int,
          esptool: str, mpremote: str) -> Iterator[Step]:  # fmt: skip
    """Yield what has to be done, in order.

    Parameters
    ----------
    folder : Path
        The bundle.
    bundle : NodeBundle
        What it says of itself.
    port : str
        Serial port of the node.
    image : Path | None
        MicroPython to write first; None leaves what is there.
    erase : bool
        Whether to erase the whole flash before.
    baud : int
        Speed of writing the image.
    esptool, mpremote : str
        The programs.
    """
    flasher = [esptool, "--chip", "esp32", "--port", port, "--baud", str(baud)]
    remote = [mpremote, "connect", port]
    if erase:
        yield Step("erase", "menghapus memori / erasing the flash", [*flasher, "erase-flash"])
    if image is not None:
        yield Step("image", f"menulis / writing {image.name}", [*flasher, "write-flash", IMAGE_AT, str(image)])
    by_folder = defaultdict(list)
    for name in sorted(bundle.files):
        by_folder[PurePosixPath(name).parent.as_posix()].append(str(folder / node_bundle.FLASH / name))
    folders = {parent.as_posix() for name in bundle.files for parent in PurePosixPath(name).parents} - {"."}
    prepare = PREPARE % (NVS_KEYS, tuple("/" + name for name in sorted(folders)) or "()")
    yield Step("prepare", "mengosongkan node, juga bacaan lama / emptying the node, old readings too",
               [*remote, "exec", prepare])  # fmt: skip
    for parent, files in sorted(by_folder.items()):
        target = ":/" if parent == "." else f":/{parent}/"
        words = f"menyalin {len(files)} berkas / copying {len(files)} files to {target[1:]}"
        yield Step("copy", words, [*remote, "fs", "cp", *files, target])
    yield Step("verify", "membaca ulang / reading back", [*remote, "exec", LIST])
    yield Step("reset", "menyalakan ulang / restarting the node", [*remote, "reset"])


def check_copied(bundle: node_bundle.NodeBundle, output: str) -> None:
    """Compare what the node says that it holds with the bundle.

    Raises
    ------
    StackError
        If a file is missing, differs or does not belong there.
    """
    lines = [line.split() for line in output.splitlines()]
    found = {line[1]: line[2] for line in lines if line[:1] == ["@file"] and line[2:]}
    wanted = {name: sha256 for name, (_, sha256) in bundle.files.items()}
    wrong = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if wrong:
        raise StackError(
            f"on the node {len(wrong)} of {len(wanted)} files are not what was copied ({', '.join(wrong[:3])}): try "
            "again with --erase and --image; if that does not help, its flash is worn out"
        )


def _check_image(image: Path) -> None:
    try:
        with image.open("rb") as file:
            head = file.read(1)
    except OSError as error:
        raise StackError(
            f"the image {image} cannot be read ({error.strerror}): get ESP32_GENERIC, variant OTA, from micropython.org"
        ) from error
    if head != bytes([IMAGE_MAGIC]):
        raise StackError(f"{image} is no image for an ESP32: get the .bin of ESP32_GENERIC, variant OTA")


def _check_port(port: str) -> None:
    if Path(port).exists():
        return
    there = sorted(str(path) for pattern in ("ttyUSB*", "ttyACM*") for path in Path("/dev").glob(pattern))
    hint = f"there is {', '.join(there)}" if there else "there is none: is the node plugged in, with a data cable?"
    raise StackError(f"the port {port} does not exist: {hint}")


def _secrets_of(folder: Path) -> list[str]:
    """Return what must never be shown, whatever a tool prints."""
    flash = folder / node_bundle.FLASH
    config = json.loads((flash / "config.json").read_text(encoding="utf-8"))
    words = [str(config.get("wifi_psk", ""))]
    if (flash / "secret").exists():
        words.append((flash / "secret").read_text(encoding="ascii"))
    return [word for word in words if word]


def _run(step: Step, hidden: Sequence[str]) -> str:
    """Run one step and return what it printed.

    Raises
    ------
    StackError
        If it fails, with its last words.
    """
    tries = TRIES if step.name == "prepare" else 1
    said = ""
    for attempt in range(tries):
        if attempt:
            time.sleep(PAUSE_S)
        try:
            done = subprocess.run(
                step.command, capture_output=True, text=True, errors="replace", check=False, timeout=TOOL_WITHIN_S,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise StackError(f"{step.words}: no end after {TOOL_WITHIN_S} s; unplug the node and try again") from error
        if done.returncode == 0:
            return done.stdout
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        said = lines[-1] if lines else f"exit code {done.returncode}"
    for word in hidden:
        said = said.replace(word, "***")
    raise StackError(f"{step.words}: {said[:300]}")


@click.command()
@click.option("--port", required=True, help="Serial port of the node: /dev/ttyUSB0.")
@click.option("--bundle", "folder", type=click.Path(path_type=Path), required=True, help="Folder of resik provision.")
@click.option("--image", type=click.Path(path_type=Path), help="MicroPython to write first: ESP32_GENERIC-OTA.bin.")
@click.option("--erase", is_flag=True, help="Erase the whole flash first; needs --image.")
@click.option("--baud", type=int, default=460800, show_default=True, help="Speed of writing the image.")
@click.option("--dry-run", is_flag=True, help="Print the commands and do nothing.")
@plainly
def flash(*, port: str, folder: Path, image: Path | None, erase: bool, baud: int, dry_run: bool) -> None:
    """Write a node's bundle onto its flash, and read it back."""
    if erase and image is None:
        raise StackError("--erase removes MicroPython too: name what to write then with --image")
    bundle = node_bundle.read_bundle(folder)
    if image is not None:
        _check_image(image)
    if dry_run:
        esptool, mpremote = "esptool", "mpremote"
    else:
        mpremote = node_bundle.find_tool("mpremote", "flash")
        esptool = node_bundle.find_tool("esptool", "flash") if image is not None else "esptool"
        _check_port(port)
    todo = list(steps(folder, bundle, port, image=image, erase=erase, baud=baud, esptool=esptool, mpremote=mpremote))
    if dry_run:
        for step in todo:
            click.echo(f"# {step.words}\n{shlex.join(step.command)}")
        return
    hidden = _secrets_of(folder)
    for number, step in enumerate(todo, 1):
        click.echo(f"[{number}/{len(todo)}] {step.words}")
        said = _run(step, hidden)
        if step.name == "verify":
            check_copied(bundle, said)
    click.echo(f"{bundle.device} menyala; bacaan pertama dalam beberapa menit: resik node show {bundle.device}")
    click.echo(f"{bundle.device} runs; its first reading comes within minutes.")
