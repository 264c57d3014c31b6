"""Settings of the services: one frozen class per service, read once, checked whole.

Values come from the environment (``RESIK_GATEWAY_SPOOL_FILE=...``), then from the service's section of a
TOML file, then from the default. A key that nobody knows is an error wherever it stands: a misspelt
setting must never be ignored.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from square.errors import SettingsError
from square.logs import LogFormat

ENV_ROOT = "RESIK_"

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class ServiceSettings(BaseSettings):
    """What every process needs to know.

    Attributes
    ----------
    site : str
        Site folder, or the name of a site that ships with Resik.
    clock_file : Path | None
        Shared square time; unset means wall time.
    log_level : str
        DEBUG, INFO, WARNING or ERROR.
    log_format : str
        ``text`` for people or ``json``, one object a line, for log collectors.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=True)

    site: str = "alun-alun-pasuruan"
    clock_file: Path | None = None
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "text"


class BrokerSettings(ServiceSettings):
    """Of a process that knows where the broker is.

    Attributes
    ----------
    broker_url : str
        ``mqtt://host:port`` or ``mqtts://host:port``.
    broker_ca_file : Path | None
        Root certificate for ``mqtts``; the system's roots when unset.
    """

    broker_url: str = "mqtt://127.0.0.1:1883"
    broker_ca_file: Path | None = None


class PipelineSettings(BrokerSettings):
    """Of a service in the pipe: it has an account at the broker, and a health page.

    Attributes
    ----------
    health_port : int | None
        Loopback port of ``/healthz`` and ``/metrics``; unset means none.
    broker_username : str | None
        With a password file and no name, the name of the service.
    broker_password_file : Path | None
        File that holds nothing but the password; unset connects without an account.
    broker_wait_s : float
        How long a starting service waits for its broker before it leaves with exit code 1 [s].
    """

    health_port: int | None = None
    broker_username: str | None = None
    broker_password_file: Path | None = None
    broker_wait_s: float = Field(default=15.0, ge=0, le=3600)


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def _section(config_file: Path, section: str, known_sections: frozenset[str]) -> dict[str, Any]:
    try:
        text = config_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config_file} cannot be read ({error}): name an existing TOML file") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{config_file} is not valid TOML: {error}") from error
    unknown = sorted(set(document) - known_sections)
    if unknown:
        raise SettingsError(
            f"{config_file}: unknown section [{unknown[0]}]: use one of {', '.join(sorted(known_sections))}"
        )
    values = document.get(section, {})
    if not isinstance(values, dict):
        raise SettingsError(f"{config_file}: {section} must be a section: write [{section}]")
    return values


SECTIONS = frozenset({"stack", "gateway", "ingest", "alerts", "dashboard", "simulator"})
"""Sections that a configuration file may hold."""


def load_settings(cls: type[SettingsT], section: str, config_file: Path | None = None, **overrides: Any) -> SettingsT:
    """Read the settings of one service.

    Parameters
    ----------
    cls : type[ServiceSettings]
        The service's settings class; its ``env_prefix`` names its environment variables.
    section : str
        Its section of the configuration file.
    config_file : Path | None
        A TOML file; None means environment and defaults only.
    **overrides
        Values from the command line; they win over everything.

    Raises
    ------
    SettingsError
        If a key is unknown or a value is refused; the text says which, where it came from and what to do.
    """
    prefix = cls.model_config.get("env_prefix", "")
    for name in os.environ:
        if prefix and name.startswith(prefix) and name[len(prefix) :].lower() not in cls.model_fields:
            raise SettingsError(
                f"the environment variable {name} is not a setting of {section}: known are "
                + ", ".join(prefix + field.upper() for field in cls.model_fields)
            )
    values = _section(config_file, section, SECTIONS) if config_file is not None else {}
    origin = str(config_file) if config_file is not None else "environment"
    for key in values:
        if key not in cls.model_fields:
            raise SettingsError(
                f"{origin}: unknown key {key!r} in [{section}]: known keys are {', '.join(sorted(cls.model_fields))}"
            )
    # pydantic lets arguments win over the environment, so of the file only what the environment leaves is passed
    arguments = {key: value for key, value in values.items() if prefix + key.upper() not in os.environ} | overrides
    try:
        return cls(**arguments)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        variable = prefix + key.upper()
        if key in overrides:
            source = f"the option --{key.replace('_', '-')}"
        elif variable in os.environ and key not in arguments:
            source = f"the environment variable {variable}"
        else:
            source = f"{origin}: [{section}] {key}"
        raise SettingsError(f"{source}: {first['msg']} (got {first.get('input')!r})") from error


def read_secret(path: Path | None) -> str | None:
    """Return the text of a secret file without the line end, or None when ``path`` is None.

    Raises
    ------
    SettingsError
        If the file is missing, empty or not readable.
    """
    if path is None:
        return None
    try:
        secret = path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the secret file {path} cannot be read ({error}): check path and permissions") from error
    if not secret:
        raise SettingsError(f"the secret file {path} is empty: put the secret in it")
    return secret
