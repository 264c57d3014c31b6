"""Requests per second of ``/api/v1/state`` beside what a plain FastAPI application serves.

Both servers run under uvicorn in a process of their own and are asked in turn, several rounds in one run, by the same
client over kept connections. The peers are what a user of FastAPI writes: a route that returns the state as a dict,
and one that declares a response model. Ours serves a board of the shipped square (48 bins, 6 stations, 40 tasks)
through every check (host, roles, headers) while its loop tails the change log.

Run: ``python -m bench.api_state [--seconds 4] [--rounds 3] [--connections 16]``. Prints a table and one line of JSON.
"""

import argparse
import asyncio
import json
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from fastapi import FastAPI

from dashboard_api.schemas import State
from dashboard_api.server import run
from resik.process import cpu_s
from square.clock import ClockDriver
from square.settings import load_settings
from tests.services import free_port, port_open, wait_until
from tests.unit.dashboard_api.world import START_S, World

AIM_RATIO = 7.9
"""Prebuilt bytes over a pydantic response model, measured when the approach was chosen."""


class Result(NamedTuple):
    """One round: the rate, the slowest hundredth, processor time of the server per request, size of the body."""

    rate: float
    p99_ms: float
    cpu_us: float
    size: int


def fill(world: World) -> None:
    """Give the square a state like that of a busy day."""
    for number, asset in enumerate(world.site.bins):
        world.set_bin(asset.id, float(number * 2), full_at_ms=world.now_ms + 3_600_000, fill_rate_pct_h=4.25)
    for station in world.site.air_stations:
        world.set_air(station.id)
    for number in range(40):
        world.add_task("pagi-1" if number % 2 else "pagi-2", asset_id=world.site.bins[number].id)
        world.add_incident(world.site.bins[number].id)


def serve(kind: str, port: int, folder: Path) -> None:
    """Run one server until it is told to stop."""
    from dashboard_api.settings import DashboardSettings

    if kind == "ours":
        sys.exit(run(load_settings(DashboardSettings, "dashboard", folder / "resik.toml", port=port)))
    state: dict[str, Any] = json.loads((folder / "state.json").read_bytes())
    app = FastAPI()

    if kind == "dict":

        @app.get("/api/v1/state")
        async def plain() -> Any:
            """Return the state and let FastAPI encode it."""
            return state

    else:

        @app.get("/api/v1/state", response_model=State)
        async def modelled() -> Any:
            """Return the state through its model."""
            return state

    uvicorn.run(app, port=port, log_level="warning", access_log=False)


async def measure(port: int, seconds: float, connections: int) -> tuple[float, float, int]:
    """Ask as fast as possible; return requests per second, the 99th percentile [ms] and the body size [bytes]."""
    request = f"GET /api/v1/state HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
    took_ms: list[float] = []
    size = 0
    end_s = time.perf_counter() + seconds

    async def ask() -> None:
        nonlocal size
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began_s := time.perf_counter()) < end_s:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(size)
            took_ms.append((time.perf_counter() - began_s) * 1000)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    return len(took_ms) / seconds, statistics.quantiles(took_ms, n=100)[98], size


def main() -> None:
    """Measure all servers in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "PORT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        kind, port, folder = options.serve
        serve(kind, int(port), Path(folder))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = World(folder)
        fill(world)
        driver = ClockDriver(folder / "clock.bin")
        driver.set(START_S, 1.0)
        (folder / "resik.toml").write_text(
            f'[dashboard]\ndatabase_url = "{world.database_url}"\nstore_url = "{world.store_url}"\n'
            f'clock_file = "{folder}/clock.bin"\n'
        )
        ports = {kind: free_port() for kind in ("ours", "dict", "model")}
        results: dict[str, list[Result]] = {kind: [] for kind in ports}
        for _ in range(options.rounds):
            for kind, port in ports.items():
                server = subprocess.Popen(
                    [sys.executable, "-m", "bench.api_state", "--serve", kind, str(port), name],
                    stderr=subprocess.DEVNULL,
                )
                try:
                    wait_until(lambda port=port: port_open(port), 20, kind)  # type: ignore[misc]
                    if kind == "ours":
                        asyncio.run(save_state(port, folder))
                    asyncio.run(measure(port, 0.5, options.connections))
                    before_s = cpu_s(server.pid)
                    rate, p99_ms, size = asyncio.run(measure(port, options.seconds, options.connections))
                    cpu_us = (cpu_s(server.pid) - before_s) / (rate * options.seconds) * 1e6
                    results[kind].append(Result(rate, p99_ms, cpu_us, size))
                finally:
                    server.send_signal(signal.SIGTERM)
                    server.wait(15)
        world.close()
        driver.close()
    report(results)


async def save_state(port: int, folder: Path) -> None:
    """Keep our own answer: the peers serve the very same state."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/v1/state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    (folder / "state.json").write_bytes((await reader.read()).partition(b"\r\n\r\n")[2])
    writer.close()


def report(results: dict[str, list[Result]]) -> None:
    """Print medians over the rounds. On a busy machine the processor time tells more than the rate."""
    names = {"ours": "resik /api/v1/state", "dict": "plain dict route", "model": "response_model route"}
    print(f"{'server':<22}{'req/s':>10}{'p99 ms':>10}{'cpu us/req':>12}{'bytes':>10}")
    rate, cpu_us = {}, {}
    for kind, rounds in results.items():
        rate[kind] = statistics.median(result.rate for result in rounds)
        cpu_us[kind] = statistics.median(result.cpu_us for result in rounds)
        p99_ms = statistics.median(result.p99_ms for result in rounds)
        print(f"{names[kind]:<22}{rate[kind]:>10.0f}{p99_ms:>10.1f}{cpu_us[kind]:>12.0f}{rounds[0].size:>10}")
    ratios: dict[str, float] = {"aim_over_model": AIM_RATIO}
    for kind in ("dict", "model"):
        ratios[f"rate_over_{kind}"] = round(rate["ours"] / rate[kind], 1)
        ratios[f"{kind}_cpu_over_ours"] = round(cpu_us[kind] / cpu_us["ours"], 1)
    print(
        json.dumps({"bench": "api_state", "python": platform.python_version(), **ratios, "aim_over_model": AIM_RATIO})
    )


if __name__ == "__main__":
    main()
