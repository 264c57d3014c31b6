"""A mosquitto that runs: let it read its files again, cut a user off, and ask it what it is.

What mosquitto 2.0.11 does with SIGHUP, as measured: it reads users, access list, log types and certificates again, and
it drops each connection whose user and password are no longer in the file, within milliseconds; others stay. What it
keeps is the *session* of that user: its subscriptions and what waits for it. So a revoked device is also taken over by
a connection of ours, with a password that is good for that moment only; that ends its session, and it ends an open
connection on a mosquitto that does not do so by itself.
"""

import os
import signal
import time
from collections.abc import Callable
from typing import Final

from resik.broker_files import BrokerFolder
from resik.errors import StackError
from square.endpoint import MqttEndpoint
from square.errors import BrokerError, BrokerRefused
from square.files import new_secret
from square.mqtt import MqttConnection
from square.settings import read_secret

TAKES_OVER_WITHIN_S: Final = 20.0
_ANSWER_WITHIN_S: Final = 5.0
QUESTIONS: Final = {"version": "$SYS/broker/version", "dropped": "$SYS/broker/publish/messages/dropped"}


def running_pid(folder: BrokerFolder) -> int | None:
    """Return the process id of the mosquitto of this folder, None when none runs.

    The file may be left over from a crash and its number be somebody else's by now, so the command line decides.
    """
    try:
        pid = int(folder.pid_file.read_text(encoding="ascii"))
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - a fixed path of the kernel
            words = file.read().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(folder.configuration) in words else None


def reload(folder: BrokerFolder) -> bool:
    """Let a running broker read its files again; return whether one runs.

    Raises
    ------
    StackError
        If it belongs to somebody else.
    """
    pid = running_pid(folder)
    if pid is None:
        return False
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise StackError(
            f"the files are written, but only root or its owner may tell the broker (process {pid}): run the same "
            "command again as root"
        ) from error
    return True


def _endpoint(folder: BrokerFolder, name: str, secret: str) -> MqttEndpoint:
    return MqttEndpoint("127.0.0.1", folder.plan().port, username=name, password=secret)


def _gets_in(folder: BrokerFolder, name: str, secret: str) -> bool:
    """Whether the broker lets this user in now; one that is in already is thrown off, and its session forgotten."""
    connection = MqttConnection(_endpoint(folder, name, secret), name, clean=True)
    connection.start()
    try:
        connection.wait_connected(_ANSWER_WITHIN_S)
    except BrokerRefused:
        return False
    finally:
        connection.stop()
    return True


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TAKES_OVER_WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            raise StackError(f"the broker did not {what} within {TAKES_OVER_WITHIN_S:.0f} s: restart it")
        time.sleep(0.05)


def cut_off(folder: BrokerFolder, device: str) -> float | None:
    """Throw a device out of a running broker and keep it out. The device MUST be noted as revoked already.

    Returns
    -------
    float | None
        From the first file written to the proof that nobody gets in under its name [s]; None when no broker runs, and
        the files have to do.

    Raises
    ------
    StackError
        If the broker runs and cannot be brought to it.
    """
    assert device in folder.revoked()
    started_s = time.monotonic()
    once = new_secret()
    folder.write(passing={device: once})
    if not reload(folder):
        folder.write()
        return None
    try:
        try:
            _until(lambda: _gets_in(folder, device, once), "take the new users")
        finally:
            folder.write()
            reload(folder)
        _until(lambda: not _gets_in(folder, device, once), "forget the device")
    except BrokerError as error:
        raise StackError(f"the broker runs and does not answer ({error}): restart it, the files are right") from error
    return time.monotonic() - started_s


def ask(folder: BrokerFolder) -> dict[str, str]:
    """Ask a running broker about itself.

    Returns
    -------
    dict[str, str]
        Last words of what it says, by :data:`QUESTIONS`; what it does not say is missing.

    Raises
    ------
    BrokerError
        If it does not answer, or does not know the user ``monitor``.
    """
    secret = read_secret(folder.secret_file(folder.plan(), "monitor"))
    assert secret is not None
    connection = MqttConnection(_endpoint(folder, "monitor", secret), "monitor", clean=True)
    for topic in QUESTIONS.values():
        connection.subscribe(topic, 0)
    connection.start()
    answers: dict[str, str] = {}
    try:
        connection.wait_connected(_ANSWER_WITHIN_S)
        while len(answers) < len(QUESTIONS) and (delivery := connection.get(1.0)) is not None:
            said = delivery.payload.decode("utf-8", "replace").split()
            answers |= {name: said[-1] for name, topic in QUESTIONS.items() if topic == delivery.topic and said}
    finally:
        connection.stop()
    return answers
