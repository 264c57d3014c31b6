"""The broker that a local stack starts: the embedded one, or mosquitto with an access list.

Both know one user per device and one per service, and both listen on loopback only. Mosquitto can also say who may
use which topic. Devices on other machines need a broker with TLS: name it by URL instead of starting one here.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from resik.errors import MissingPart

SERVICES = ("gateway", "gateway-uplink", "ingest", "alerts")
"""Principals of the broker that are not devices. The gateway has two connections: to the devices and upstream."""


def embedded_configuration(port: int, passwords: Mapping[str, str]) -> str:
    """Return the configuration of the embedded broker (rumqttd) as TOML text.

    Parameters
    ----------
    port : int
        Loopback port.
    passwords : Mapping[str, str]
        Password of each user; nobody else gets in.
    """
    users = "\n".join(f'"{name}" = "{password}"' for name, password in sorted(passwords.items()))
    return f"""id = 0

[router]
id = 0
max_connections = {max(200, 4 * len(passwords))}
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10

[v4.1]
name = "resik"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v4.1.connections]
connection_timeout_ms = 5000
max_payload_size = 1048576
max_inflight_count = 500
dynamic_filters = true

[v4.1.connections.auth]
{users}
"""


def access_list(site: str, devices: Iterable[str]) -> str:
    """Return mosquitto's access list: it follows from the topic grammar alone.

    A device writes below its own name and reads what is sent down to it. The gateway reads what devices say and
    answers them; ingest and alerts read batches, ingest answers the gateway; each service talks to itself to see
    that it is not deaf.
    """
    own = f"resik/{site}"
    lines = [
        "user gateway",
        f"topic read {own}/+/up/+",
        f"topic write {own}/+/down/+",
        f"topic readwrite {own}/sv/+/probe",
        "user gateway-uplink",
        f"topic write {own}/gw/+/batch",
        f"topic read {own}/gw/+/ack",
        f"topic readwrite {own}/sv/+/probe",
        "user ingest",
        f"topic read {own}/gw/+/batch",
        f"topic write {own}/gw/+/ack",
        f"topic readwrite {own}/sv/+/probe",
        "user alerts",
        f"topic read {own}/gw/+/batch",
        f"topic readwrite {own}/sv/+/probe",
    ]
    for device in sorted(devices):
        lines += [f"user {device}", f"topic write {own}/{device}/up/+", f"topic read {own}/{device}/down/+"]
    return "\n".join(lines) + "\n"


def _embedded(folder: Path, port: int, passwords: Mapping[str, str]) -> list[str]:
    try:
        import iotcore  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise MissingPart(
            "the embedded broker (iotcore) is not installed: pip install 'resik-kota[stack]', or use --broker mosquitto"
        ) from error
    path = folder / "broker.toml"
    path.touch(mode=0o600)
    path.write_text(embedded_configuration(port, passwords), encoding="utf-8")
    # rumqttd reports each routed message as an error record; only what stops it is worth a line
    return [sys.executable, "-P", "-m", "iotcore", "--config", str(path), "--log-level", "CRITICAL"]


def _mosquitto(folder: Path, port: int, site: str, passwords: Mapping[str, str]) -> list[str]:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    hasher = shutil.which("mosquitto_passwd")
    if program is None or hasher is None:
        raise MissingPart("mosquitto is not installed: apt-get install mosquitto, or use --broker embedded")
    password_file, acl_file, state = folder / "passwords", folder / "acl", folder / "mosquitto"
    state.mkdir(exist_ok=True)
    for path in (password_file, acl_file):
        path.touch(mode=0o600)
    password_file.write_text("".join(f"{name}:{word}\n" for name, word in passwords.items()), encoding="utf-8")
    subprocess.run([hasher, "-U", str(password_file)], check=True)
    acl_file.write_text(access_list(site, set(passwords) - set(SERVICES)), encoding="utf-8")
    configuration = folder / "mosquitto.conf"
    configuration.write_text(
        "\n".join(
            [
                "per_listener_settings false",
                f"listener {port} 127.0.0.1",
                *(["user root"] if os.geteuid() == 0 else []),  # else it gives up the right to read its own files
                "allow_anonymous false",
                # a client id is the user's name: nobody can throw another off by taking its id
                "use_username_as_clientid true",
                f"password_file {password_file}",
                f"acl_file {acl_file}",
                "max_queued_messages 0",
                "max_queued_bytes 268435456",
                "max_inflight_messages 1000",
                "set_tcp_nodelay true",
                "persistence true",
                f"persistence_location {state}/",
                "autosave_interval 30",
                "log_type error",
                "log_type warning",
                "",
            ]
        ),
        encoding="utf-8",
    )
    return [program, "-c", str(configuration)]


def broker_command(kind: str, folder: Path, *, port: int, site: str, passwords: Mapping[str, str]) -> list[str]:
    """Write the broker's configuration into ``folder`` and return the command that starts it.

    Parameters
    ----------
    kind : str
        ``embedded`` or ``mosquitto``.
    folder : Path
        For generated files; they hold passwords and are readable by the owner only.
    port : int
        Loopback port.
    site : str
        Site id, for the access list.
    passwords : Mapping[str, str]
        One per device and service.

    Raises
    ------
    MissingPart
        If the broker is not installed.
    """
    if kind == "mosquitto":
        return _mosquitto(folder, port, site, passwords)
    return _embedded(folder, port, passwords)
