"""From an error to one sentence on the terminal and an exit code."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

import click

from resik.errors import MissingPart, StackError
from square.errors import SquareError


def _expected_errors() -> tuple[type[Exception], ...]:
    """Return the roots of every error that Resik raises on purpose; parts that are not installed raise none."""
    roots: list[type[Exception]] = [SquareError, StackError]
    for module, name in (
        ("ingest.errors", "IngestError"),
        ("gateway.errors", "GatewayError"),
        ("alerts.errors", "AlertsError"),
        ("dashboard_api.errors", "DashboardStartError"),
        ("simulators.errors", "SimulatorError"),
    ):
        try:
            roots.append(getattr(__import__(module, fromlist=[name]), name))
        except ImportError:
            continue
    return tuple(roots)


def _fail(name: str, error: Exception) -> NoReturn:
    """Print one sentence and leave: 1 when trying again may help, 2 when a person must act."""
    click.echo(f"resik {name}: {error}", err=True)
    retryable = bool(getattr(error, "retryable", False))
    sys.exit(1 if retryable else getattr(error, "exit_code", 2))


def plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn expected errors into one sentence and a missing optional part into the words to install it."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        name = click.get_current_context().command_path.removeprefix("resik ").strip()
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            if error.name is not None and error.name.split(".")[0] in _OURS:
                raise
            _fail(name, MissingPart(f"{error.name} is not installed: pip install 'resik-kota[stack]'"))
        except _expected_errors() as error:
            _fail(name, error)
        except KeyboardInterrupt:
            sys.exit(130)

    return wrapped


_OURS = {"firmware", "square", "gateway", "ingest", "alerts", "dashboard_api", "simulators", "resik"}
