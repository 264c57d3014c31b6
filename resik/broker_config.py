"""Texts that the folder of a mosquitto holds: its configuration, a systemd unit, and a note for who looks after it."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from resik.errors import StackError

Part = Literal["whole", "square", "city"]

LISTEN_PORT: Final = 8883
"""Port of the TLS listener unless told otherwise."""
MAX_QUEUED_BYTES: Final = 256 * 1024 * 1024
"""Of one client that is away [bytes]. Its number of messages is not limited: at a limit mosquitto drops in silence."""
MEMORY_LIMIT_BYTES: Final = 1024 * 1024 * 1024
"""Of the whole broker [bytes]; beyond it clients are cut, and what they hold comes again."""
MAX_PACKET_BYTES: Final = 1_200_000
"""Of one message [bytes]: the largest batch of a gateway (gateway setting ``batch_bytes``) and some room."""
MAX_INFLIGHT: Final = 1000
AUTOSAVE_S: Final = 30
SESSION_DAYS: Final = 60
"""How long the broker remembers a client that stays away."""


def listen_address(text: str) -> tuple[str, int]:
    """Return host (empty for every address) and port of ``8883``, ``host:8883`` or ``[::1]:8883``.

    Raises
    ------
    StackError
        If it is none of these.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536 or (":" in host and not host.startswith("[")):  # noqa: PLR2004
        raise StackError(f"--listen {text} is no address: write 8883, or host:8883")
    return host.strip("[]"), int(port)


class BrokerPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a broker is made from; kept as ``broker.json`` in its folder, so that later commands need no options.

    Attributes
    ----------
    site : str
        Folder of the site, or name of a shipped one.
    secrets : str
        Folder of secrets, one file each.
    part : str
        ``square`` (devices and gateway), ``city`` (gateway uplinks, ingest, alerts) or ``whole``.
    port : int
        Loopback port without TLS.
    listen_host, listen_port : str, int | None
        Where the TLS listener listens; no port, no listener; no host, all addresses.
    hosts : tuple[str, ...]
        Names and addresses of the certificate that we made ourselves; none when it comes from elsewhere.
    workers : int
        Number of ingest workers.
    account : str
        Account that the broker runs as; empty for the account that starts it.
    log_denials : bool
        Whether each forbidden publish is worth a log line. Costs about four lines per message.
    notices : bool
        Whether connections and refused logins are logged.
    publishers : dict[str, str]
        Users that publish for sensors of other makes, and the topic filter of each.
    """

    site: str
    secrets: str
    part: Part = "whole"
    port: int = 1883
    listen_host: str = ""
    listen_port: int | None = None
    hosts: tuple[str, ...] = ()
    workers: int = 1
    account: str = ""
    log_denials: bool = False
    notices: bool = True
    publishers: dict[str, str] = {}


def configuration(plan: BrokerPlan, folder: Path, *, principals: int, as_root: bool) -> str:
    """Return ``mosquitto.conf``.

    Parameters
    ----------
    plan : BrokerPlan
        What the operator chose.
    folder : Path
        Absolute path of the folder that it lies in.
    principals : int
        How many users there are, for the number of connections.
    as_root : bool
        Whether root starts it for itself: it must not give up the right to read its own files then.
    """
    account = plan.account or ("root" if as_root else "")
    # A node that comes back is a second connection until its first has timed out.
    connections = max(200, 2 * principals + 50)
    logs = ["error", "warning", *(["notice"] if plan.notices else []), *(["debug"] if plan.log_denials else [])]
    lines = [
        "# Written by `resik broker`; changes are overwritten. See OPERATOR.md beside this file.",
        "per_listener_settings false",
        *([f"user {account}"] if account else []),
        f"pid_file {folder}/state/mosquitto.pid",
        "",
        "# Who gets in, and where each may speak",
        "allow_anonymous false",
        f"password_file {folder}/passwords",
        f"acl_file {folder}/acl",
        "",
        "# Nothing is dropped by number: a limit is met by bytes, and by the gateway's own acks",
        "max_queued_messages 0",
        f"max_queued_bytes {MAX_QUEUED_BYTES}",
        f"max_inflight_messages {MAX_INFLIGHT}",
        f"max_packet_size {MAX_PACKET_BYTES}",
        f"memory_limit {MEMORY_LIMIT_BYTES}",
        f"persistent_client_expiration {SESSION_DAYS}d",
        "set_tcp_nodelay true",
        "",
        "# Sessions outlive a restart. The messages in them need not: nobody forgets one without an application ack",
        "persistence true",
        f"persistence_location {folder}/state/",
        f"autosave_interval {AUTOSAVE_S}",
        "",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        *(f"log_type {kind}" for kind in logs),
        "",
        "# Services of this machine. A client id is the user's name: nobody throws another off by taking its id",
        f"listener {plan.port} 127.0.0.1",
        "use_username_as_clientid true",
        f"max_connections {connections}",
    ]
    if plan.listen_port is not None:
        lines += [
            "",
            "# Everybody else: TLS or nothing",
            f"listener {plan.listen_port} {plan.listen_host}".rstrip(),
            "use_username_as_clientid true",
            f"max_connections {connections}",
            f"certfile {folder}/tls/server.crt",
            f"keyfile {folder}/tls/server.key",
            "tls_version tlsv1.2",
            "ciphers ECDHE+AESGCM:ECDHE+CHACHA20",
        ]
    return "\n".join(lines) + "\n"


def unit(plan: BrokerPlan, folder: Path, program: str) -> str:
    """Return a sample of a systemd unit that runs this broker with little room for harm."""
    account = plan.account or "mosquitto"
    return f"""[Unit]
Description=MQTT broker of {plan.site} (Resik, {plan.part})
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
User={account}
ExecStart={program} -c {folder}/mosquitto.conf
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ReadWritePaths={folder}/state

[Install]
WantedBy=multi-user.target
"""


def operator_note(plan: BrokerPlan, folder: Path) -> str:
    """Return ``OPERATOR.md``: what lies here, and the four things that are done with it."""
    outside = (
        f"Perangkat / nodes: `mqtts://{plan.hosts[0] if plan.hosts else 'HOST'}:{plan.listen_port}`, root "
        f"`{folder}/tls/ca.der` (`resik provision --ca`)."
        if plan.listen_port is not None
        else "Tanpa TLS, jadi hanya mesin ini / no TLS listener, so this machine only."
    )
    return f"""# Broker {plan.site} ({plan.part})

{outside}
Layanan di mesin ini / services of this machine: `mqtt://127.0.0.1:{plan.port}`.

| file | |
|---|---|
| `mosquitto.conf`, `passwords`, `acl` | ditulis oleh / written by `resik broker`; jangan disunting / do not edit |
| `{plan.secrets}/` | rahasia / secrets: one file per user, readable by you alone |
| `tls/ca.key` | kunci induk / key of the authority: keep a copy offline, away from this machine |
| `revoked` | perangkat yang dicabut / devices that were shut out |
| `state/` | sesi / sessions of the broker |
| `resik-broker.service` | contoh / sample for `/etc/systemd/system/` |

```sh
resik broker sync --out {folder}            # devices.toml berubah / has changed
resik broker revoke rsk-b001 --out {folder} # perangkat dicuri / a node was stolen
resik broker grant rsk-b001 --out {folder}  # rahasia baru / a new secret
resik broker check --out {folder}           # semua baik? / is all well?
```

Halaman lengkap / the whole page: docs/security.md.
"""
