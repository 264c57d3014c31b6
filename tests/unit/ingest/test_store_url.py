"""One URL chooses the store; a wrong one is answered with the grammar and never with a secret."""

import re
from pathlib import Path

import pytest

from ingest.errors import StoreRefused
from ingest.stores import GRAMMAR, open_store, plain_http_address
from ingest.stores.embedded import EmbeddedStore
from ingest.stores.influx1 import Influx1Store
from ingest.stores.influx2 import Influx2Store


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/points.sqlite3", "var/points.sqlite3"),
        ("sqlite:////srv/resik/points.sqlite3", "/srv/resik/points.sqlite3"),
        ("sqlite:///data%20lama/points.sqlite3", "data lama/points.sqlite3"),
    ],
)
def test_sqlite_takes_relative_and_absolute_paths(url: str, path: str):
    """Three slashes are relative, four absolute, as SQLAlchemy writes them."""
    store = open_store(url)
    assert isinstance(store, EmbeddedStore)
    assert store.path == Path(path)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("influx1://db.example/resik", "http://db.example:8086"),
        ("influx1+https://db.example:443/resik", "https://db.example:443"),
        ("influx1://[::1]:9999/resik", "http://[::1]:9999"),
    ],
)
def test_influx1_reads_protocol_host_and_port(url: str, base: str):
    """The default port is 8086 and IPv6 addresses keep their brackets."""
    store = open_store(url)
    assert isinstance(store, Influx1Store)
    assert store._endpoint.base == base


def test_influx2_and_influx3_differ_in_port_and_names():
    """2.x names organisation and bucket on 8086, 3.x a database on 8181."""
    two = open_store("influx2+http://db.example/kota%20pasuruan/resik", secret="t")
    three = open_store("influx3+https://db.example/resik", secret="t")
    assert isinstance(two, Influx2Store)
    assert isinstance(three, Influx2Store)
    assert (two._endpoint.base, two._client.org, two._database) == ("http://db.example:8086", "kota pasuruan", "resik")
    assert (three._endpoint.base, three.generation, three._database) == ("https://db.example:8181", 3, "resik")
    two.close()
    three.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "points.sqlite3",
        "sqlite://points.sqlite3",
        "sqlite:///",
        "mysql://host/db",
        "influx1://host",
        "influx1:///db",
        "influx1://host/db/rp",
        "influx1://host:port/db",
        "influx2://host/org/bucket",
        "influx2+http://host/bucket",
        "influx3+http://host/org/bucket",
        "influx1://host/db?precision=us",
    ],
)
def test_a_url_outside_the_grammar_is_refused_with_the_grammar(url: str):
    """Every mistake is answered by one sentence that shows what to write; retrying is not offered."""
    with pytest.raises(StoreRefused) as refused:
        open_store(url, secret="t")
    assert GRAMMAR in str(refused.value)
    assert not refused.value.retryable


@pytest.mark.parametrize(
    "url", ["influx1://ani:rahasia@host/db", "influx2+http://:rahasia@host/o/b", "influx3+https://rahasia@host/db"]
)
def test_a_secret_in_the_url_is_refused_and_not_repeated(url: str):
    """A password or token in the URL would end in logs: refused, pointing to the file, without echoing it."""
    with pytest.raises(StoreRefused, match="store_token_file") as refused:
        open_store(url)
    assert "rahasia" not in str(refused.value)


def test_a_password_without_a_user_is_refused():
    """It would never be sent: the server's 401 would then blame the wrong setting."""
    with pytest.raises(StoreRefused, match="names no user"):
        open_store("influx1://host/db", secret="kunci")


@pytest.mark.parametrize("url", ["influx1://ani@host/db", "influx2+http://host/o/b"])
def test_a_missing_secret_is_refused_before_anything_is_sent(url: str):
    """A user without a password and a 2.x bucket without a token cannot work: say so at once."""
    with pytest.raises(StoreRefused, match="store_token_file"):
        open_store(url)


def test_every_url_of_the_documentation_opens():
    """The table of docs/stores.md and the grammar of the code cannot drift apart."""
    text = (Path(__file__).parents[3] / "docs" / "stores.md").read_text()
    urls = re.findall(r"`((?:sqlite|influx)[a-z0-9+]*://[^`]+)`", text)
    kinds = {url.partition(":")[0] for url in urls}
    assert kinds == {"sqlite", "influx1", "influx1+https", "influx2+https", "influx3+https"}
    for url in urls:
        open_store(url, secret="t" if "@" in url or url.startswith(("influx2", "influx3")) else None).close()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("influx1://user@store.example/resik", ("store.example", 8086)),
        ("influx1+http://127.0.0.1:9086/resik", ("127.0.0.1", 9086)),
        ("influx2+http://store.example/org/bucket", ("store.example", 8086)),
        ("influx3+http://store.example/resik", ("store.example", 8181)),
        ("influx1+https://store.example/resik", None),
        ("influx3+https://store.example/resik", None),
        ("sqlite:///points.sqlite3", None),
    ],
)
def test_where_a_store_without_tls_is_asked(url: str, address: tuple[str, int] | None) -> None:
    """Host and port, by default those of its generation; nothing for TLS and for a file."""
    assert plain_http_address(url) == address
