"""Release files: what a node gets, how large it is, and keys and bundles on disk."""

import ast
import stat

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.core import manifest
from resik import ota_files, release
from square.slimming import slim
from tests.firmware import micropython

KEY = ec.generate_private_key(ec.SECP256R1())
LIMIT_BYTES = 64 * 1024
"""What the bytecode of one node may take. It lies twice on flash (960 KiB), and what is at work lies in the heap."""


@pytest.fixture(scope="module", params=release.KINDS)
def compiled(request):
    """Kind and bytecode of every module that a node of this kind gets."""
    micropython.require_mpy_cross()
    return request.param, release.compile_files(slim(release.application_files(request.param)))


@pytest.mark.parametrize("kind", release.KINDS)
def test_what_a_node_imports_is_there(kind):
    """Every firmware module that an included one imports is included; only the other kind's parts may miss."""
    sources = release.application_files(kind)
    everything = {path for other in release.KINDS for path in release.application_files(other)}
    for path, source in sources.items():
        wanted = release.imports_of(source) & everything
        missing = {name for name in wanted - set(sources) if not name.startswith("firmware/drivers/")}
        # measuring loads the judge of its kind, inside a function
        others = {f"firmware/core/{name}.py" for other in set(release.KINDS) - {kind} for name in release.JUDGES[other]}
        assert missing <= (others if path == "firmware/measuring.py" else set()), path
        if path.startswith("firmware/drivers/"):
            assert wanted <= set(sources), path


@pytest.mark.parametrize("kind", release.KINDS)
def test_modules_that_a_node_imports_at_its_top_exist(kind):
    """No import at the top of a module names a firmware module that is not in the source tree."""
    sources = release.application_files(kind)
    packages = {path.removesuffix("/__init__.py") for path in sources if path.endswith("/__init__.py")}
    for path, source in sources.items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "firmware":
                place = node.module.replace(".", "/")
                assert place in packages or f"{place}.py" in sources, f"{path}:{node.lineno}"


def test_drivers_are_of_a_kind():
    """Every driver goes to some kind of node, and each kind has drivers that the other has not."""
    names = {kind: set(release.application_files(kind)) for kind in release.KINDS}
    everything = {path for path, _ in release._sources()}
    assert names["bin"] | names["air"] | release._HOST_ONLY >= everything
    assert names["bin"] - names["air"]
    assert names["air"] - names["bin"]


def test_only_what_runs_on_a_node_is_bundled():
    """The root of the flash, checks of the host and type stubs are not part of an update."""
    for path in release.application_files("bin"):
        assert manifest.is_path(path.removesuffix(".py") + ".mpy")
        assert not path.startswith("firmware/device/")
    assert set(release.device_files()) == {"boot.py", "main.py", "loader.py"}
    with pytest.raises(release.ReleaseError, match="bin or air"):
        release.application_files("tank")


def test_a_node_takes_the_real_bundle(compiled, tmp_path):
    """The firmware of this tree, as a bundle, is accepted by the firmware on MicroPython within a node's heap."""
    kind, contents = compiled
    bundle = release.build(contents, kind=kind, version=20000, key=KEY)
    root = tmp_path / "flash"
    callable_by_name = release.compile_files(slim(release.application_files(kind), shared=False))
    for path, data in callable_by_name.items():
        (root / "a" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "a" / path).write_bytes(data)
    (root / "ota.pub").write_bytes(release.public_bytes(KEY))
    (tmp_path / "x.rsk").write_bytes(bundle)
    script = micropython.ROOT / "tests" / "firmware" / "update_on_node.py"
    result = micropython.run(script, str(root), str(tmp_path / "x.rsk"), "20000", kind)
    assert result.returncode == 0, result.stdout + result.stderr
    print(result.stdout)  # noqa: T201 - heap and time, seen with -rP
    assert (root / "b" / "version").read_text() == "20000\n"
    for path, data in contents.items():
        assert (root / "b" / path).read_bytes() == data


def test_bytecode_stays_small(compiled):
    """All bytecode of a node keeps within its limit; the table of sizes is printed."""
    kind, contents = compiled
    for path, data in sorted(contents.items(), key=lambda item: -len(item[1])):
        print(f"{len(data):6d}  {path}")  # noqa: T201 - seen with -rP and when it fails
    total = sum(len(data) for data in contents.values())
    assert total < LIMIT_BYTES, f"{kind}: {total} bytes"


def test_bytecode_names_its_source(compiled):
    """A traceback on a node names the module; its folder would only take room."""
    _, contents = compiled
    assert b"queue.py" in contents["firmware/core/queue.mpy"]
    assert b"core/queue.py" not in contents["firmware/core/queue.mpy"]


def test_the_place_of_a_crash_is_found():
    """Whatever short name a function has on a node, the command says which one it is; what is none is an error."""
    short = slim(release.application_files("bin"))["firmware/node.py"]
    talk = release.application_files("bin")["firmware/node.py"].splitlines().index("    async def talk(self):") + 1
    name = next(n.name for n in ast.walk(ast.parse(short)) if isinstance(n, ast.AsyncFunctionDef) and n.lineno == talk)
    shown = _run(ota_files.where, f"OSError 28 node.py:{name}", "--kind", "bin")
    assert shown.output == f"firmware/node.py:{talk} talk\n"
    for wrong in ("OSError node.py:nowhere", "MemoryError", ""):
        refused = _run(ota_files.where, wrong, "--kind", "air")
        assert refused.exit_code == 2
        assert "does the node run this version" in refused.output


def test_a_broken_source_is_named():
    """A source that the compiler refuses stops the release with its name."""
    micropython.require_mpy_cross()
    with pytest.raises(release.ReleaseError, match=r"firmware/x\.py does not compile"):
        release.compile_files({"firmware/x.py": "def broken(:\n"})


def test_a_bundle_is_read_back():
    """What is built can be read, is verified with the right key only, and agrees with the node's own parser."""
    data = release.build({"firmware/a.mpy": b"abc", "firmware/b.mpy": b"de"}, kind="air", version=10203, key=KEY)
    bundle = release.read(data)
    assert (bundle.type, bundle.kind, bundle.version, bundle.mpy) == ("app", "air", 10203, "6.3")
    assert [(entry.path, entry.size) for entry in bundle.files] == [("firmware/a.mpy", 3), ("firmware/b.mpy", 2)]
    assert release.verify(bundle, release.public_bytes(KEY))
    assert not release.verify(bundle, release.public_bytes(ec.generate_private_key(ec.SECP256R1())))
    assert not release.verify(bundle, bytes(64))
    node = manifest.parse(data[: manifest.head_bytes(data[:7])])
    assert node.bundle_bytes == bundle.size == len(data)


def test_damage_is_found():
    """Any byte that is missing, changed or too much is reported, never read as something else."""
    data = release.build({"firmware/a.mpy": b"abc" * 50}, kind="air", version=10203, key=KEY)
    for wrong in (b"", b"RSKB", data[:50], data[:-1], data + b"x", b"x" + data, data[:-1] + b"?"):
        with pytest.raises(release.ReleaseError):
            release.read(wrong)
    flipped = bytearray(data)
    flipped[20] ^= 1
    try:
        bundle = release.read(bytes(flipped))
    except release.ReleaseError:
        return
    assert not release.verify(bundle, release.public_bytes(KEY))


def test_too_many_files_for_a_manifest():
    """A bundle that no node would take is not built."""
    with pytest.raises(release.ReleaseError, match="fewer files"):
        release.build({f"firmware/some/module{n:03d}.mpy": b"x" for n in range(80)}, kind="bin", version=1, key=KEY)


@pytest.mark.parametrize(("text", "number"), [("1.4.0", 10400), ("0.0.1", 1), ("2.10.99", 21099), ("12.0.0", 120000)])
def test_versions(text, number):
    """Versions and their numbers are two spellings of one thing."""
    assert release.parse_version(text) == number
    assert release.version_text(number) == text


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "1.100.0", "v1.2.3", "1.-2.3", "0.0.0", "1.2.3 ", "\u0661.0.0"]
)
def test_what_is_no_version(text):
    """Only major.minor.patch is a version."""
    with pytest.raises(release.ReleaseError, match=r"major\.minor\.patch"):
        release.parse_version(text)


def _run(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_keygen(tmp_path):
    """The private key is the owner's alone, the public half is what nodes keep, and no key is ever overwritten."""
    path = tmp_path / "keys" / "release.pem"
    result = _run(ota_files.keygen, "--out", path)
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = (tmp_path / "keys" / "ota.pub").read_bytes()
    assert public == release.public_bytes(release.read_key(path))
    assert release.fingerprint(public) in result.output
    before = path.read_bytes()
    again = _run(ota_files.keygen, "--out", path)
    assert again.exit_code == 2
    assert "not overwritten" in again.output
    assert path.read_bytes() == before


def test_build_and_show(tmp_path):
    """A bundle of the application is built, listed, and its signature checked; a foreign key is an error."""
    micropython.require_mpy_cross()
    key, out = tmp_path / "k.pem", tmp_path / "bin-1.4.0.rsk"
    _run(ota_files.keygen, "--out", key)
    built = _run(ota_files.build, "--kind", "bin", "--version", "1.4.0", "--key", key, "--out", out)
    assert built.exit_code == 0, built.output
    shown = _run(ota_files.show, out, "--pub", tmp_path / "ota.pub")
    assert shown.exit_code == 0, shown.output
    assert "firmware/app.mpy" in shown.output
    assert "signature good" in shown.output
    assert "not checked" in _run(ota_files.show, out).output
    (tmp_path / "other.pub").write_bytes(release.public_bytes(KEY))
    foreign = _run(ota_files.show, out, "--pub", tmp_path / "other.pub")
    assert foreign.exit_code == 2
    assert "no node will take" in foreign.output


def test_build_an_image(tmp_path):
    """A MicroPython image becomes a bundle of one file; anything else is refused."""
    key, out, image = tmp_path / "k.pem", tmp_path / "image.rsk", tmp_path / "image.bin"
    _run(ota_files.keygen, "--out", key)
    image.write_bytes(b"\xe9" + bytes(5000))
    arguments = (
        "--kind",
        "air",
        "--version",
        "2.0.0",
        "--key",
        key,
        "--out",
        out,
        "--image",
        image,
        "--min-mv",
        "3700",
    )
    assert _run(ota_files.build, *arguments).exit_code == 0
    bundle = release.read(out.read_bytes())
    assert (bundle.type, bundle.kind, bundle.min_mv) == ("image", "air", 3700)
    image.write_bytes(b"\x7fELF")
    assert _run(ota_files.build, *arguments).exit_code == 2


def test_keys_that_are_none(tmp_path):
    """A wrong file in the place of a key is said in words."""
    path = tmp_path / "k.pem"
    with pytest.raises(release.ReleaseError, match="cannot be read"):
        release.read_key(path)
    path.write_bytes(b"nothing")
    with pytest.raises(release.ReleaseError, match="no private key"):
        release.read_key(path)
    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(other)
    with pytest.raises(release.ReleaseError, match="not a P-256 key"):
        release.read_key(path)
    path.write_bytes(b"nothing")
    with pytest.raises(release.ReleaseError, match="7 bytes instead of 64"):
        release.read_public(path)
