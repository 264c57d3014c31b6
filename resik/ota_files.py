"""Commands about update files, all offline: make the release key, build a bundle, look into one."""

from pathlib import Path

import click

from resik.complaints import plainly
from resik.errors import StackError

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--out", type=_PATH, required=True, help="File for the private key; ota.pub is written beside it.")
@plainly
def keygen(out: Path) -> None:
    """Make the release key. Keep it offline; nodes get ota.pub when they are made."""
    from resik import release

    printed = release.make_key(out)
    click.echo(f"private key  {out} (mode 0600; whoever has it can update every node)")
    click.echo(f"public key   {out.parent / 'ota.pub'}")
    click.echo(f"fingerprint  {printed}")


@click.command()
@click.option("--kind", type=click.Choice(["bin", "air"]), required=True, help="Nodes that it is for.")
@click.option("--version", "version", required=True, help="major.minor.patch, above every earlier release.")
@click.option("--key", type=_FILE, required=True, help="Private release key.")
@click.option("--out", type=_PATH, required=True, help="Bundle to write, usually NAME.rsk.")
@click.option("--image", type=_FILE, help="MicroPython image of an ESP32 (.app-bin) instead of the application.")
@click.option("--min-mv", type=click.IntRange(0, 5000), help="Lowest battery voltage to update at [mV].")
@plainly
def build(*, kind: str, version: str, key: Path, out: Path, image: Path | None, min_mv: int | None) -> None:
    """Build and sign an update bundle from the firmware of this installation."""
    from resik import release

    number = release.parse_version(version)
    signer = release.read_key(key)
    lowest_mv = release.MIN_MV if min_mv is None else min_mv
    if image is None:
        data = release.build_application(kind, number, signer, lowest_mv)
    else:
        data = release.build_image(image.read_bytes(), kind, number, signer, lowest_mv)
    bundle = release.read(data)
    out.write_bytes(data)
    click.echo(f"{out}: {bundle.type} {version} for {kind} nodes, {len(bundle.files)} files, {bundle.size} bytes")
    click.echo(f"signed by {release.fingerprint(release.public_bytes(signer))}")


@click.command()
@click.argument("bundle_file", type=_FILE, metavar="FILE")
@click.option("--pub", type=_FILE, help="Public release key (ota.pub) to check the signature with.")
@plainly
def show(bundle_file: Path, pub: Path | None) -> None:
    """List what an update bundle holds and check its hashes, and with --pub its signature."""
    from resik import release

    bundle = release.read(bundle_file.read_bytes())
    click.echo(f"type     {bundle.type}")
    click.echo(f"kind     {bundle.kind}")
    click.echo(f"version  {release.version_text(bundle.version)}")
    click.echo(f"bytecode {bundle.mpy}")
    click.echo(f"battery  at least {bundle.min_mv} mV")
    for entry in bundle.files:
        click.echo(f"{entry.size:8d}  {entry.sha256[:16]}  {entry.path}")
    click.echo(f"{bundle.size:8d}  in all; every file has its hash")
    if pub is None:
        click.echo("signature not checked: name the public key with --pub")
        return
    public = release.read_public(pub)
    if not release.verify(bundle, public):
        raise StackError(
            f"the signature is NOT of the key {release.fingerprint(public)}: no node will take this bundle"
        )
    click.echo(f"signature good, by {release.fingerprint(public)}")


@click.command()
@click.argument("place")
@click.option("--kind", type=click.Choice(["bin", "air"]), required=True, help="Kind of the node that crashed.")
@plainly
def where(place: str, kind: str) -> None:
    """Say which function PLACE is, such as "OSError node.py:ch": nodes have short names.

    Only the version that the node runs knows: install that version to ask.
    """
    from resik import release

    found = release.functions_at(place, kind)
    if not found:
        raise StackError(f"no function of this version is {place!r} on a {kind} node: does the node run this version?")
    for line in found:
        click.echo(line)
