"""Where an MQTT broker is, who we are there, and whether anybody answers."""

import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from square.errors import BrokerUnavailable, SettingsError
from square.settings import PipelineSettings, read_secret


class MqttEndpoint(msgspec.Struct, frozen=True):
    """Where the broker is and who we are there."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    side: str = "broker"
    """What the settings of this broker begin with: ``broker`` or ``uplink``."""

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        ca_file: Path | None = None,
        setting: str = "broker_url",
    ) -> "MqttEndpoint":
        """Read ``mqtt://host[:port]`` or ``mqtts://host[:port]``; errors speak of ``setting`` and its neighbours.

        Raises
        ------
        SettingsError
            If the scheme is another one, the host is missing, the port is no port, or the URL holds a password.
        """
        side = setting.removesuffix("_url")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise SettingsError(f"{setting} {url!r} is not a URL ({error}): write mqtt://host:port") from error
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise SettingsError(f"{setting} {url!r}: write mqtt://host:port, or mqtts://host:port for TLS")
        if parts.password is not None or parts.username is not None:
            raise SettingsError(f"{setting} holds credentials: put them in {side}_username and {side}_password_file")
        tls = parts.scheme == "mqtts"
        return cls(parts.hostname, port or (8883 if tls else 1883), tls, username, password, ca_file, side)

    @classmethod
    def from_settings(cls, settings: PipelineSettings, default_username: str) -> "MqttEndpoint":
        """Read the broker fields of a service's settings."""
        password = read_secret(settings.broker_password_file)
        return cls.from_url(
            settings.broker_url,
            username=settings.broker_username or (default_username if password is not None else None),
            password=password,
            ca_file=settings.broker_ca_file,
        )

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def wait_for_broker(endpoint: MqttEndpoint, within_s: float) -> None:
    """Return once somebody accepts connections at ``endpoint``: a service that starts before its broker is normal.

    Raises
    ------
    BrokerUnavailable
        If nobody does within ``within_s``; the text says where and why.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection((endpoint.host, endpoint.port), timeout=2).close()
        except OSError as error:
            if time.monotonic() >= deadline:
                raise BrokerUnavailable(
                    f"no MQTT broker answers at {endpoint} ({error.strerror or error}): start it, or set "
                    f"{endpoint.side}_url"
                ) from error
            time.sleep(0.2)
        else:
            return


def tls_context(endpoint: MqttEndpoint) -> ssl.SSLContext:
    """Return the context of a TLS connection: TLS 1.2 or newer, certificate and host name checked, always.

    Raises
    ------
    SettingsError
        If the root certificate cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=str(endpoint.ca_file) if endpoint.ca_file is not None else None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{endpoint.side}_ca_file {endpoint.ca_file} is not a PEM certificate ({error})") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def tls_trouble(endpoint: MqttEndpoint, timeout_s: float = 2.0) -> str | None:
    """Say why there is no TLS session with a broker that answers; None when there is one, or nobody answers."""
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), timeout=timeout_s) as sock,
            tls_context(endpoint).wrap_socket(sock, server_hostname=endpoint.host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return (
            f"the broker at {endpoint} shows a certificate that is not trusted ({error.verify_message}): check "
            f"{endpoint.side}_ca_file {endpoint.ca_file or '(not set: the roots of this system)'} and the name in "
            f"{endpoint.side}_url"
        )
    except ssl.SSLError as error:
        return f"the broker at {endpoint} speaks no TLS that we accept ({error.reason}): check {endpoint.side}_url"
    except OSError:
        return None
