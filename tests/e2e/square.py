"""A whole square for a test: the real stack in a folder of its own, and devices that a test plays by hand."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from firmware import wire
from resik.folder import DataFolder
from resik.ports import free_port
from resik.reconcile import Identity, read_dead_letters, stored_identities
from resik.screen import poll
from resik.stack import Stack, StackSettings
from tests.services import wait_until


def run_resik(
    *words: str, cwd: Path | None = None, timeout_s: float = 170, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end and return its exit code and what it printed."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "resik", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout_s,
        env={**os.environ, **environment},
        check=False,
    )


class Square:
    """A running stack and what a test asks of it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.site = stack.site.id

    def get(self, path: str) -> Any:
        """GET a JSON page of the dashboard."""
        with urllib.request.urlopen(self.stack.address.rstrip("/") + path, timeout=10) as reply:
            return json.load(reply)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """POST JSON to the dashboard."""
        request = urllib.request.Request(
            self.stack.address.rstrip("/") + path,
            data=json.dumps(body or {}).encode(),
            headers={"Content-Type": "application/json", **headers},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)

    def now_s(self) -> int:
        """Return the square time in whole seconds: what a device's clock shows."""
        return int(self.stack.square_now_s())

    def bin_state(self, asset: str) -> dict[str, Any]:
        """Return the state of one bin as the map gets it."""
        return next(item for item in self.get("/api/v1/state")["bins"] if item["asset_id"] == asset)

    def count(self, service: str, name: str) -> int:
        """Return a counter of a service, 0 while it does not answer."""
        health = self.stack.child(service).poll_health()
        return int(health.counts.get(name, 0)) if health is not None else 0

    def stored(self) -> list[Identity]:
        """Return the identity of every stored point."""
        return stored_identities(self.stack.store_url, None, self.site)

    def dead(self) -> dict[str, int]:
        """Return the number of dead letters by code."""
        return read_dead_letters(self.stack.folder.dead_letters).codes

    def settled(self, timeout_s: float = 30) -> None:
        """Wait until nothing waits in the gateway, for a few looks in a row."""
        quiet = 0

        def is_quiet() -> bool:
            nonlocal quiet
            quiet = quiet + 1 if self.count("gateway", "waiting") == 0 and self.count("ingest", "waiting") == 0 else 0
            time.sleep(0.1)
            return quiet > 3

        wait_until(is_quiet, timeout_s, "the gateway to be empty")

    def device(self, device_id: str, boot: int = 7) -> "HandDevice":
        """Return a device of the site that the test plays itself, connected."""
        return HandDevice(self, device_id, boot)


class HandDevice:
    """One device with its own credentials: publishes what the test says, remembers what was acknowledged."""

    def __init__(self, square: Square, device_id: str, boot: int) -> None:
        self.id = device_id
        self.boot = boot
        self.upto = 0
        self.also: list[tuple[int, int]] = []
        self._site = square.site
        self._ready = threading.Event()
        password = (square.stack.folder.secrets / device_id).read_text().strip()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=device_id, clean_session=False)
        self._client.username_pw_set(device_id, password)
        self._client.reconnect_delay_set(1, 2)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_args: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect_async("127.0.0.1", square.stack.broker_port)
        self._client.loop_start()
        assert self._ready.wait(10), f"{device_id} could not connect"

    def _on_connect(self, client: paho.Client, *_args: Any) -> None:
        client.subscribe(wire.topic_down(self._site, self.id, "ack"), 1)

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        boot, upto, also = wire.decode_ack(message.payload)
        if boot == self.boot:
            self.upto = max(self.upto, upto)
            self.also = also

    def send(self, *readings: dict[str, Any], kind: str = "bin", boot: int | None = None) -> None:
        """Publish readings as one message."""
        payload = wire.encode_up(self.boot if boot is None else boot, list(readings), oldest_seq=1)
        self.send_raw(payload, kind)

    def send_raw(self, payload: str | bytes, kind: str = "bin") -> None:
        """Publish any payload on the device's own topic; without a connection it goes out with the next one."""
        info = self._client.publish(wire.topic_up(self._site, self.id, kind), payload, 1)
        if info.rc == paho.MQTT_ERR_SUCCESS:
            info.wait_for_publish(10)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def running_square(folder: Path, *, simulate: dict[str, str] | None = None, **settings: Any) -> Iterator[Square]:
    """Run a stack in ``folder`` and keep watch over it until the test is done.

    Unless told otherwise it is ten in the morning there and time is real: a shift is on duty whenever the test runs.
    """
    values = {"port": free_port(), "broker_port": free_port(), "start": "10:00", "speed": 1.0, **settings}
    stack = Stack(StackSettings(**values), DataFolder(folder, "simulated"), simulate=simulate, trace=True)
    done = threading.Event()
    trouble: list[BaseException] = []

    def watch() -> None:
        while not done.wait(0.1):
            try:
                stack.supervise()
                poll(stack)
            except BaseException as error:  # noqa: BLE001 - handed to the test below
                trouble.append(error)
                return

    with stack.running():
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield Square(stack)
        finally:
            done.set()
            watcher.join(5)
    if trouble:
        raise trouble[0]
