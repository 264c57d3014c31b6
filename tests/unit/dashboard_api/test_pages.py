"""The built web client as it is served."""

import gzip
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.unit.dashboard_api.world import World

SCRIPT = b"export const x = 1;\n" * 200


@pytest.fixture
def built(world: World) -> Path:
    """Put a small built client into the world's static folder."""
    static = world.folder / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_bytes(b"<!doctype html><title>peta</title>")
    (static / "petugas.html").write_bytes(b"<!doctype html><title>petugas</title>")
    (static / "resik.svg").write_bytes(b"<svg/>")
    (static / "assets" / "office-B1a2C3d4.js").write_bytes(SCRIPT)
    (static / "assets" / "plain.js").write_bytes(b"1")
    (world.folder / "rahasia.txt").write_bytes(b"secret")
    return static


def test_pages_when_not_built(client: TestClient) -> None:
    """Without a built client both pages say in two languages what to run."""
    for path in ("/", "/petugas/abc"):
        reply = client.get(path)
        assert reply.status_code == 503
        assert reply.headers["content-type"].startswith("text/html")
        assert "Jalankan <code>make web</code>" in reply.text
        assert "Run <code>make web</code>" in reply.text


@pytest.mark.usefixtures("built")
def test_each_path_has_its_page(client: TestClient) -> None:
    """The office gets its page, a crew link the crew's; pages are asked for anew each time."""
    assert "peta" in client.get("/").text
    reply = client.get("/petugas/anything")
    assert "petugas" in reply.text
    assert reply.headers["cache-control"] == "no-cache"


@pytest.mark.usefixtures("built")
def test_hashed_assets_are_kept_for_ever(client: TestClient) -> None:
    """A name with a hash never changes its content and is cached; a plain name is checked again."""
    hashed = client.get("/assets/office-B1a2C3d4.js")
    assert hashed.content == SCRIPT
    assert hashed.headers["content-type"].startswith("text/javascript")
    assert hashed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get("/assets/plain.js").headers["cache-control"] == "no-cache"
    assert client.get("/resik.svg").headers["content-type"] == "image/svg+xml"


@pytest.mark.usefixtures("built")
def test_assets_are_compressed_on_request(client: TestClient) -> None:
    """A browser that takes gzip gets less than a tenth of this file; one that does not gets it plain."""
    with client.stream("GET", "/assets/office-B1a2C3d4.js", headers={"accept-encoding": "gzip"}) as reply:
        raw = b"".join(reply.iter_raw())
        assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == SCRIPT
    assert len(raw) < len(SCRIPT) / 10
    plain = client.get("/assets/office-B1a2C3d4.js", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == "accept-encoding"


@pytest.mark.usefixtures("built")
def test_unchanged_files_answer_304(client: TestClient) -> None:
    """A browser that holds the file gets no body."""
    etag = client.get("/").headers["etag"]
    assert client.get("/", headers={"if-none-match": f'"x", {etag}'}).status_code == 304


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(
    "path",
    [
        "/assets/../../rahasia.txt",
        "/assets/..%2f..%2frahasia.txt",
        "/..%2frahasia.txt",
        "/assets/%2e%2e/index.html",
        "/assets//etc/passwd",
        "/rahasia.txt",
        "/petugas.html",
    ],
)
def test_nothing_outside_the_folder_is_served(client: TestClient, path: str) -> None:
    """No spelling of a path leaves the folder or reaches a page around its route."""
    reply = client.get(path)
    assert reply.status_code == 404
    assert "secret" not in reply.text


def test_new_build_is_served_without_restart(client: TestClient, built: Path) -> None:
    """After a new build the next request gets the new page."""
    assert "peta" in client.get("/").text
    (built / "index.html").write_bytes(b"<!doctype html><title>baru</title>")
    assert "baru" in client.get("/").text


def test_build_that_cannot_be_read_leaves_the_old_one(
    client: TestClient, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a build replaces the files the pages in memory are served; the next request that can reads the new ones."""
    assert "peta" in client.get("/").text
    (built / "index.html").write_bytes(b"<!doctype html><title>baru</title>")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail_to_read)
        assert "peta" in client.get("/").text
    assert "baru" in client.get("/").text


def fail_to_read(path: Path) -> bytes:
    """Stand in for a file that is listed and gone before it is read."""
    raise FileNotFoundError(path)


def test_files_that_come_after_their_page_are_found(client: TestClient, built: Path) -> None:
    """A page that was read before the rest of its build was written finds the rest without a restart."""
    assert "peta" in client.get("/").text
    (built / "assets" / "late-B1a2C3d4.js").write_bytes(b"2")
    assert client.get("/assets/late-B1a2C3d4.js").content == b"2"
