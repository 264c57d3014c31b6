"""The broker that a local stack starts: the embedded one, or mosquitto with an access list.

Both know one user per device and one per service, and without TLS both listen on loopback only. The embedded one
checks the password and no more: it knows no topics, no certificates, and reads its users at its start.
"""

import ipaddress
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from resik.broker_config import BrokerPlan
from resik.broker_files import BrokerFolder, mosquitto_program
from resik.errors import MissingPart, StackError


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


def embedded_command(folder: Path, *, port: int, passwords: Mapping[str, str]) -> list[str]:
    """Write the configuration of the embedded broker and return the command that starts it.

    Parameters
    ----------
    folder : Path
        For the generated file; it holds passwords and is readable by the owner only.
    port : int
        Loopback port.
    passwords : Mapping[str, str]
        One per device and service.

    Raises
    ------
    MissingPart
        If it is not installed.
    """
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


def mosquitto_command(
    folder: Path, *, site: str, secrets: Path, port: int, listen: tuple[str, int] | None = None, workers: int = 1
) -> list[str]:
    """Write the files of a stack's mosquitto and return the command that starts it.

    What ``resik broker init`` chose for this folder stays, such as certificates and the TLS listener.

    Parameters
    ----------
    folder : Path
        Of the broker.
    site : str
        Folder of the site.
    secrets : Path
        Folder of the secrets of all users.
    port : int
        Loopback port without TLS.
    listen : tuple[str, int] | None
        Host, by which nodes reach this machine, and port of a TLS listener; None leaves it as it is.
    workers : int
        Ingest workers that this stack has; users of more that the folder has already stay.

    Raises
    ------
    StackError
        If mosquitto is not installed, or a certificate cannot be made.
    """
    program = mosquitto_program()
    broker = BrokerFolder(folder)
    with broker.alone():
        # connections are no news in a window that shows the square
        plan = broker.plan() if broker.is_made else BrokerPlan(site=site, secrets=str(secrets), notices=False)
        plan = msgspec.structs.replace(plan, site=site, secrets=str(secrets), port=port, part="whole")
        plan = msgspec.structs.replace(plan, workers=max(plan.workers, workers))
        if listen is not None:
            plan = _listening(plan, *listen, has_certificate=broker.papers.server.exists())
        broker.keep_plan(plan)
        broker.write_papers()
        broker.write()
    return [program, "-c", str(broker.configuration)]


def _listening(plan: BrokerPlan, host: str, port: int, *, has_certificate: bool) -> BrokerPlan:
    """Return the plan with a TLS listener on this host: on its address, or on all of them where it is a name."""
    try:
        bound = "" if ipaddress.ip_address(host).is_unspecified else host
        names = [bound] if bound else []
    except ValueError:
        bound = "127.0.0.1" if host == "localhost" else ""
        names = [name for name in (host, bound) if name]
    # a certificate from elsewhere has no hosts in the plan: it is taken as it is
    if names and (plan.hosts or not has_certificate):
        plan = msgspec.structs.replace(plan, hosts=tuple(dict.fromkeys((*names, *plan.hosts))))
    elif not has_certificate:
        raise StackError(
            f"--listen {port} names no host that a node could check: write the name or address of this machine, "
            f"as in --listen 192.168.1.10:{port}"
        )
    return msgspec.structs.replace(plan, listen_host=bound, listen_port=port)
