"""The simulator as a service: a square, its nodes and its crews, until it is told to stop."""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from alerts.adapters.crew_links import read_links
from simulators.broom import Broom
from simulators.contest.square_view import SquareView
from simulators.contest.truth import head_of, node_faults
from simulators.crew import REQUEST_TIMEOUT_S, Claims, CrewApi, Crews
from simulators.diary import Diary
from simulators.fleet import Fleet
from simulators.node import Ledger, VirtualNode
from simulators.radio import Radio
from simulators.scenario import Scenario, load_scenario_and_site
from simulators.settings import SimulatorSettings
from simulators.world import World
from square.clock import Clock, now_ms, open_clock
from square.endpoint import MqttEndpoint
from square.errors import SettingsError
from square.health import Health, HealthServer
from square.process import EXIT_OK
from square.registry import Registry
from square.settings import read_secret
from square.site import Site, load_site

_log = logging.getLogger(__name__)

STATE_VERSION = 2
SAVE_EVERY_S = 30.0
CONNECT_GRACE_S = 30.0
LOOK_AT_LINKS_S = 1.0
_NEW_WORLD = "move it away to begin a new world"
NOT_DRAINED = 4
"""Exit code when some readings were not acknowledged at the deadline."""


def read_passwords(secrets_dir: Path | None, device_ids: Iterable[str]) -> dict[str, str]:
    """Return the password of each device from its file in `secrets_dir`; none without a folder.

    Raises
    ------
    SettingsError
        A device has no file, or it is empty.
    """
    if secrets_dir is None:
        return {}
    return {device_id: read_secret(secrets_dir / device_id) or "" for device_id in device_ids}


class Simulator:
    """One simulated square with everything that belongs to it.

    Parameters
    ----------
    settings
        See `SimulatorSettings`.
    site, clock
        The plan and the square's time.
    """

    def __init__(self, settings: SimulatorSettings, site: Site, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._site = site
        self._started = time.monotonic()
        state = self._load_state()
        self._runs = int(state.get("runs", 0)) + 1
        now_s = clock.now_s()
        self._scenario = _scenario_of(settings, site)
        fill = (settings.initial_fill_min_pct, settings.initial_fill_max_pct)
        self.world = World(
            site,
            seed=settings.seed,
            start_s=now_s,
            initial_fill_pct=fill if self._scenario is None else self._scenario.initial_fill_pct,
            scenario=self._scenario,
        )
        if state:
            try:
                self.world.restore(state["world"])
            except (KeyError, TypeError, ValueError) as error:
                raise SettingsError(
                    f"state_file: {settings.state_file} is damaged ({error!r}): {_NEW_WORLD}"
                ) from error
        self.world.diary = self._diary()
        nodes = list(self._nodes(now_s, state.get("queues", {})))
        passwords = read_passwords(settings.secrets_dir, [n.identity.device_id for n in nodes])
        self.ledger = Ledger(settings.ledger_file)
        self.fleet = Fleet(
            nodes,
            passwords,
            MqttEndpoint.from_url(settings.broker_url, ca_file=settings.broker_ca_file),
            clock,
            self.ledger,
            seed=settings.seed,
            resend_after_s=settings.resend_after_s,
            radio=self._radio([n.identity.device_id for n in nodes]),
            faults=self._scenario.faults if self._scenario is not None else None,
        )
        self._links_fault = ""
        self.claims = Claims(self._emptied, state.get("claims", ()), ignore_before_ms=None if state else now_ms(clock))

    def _nodes(self, now_s: float, queues: Mapping[str, Any]) -> Iterator[VirtualNode]:
        intervals = {"bin": self._settings.bin_interval_s, "air": self._settings.air_interval_s}
        for i, placement in enumerate(Registry.from_site(self._site).placements()):
            node = VirtualNode(
                self.world.identity(placement, intervals[placement.kind]),
                self.world.sense(placement),
                boot=secrets.randbits(32),
                started_s=now_s,
                has_clock=i >= self._settings.clockless_nodes,
            )
            node.queue.load(queues.get(node.identity.device_id, ()))
            yield node

    def _radio(self, devices: list[str]) -> Radio | None:
        """Return what radio and clocks do to nodes of a scenario; otherwise they are heard always."""
        if self._scenario is None:
            return None
        return Radio(devices, seed=self._settings.seed, faults=self._scenario.faults)

    def _diary(self) -> Diary | None:
        if self._settings.truth_file is None:
            return None
        square = SquareView.of(self._site)
        if self._scenario is None:
            return Diary(self._settings.truth_file, head_of(square, self._site.id))
        head = head_of(square, self._site.id, scenario_id=self._scenario.id)
        return Diary(self._settings.truth_file, head, node_faults(square, self._scenario.faults))

    def _emptied(self, asset_id: str) -> None:
        litres = self.world.empty(asset_id, self._clock.now_s())
        if litres is not None:
            _log.info("bin %s emptied: %.0f l", asset_id, litres)

    def _litter_l(self, zone: str) -> float:
        self.world.advance(self._clock.now_s())
        return float(self.world.model.litter_l[self.world.model.zones.index(zone)])

    # -- state ---------------------------------------------------------------------------------

    def _load_state(self) -> dict[str, Any]:
        path = self._settings.state_file
        if path is None or not path.exists():
            return {}
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(f"state_file: {path} cannot be read ({error}): {_NEW_WORLD}") from error
        if not isinstance(state, dict) or state.get("version") != STATE_VERSION:
            raise SettingsError(f"state_file: {path} is not a world of version {STATE_VERSION}: {_NEW_WORLD}")
        return state

    def save(self) -> None:
        """Write the world, un-acked readings and settled claims; whole or not at all."""
        path = self._settings.state_file
        if path is None:
            return
        state = {
            "version": STATE_VERSION,
            "runs": self._runs,
            "world": self.world.snapshot(),
            "claims": sorted(self.claims.seen),
            "queues": {d: r.node.queue.save() for d, r in self.fleet.runners.items() if len(r.node.queue)},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    # -- life ----------------------------------------------------------------------------------

    def health(self) -> Health:
        """Return counters and whether all nodes are connected."""
        counts = self.fleet.counts()
        nodes = len(self.fleet.runners)
        away = nodes - counts.connected - counts.unheard
        settling = (
            time.monotonic() - self._started < CONNECT_GRACE_S or counts.unheard > 0
        )  # others have just come back
        return Health(
            service="simulator",
            ok=away == 0 or settling,
            reason="" if away == 0 else f"{away} of {nodes} nodes are not connected to the broker",
            counts={
                "nodes": nodes,
                "connected": counts.connected,
                "unheard": counts.unheard,
                "made": counts.made,
                "published": counts.published,
                "repeated": counts.repeated,
                "acked": counts.acked,
                "waiting": counts.waiting,
                "dropped": counts.dropped,
                "refused": counts.refused,
                "bins_emptied": self.world.emptied,
            },
        )

    async def run(self) -> int:
        """Live until SIGTERM or SIGINT (exit code 0), or for `duration_s` and the drain after it."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, stop.set)
        self.fleet.start()
        sampling = asyncio.create_task(self.fleet.sample(), name="sampling")
        others = [asyncio.create_task(self._keep_saving(), name="saving")]
        if self._scenario is not None:
            others.append(asyncio.create_task(self.fleet.listen(), name="radio"))
        if self._settings.api_url is not None and self._settings.crew_links_file is not None:
            others.append(asyncio.create_task(self._crews(), name="crews"))
        code = EXIT_OK
        try:
            ended = await self._wait(stop, [sampling, *others])
            sampling.cancel()
            self.fleet.hear_all()
            if ended == "duration" and not await self._drain(stop):
                code = NOT_DRAINED
        finally:
            for task in (sampling, *others):
                task.cancel()
            await asyncio.gather(sampling, *others, return_exceptions=True)
            await self.fleet.stop()
            self.save()
            self.ledger.close()
            if self.world.diary is not None:
                self.world.diary.close()
        return code

    async def _wait(self, stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> str:
        """Return "stop" or "duration"; raise what ended a task that should never end."""
        duration_s = self._settings.duration_s
        deadline = None if duration_s is None else time.monotonic() + duration_s
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.25)
            self.fleet.check()
            for task in tasks:
                if task.done():
                    task.result()
            if deadline is not None and time.monotonic() >= deadline:
                return "duration"
        return "stop"

    async def _drain(self, stop: asyncio.Event) -> bool:
        draining = asyncio.create_task(self.fleet.drained(self._settings.drain_s))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({draining, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        drained = draining.done() and draining.result()
        draining.cancel()
        if not drained:
            _log.warning("%d readings were not acknowledged at the end", self.fleet.counts().waiting)
        return drained

    async def _keep_saving(self) -> None:
        settled = len(self.claims.seen)
        while True:
            for _ in range(int(SAVE_EVERY_S)):
                await asyncio.sleep(1.0)
                if len(self.claims.seen) != settled:  # a claim must not empty a bin after a crash: again, or by a lie
                    break
            settled = len(self.claims.seen)
            try:
                self.save()
            except OSError as error:
                _log.warning("the state of the world could not be saved: %s", error)

    def links(self, file: Path) -> dict[str, str]:
        """Return crew links {crew id: token}; none while the file is missing, and a fault of it is logged once."""
        try:
            found = read_links(file)
        except SettingsError as error:
            if str(error) != self._links_fault:
                _log.warning("%s", error)
            self._links_fault = str(error)
            return {}
        self._links_fault = ""
        return found

    async def _crews(self) -> None:
        """Work with the links of the file, and begin again when it changes: links are replaced when one is lost."""
        assert self._settings.api_url is not None
        assert self._settings.crew_links_file is not None
        links: dict[str, str] = {}
        working: asyncio.Task[None] | None = None
        try:
            while True:
                found = self.links(self._settings.crew_links_file)
                if found and found != links:
                    links = found
                    await _cancelled(working)
                    working = asyncio.create_task(self._work(links), name="crews at work")
                if working is not None and working.done():
                    working.result()
                await asyncio.sleep(LOOK_AT_LINKS_S)
        finally:
            await _cancelled(working)

    async def _work(self, links: Mapping[str, str]) -> None:
        assert self._settings.api_url is not None
        async with httpx.AsyncClient(base_url=self._settings.api_url, timeout=REQUEST_TIMEOUT_S) as client:
            crews = Crews(
                CrewApi(client),
                self._clock,
                self._site,
                links,
                self.claims,
                working=self._settings.crews,
                seed=self._settings.seed,
                habits=self._scenario.crews if self._scenario is not None else None,
                faults=self._scenario.faults if self._scenario is not None else None,
                broom=Broom(self._site, lambda zone: self.world.sweep(zone, self._clock.now_s()), self._litter_l),
            )
            await crews.run()


def _scenario_of(settings: SimulatorSettings, site: Site) -> Scenario | None:
    """Load the scenario of the settings; it must be one of their site."""
    if settings.scenario is None:
        return None
    scenario, its_site = load_scenario_and_site(settings.scenario)
    if its_site.id != site.id:
        raise SettingsError(
            f"scenario: {scenario.id} is about the site {scenario.site}, and site is {settings.site}: set the same"
        )
    return scenario


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def run(settings: SimulatorSettings) -> int:
    """Run the simulator until it is told to stop.

    Returns
    -------
    int
        `EXIT_OK`, or `NOT_DRAINED` when readings were left after `duration_s`.

    Raises
    ------
    SettingsError, SiteError
        A setting or the site is wrong; nothing was started.
    """
    simulator = Simulator(settings, load_site(settings.site), open_clock(settings.clock_file))
    server = HealthServer(settings.health_port, simulator.health)
    try:
        return asyncio.run(simulator.run())
    finally:
        server.close()
