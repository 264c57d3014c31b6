"""The load of many connections against gateway and ingest, beside the load of one: ``python -m bench.load``.

Does `resik simulate load` reach what the pipeline can do, or does it stop before? Both have the same broker, gateway,
ingest and store, nothing else beside them. Compare CPU per reading; rates are those of a machine that others use, too.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.pipeline import ours
from bench.pipeline.contestants import OURS
from bench.pipeline.runs import Plan, Rate, sustained
from bench.pipeline.stage import open_stage, wait_for
from simulators.load import SPARE_DESCRIPTORS, Load, LoadPlan, raise_descriptor_limit
from simulators.real_site import build_fleet_site
from square.endpoint import MqttEndpoint

STORED_WITHIN_S = 120.0
SATURATED_PCT = 85.0


def many(parent: Path, devices: int, seconds: float, window: int) -> dict[str, Any]:
    """Load the pipeline from a connection for each device, as fast as it acknowledges; return the figures."""
    raise_descriptor_limit(devices + SPARE_DESCRIPTORS)  # before the broker starts, which inherits it
    with open_stage(parent) as stage:
        build_fleet_site(stage.site_folder, devices, kinds=("bin",), interval_s=600)
        ours.start(stage)
        endpoint = MqttEndpoint("127.0.0.1", stage.broker_port)
        names = {f"rsk-b{number:04d}": "bin" for number in range(1, devices + 1)}
        own_s = 0.0

        def begin() -> None:
            nonlocal own_s
            stage.usage.reset()
            own_s = time.process_time()

        plan = LoadPlan(stage.site, names, {}, endpoint, 0.0, seconds, window=window)
        load = Load(plan, connected=begin)
        report = asyncio.run(load.run())
        own_s = time.process_time() - own_s
        wait_for(lambda: stage.store.rows() >= report.made, "the last rows", STORED_WITHIN_S)
        used_s = {**stage.usage.cpu_s(), "load": own_s}
        published = {(device, seq) for (device, _, seq), _ in load.published()}
        stored = list(stage.store.identities())
        return {
            "devices": report.devices,
            "connected": report.connected,
            "connect_s": report.connect_s,
            "per_s": report.acked_per_s,
            "made": report.made,
            "unacked": report.unacked,
            "lost": len(published - set(stored)),
            "duplicated": len(stored) - len(set(stored)),
            "ack_p50_ms": report.ack_p50_ms,
            "ack_p99_ms": report.ack_p99_ms,
            "load_cpu_pct": report.cpu_pct,
            "cpu_us": {name: cpu_s / report.made * 1e6 for name, cpu_s in used_s.items()},
            "others_pct": stage.usage.others_pct(),
        }


def one(parent: Path, messages: int) -> dict[str, Any]:
    """Load it over one connection, as `make bench-pipeline` does."""
    rate: Rate = sustained(parent, OURS, Plan(messages), lambda _share: None)
    return {"per_s": rate.per_s, "cpu_us": rate.cpu_us, "others_pct": rate.others_pct}


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--window", type=int, default=10_000, help="messages on their way")
    parser.add_argument("--messages", type=int, default=50_000, help="of the run over one connection")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="resik-bench-load-") as folder:
        beside = one(Path(folder), arguments.messages)
        found = many(Path(folder), arguments.devices, arguments.seconds, arguments.window)
    print(f"{'':24}{'one connection':>16}{f'{arguments.devices:,} devices':>18}")
    print(f"{'readings a second':24}{beside['per_s']:16,.0f}{found['per_s']:18,.0f}")
    for name in found["cpu_us"]:
        print(f"{'CPU us/reading ' + name:24}{beside['cpu_us'].get(name, 0):16.1f}{found['cpu_us'][name]:18.1f}")
    print(f"{'CPU us/reading, all':24}{sum(beside['cpu_us'].values()):16.1f}{sum(found['cpu_us'].values()):18.1f}")
    print(f"{'others on the machine %':24}{beside['others_pct']:16.0f}{found['others_pct']:18.0f}")
    print(
        f"ack p50 {found['ack_p50_ms']:.0f} ms, p99 {found['ack_p99_ms']:.0f} ms; {found['made']:,} readings, ", end=""
    )
    print(f"{found['unacked']} without an ack, {found['lost']} lost, {found['duplicated']} twice")
    verdict = "was the limit itself" if found["load_cpu_pct"] >= SATURATED_PCT else "was not the limit"
    print(f"The load used {found['load_cpu_pct']:.0f} % of a core: it {verdict}.")
    print(json.dumps({"one": beside, "many": found}))


if __name__ == "__main__":
    main()
