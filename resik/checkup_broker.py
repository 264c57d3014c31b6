"""The broker: whether it answers, lets us in, passes messages on, and until when its certificates are trusted."""

import contextlib
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from firmware import wire
from resik import broker_check
from resik.broker_files import BrokerFolder
from resik.chain import Chain, Finding, State, Words
from resik.checkup import http_base
from square.endpoint import MqttEndpoint, wait_for_broker
from square.errors import BrokerRefused, BrokerUnavailable, SquareError
from square.mqtt import MqttConnection
from square.settings import read_secret

ANSWER_S: Final = 5.0
CERTIFICATE_NOTE_D: Final = 21
MONITOR: Final = "monitor"
"""Our user at the broker. A name of our own: a service's name would throw that service off."""
BROKER_NEWS: Final = "$SYS/broker/uptime"
NEWS_WITHIN_S: Final = 12.0
"""It is kept, so comes at once; a broker that has just started says it within ten seconds."""

_DAY_S: Final = 86_400


def broker(chain: Chain) -> Finding:
    """See whether anybody accepts connections where the broker should be."""
    try:
        wait_for_broker(_endpoint(chain), 0)
    except (BrokerUnavailable, SquareError) as error:
        words = chain.last_words("broker")
        return Finding(
            "broker",
            "broken",
            Words(f"Broker di {chain.card.broker_url} tidak menjawab.", str(error)),
            Words(
                f"Hidupkan broker; lihat {chain.log('broker')}.",
                f"Start the broker, or correct broker_url; see {chain.log('broker')}"
                + (f": {words}." if words else "."),
            ),
        )
    return Finding(
        "broker", "ok", Words(f"Menjawab di {chain.card.broker_url}.", f"Answers at {chain.card.broker_url}.")
    )


def broker_files(chain: Chain) -> Finding | None:
    """Compare the files of a mosquitto that the stack starts with the registry; None for other brokers."""
    if chain.card.broker != "mosquitto" or not chain.is_stack:
        return None
    found = broker_check.findings(BrokerFolder(chain.data / "broker"))
    for level, state in (("bad", "broken"), ("warn", "note")):
        texts = [finding.text for finding in found if finding.level == level]
        if texts:
            return Finding(
                "broker-files",
                cast("State", state),
                Words("Ada yang perlu diperbaiki.", "; ".join(texts) + "."),
                Words("Jalankan `resik broker check`.", "Do what it says; `resik broker check` shows all of it."),
            )
    return Finding("broker-files", "ok", Words("Sesuai daftar alat.", "As the registry wants them."))


def certificates(chain: Chain) -> Finding | None:
    """Look at the dates of the certificates of broker and store; None where nothing speaks TLS."""
    found: list[tuple[str, float]] = []
    endpoint = _endpoint(chain)
    places = [("broker", endpoint.host, endpoint.port, endpoint.ca_file)] if endpoint.tls else []
    base = http_base(chain.card.store_url)
    if base is not None and base.startswith("https"):
        parts = urlsplit(base)
        places.append(("time-series store", parts.hostname or "", parts.port or 443, None))
    if not places:
        return None
    for name, host, port, ca_file in places:
        try:
            found += [(f"{name} {what}", until_s) for what, until_s in expiries(host, port, ca_file)]
        except (OSError, ValueError) as error:
            return Finding(
                "certificates",
                "broken",
                Words(f"Sertifikat {name} tidak diterima.", f"The certificate of the {name} is not accepted: {error}."),
                Words("Perbarui sertifikat, atau periksa broker_ca_file.", "Renew it, or correct broker_ca_file."),
            )
    name, until_s = min(found, key=lambda item: item[1])
    left_d = int((until_s - time.time()) // _DAY_S)
    what = Words(f"{name}: berlaku {left_d} hari lagi.", f"{name}: valid for {left_d} more days.")
    if left_d >= CERTIFICATE_NOTE_D:
        return Finding("certificates", "ok", what)
    todo = Words("Perbarui sertifikat sebelum habis.", "Renew it before it ends: every node will be shut out then.")
    return Finding("certificates", "broken" if until_s <= time.time() else "note", what, todo)


def expiries(host: str, port: int, ca_file: Path | None) -> Iterator[tuple[str, float]]:
    """Yield until when [s since 1970] the certificate of a server, and the root named for it, are valid.

    Raises
    ------
    OSError
        If nobody answers, or with a certificate that is not accepted.
    """
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
    if ca_file is not None:
        for root in context.get_ca_certs():
            yield "root", float(ssl.cert_time_to_seconds(str(root["notAfter"])))
    with (
        socket.create_connection((host, port), timeout=ANSWER_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        certificate = secured.getpeercert() or {}
    yield "certificate", float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))


def login_and_probe(chain: Chain) -> Iterator[Finding]:
    """Log in at the broker under a name of our own, and send a message to ourselves through it."""
    password_file = None if chain.secrets is None else chain.secrets / MONITOR
    if password_file is not None and not password_file.exists():
        yield Finding(
            "credentials",
            "unknown",
            Words("Tidak ada kata sandi pengguna `monitor`.", f"There is no password of a user `{MONITOR}`."),
            Words(
                f"Buat pengguna {MONITOR} di broker.", f"Make the user {MONITOR}, its password into {password_file}."
            ),
        )
        return
    topic = wire.topic_probe(chain.site.id, MONITOR)
    endpoint = _endpoint(chain, read_secret(password_file))
    connection = MqttConnection(endpoint, MONITOR, clean=True)
    is_mosquitto = chain.card.broker == "mosquitto"  # there this user hears the broker speak of itself, and no more
    connection.subscribe(BROKER_NEWS if is_mosquitto else topic, 0)  # the embedded one dies of a filter with $SYS
    try:
        connection.start()
        connection.wait_connected(ANSWER_S)
        yield Finding("credentials", "ok", Words("Kata sandi diterima.", "Accepted."))
        is_back = _hears(connection) if is_mosquitto else _comes_back(connection, topic)
    except BrokerRefused as error:
        yield Finding(
            "credentials",
            "broken",
            Words("Broker menolak kata sandi kami.", str(error)),
            Words(
                f"Samakan kata sandi di broker dengan {chain.secrets}.",
                f"Give the broker the users and passwords of {chain.secrets}, then restart it.",
            ),
        )
    except BrokerUnavailable as error:
        yield Finding(
            "credentials",
            "broken",
            Words("Broker tidak melayani sambungan.", str(error)),
            Words("Mulai ulang broker.", f"Restart the broker; see {chain.log('broker')}."),
        )
    else:
        yield _probe(chain, topic, is_back=is_back)
    finally:
        connection.stop()


def _hears(connection: MqttConnection) -> bool:
    return connection.get(NEWS_WITHIN_S) is not None


def _comes_back(connection: MqttConnection, topic: str) -> bool:
    nonce = secrets.token_hex(8).encode()
    deadline_s = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(BrokerUnavailable):  # cut off meanwhile: until the deadline it may be back
            connection.publish(topic, nonce, 0)  # again and again: our subscription may be answered late
        heard = connection.get(0.25)
        if heard is not None and heard.payload == nonce:
            return True
    return False


def _probe(chain: Chain, topic: str, *, is_back: bool) -> Finding:
    if is_back:
        return Finding("probe", "ok", Words("Kembali.", "Came back."))
    may_be_rights = bool(chain.count("gateway", "edge_connected") and chain.count("gateway", "uplink_connected"))
    return Finding(
        "probe",
        "note" if may_be_rights else "broken",  # messages of the gateway to itself come back
        Words("Pesan uji tidak kembali dari broker.", f"No message came back from the broker within {ANSWER_S:.0f} s."),
        Words(
            "Mulai ulang broker; periksa aturan aksesnya.",
            f"Let the user {MONITOR} read and write {topic} in the broker's access list; if it may, restart it.",
        ),
    )


def _endpoint(chain: Chain, password: str | None = None) -> MqttEndpoint:
    ca_file = Path(chain.card.broker_ca_file) if chain.card.broker_ca_file is not None else None
    return MqttEndpoint.from_url(
        chain.card.broker_url, username=MONITOR if password is not None else None, password=password, ca_file=ca_file
    )
