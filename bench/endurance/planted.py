"""The test of the checker: what was planted in a real store must be found, each kind as what it is."""

from urllib import request

from bench.endurance import checker
from bench.endurance.parts import start_all
from bench.endurance.stage import Stage


def write_line(store_port: int, line: str) -> None:
    """Write a line of the line protocol behind everybody's back; time in ms."""
    address = f"http://127.0.0.1:{store_port}/write?db={checker.DATABASE}&precision=ms"
    request.urlopen(request.Request(address, line.encode(), method="POST"), timeout=30).close()


def _line_of(row: dict[str, str], ts_ms: int, seq: int, distance_mm: int) -> str:
    tags = ",".join(f"{name}={row[name]}" for name in ("asset", "device", "site", "zone") if row.get(name))
    return f"bin,{tags} boot={row['boot']}i,seq={seq}i,distance_mm={distance_mm}.0 {ts_ms}"


def planted(stage: Stage) -> None:
    """Plant a loss, a duplicate, a foreign and a wrong row; each MUST be found, and nothing else."""
    chain = stage.chain
    _, port = chain.broker()
    _, store_port = chain.influxd()
    gateway, ingest = chain.gateway(port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    fleet = stage.fleet(port, devices=20)
    for _ in range(stage.sized(50, 5)):
        fleet.measure(20)
    stage.settle(fleet, gateway)
    before = stage.reconcile(store_port)
    stage.expect(before.made == before.stored, "the flow before anything was planted was not whole")
    rows = checker.query(store_port, "SELECT * FROM bin")
    lost, twice, wrong, elsewhere = stage.random.sample(rows, 4)
    where = f"device = '{lost['device']}' AND asset = '{lost['asset']}' AND time = {lost['time']}ms"
    checker.query(store_port, f"DELETE FROM bin WHERE {where}", post=True)  # noqa: S608 - our own rows
    # a real second row: the same reading at another time, as a gateway without a fixed point time would write it
    write_line(store_port, _line_of(twice, int(twice["time"]) - 50_000, int(twice["seq"]), int(twice["distance_mm"])))
    # and on another asset at the same time, as a registry that changed in between would write it
    write_line(
        store_port,
        _line_of(
            elsewhere | {"asset": "bin-9999"},
            int(elsewhere["time"]),
            int(elsewhere["seq"]),
            int(elsewhere["distance_mm"]),
        ),
    )
    write_line(store_port, _line_of(twice, int(twice["time"]) - 100_000, 4_000_000, 700))
    write_line(store_port, _line_of(wrong, int(wrong["time"]), int(wrong["seq"]), int(wrong["distance_mm"]) + 1))
    after = checker.reconcile(stage.ledger, store_port, chain.letters)
    stage.fault(5)
    stage.facts.verdict = after
    for found, wanted, what in (
        (after.lost, 1, "lost reading"),
        (after.duplicated, 2, "second rows of a reading"),
        (after.foreign, 1, "row that nobody made"),
        (after.wrong, 2, "rows with another value or time"),
        (after.made - after.stored, 1, "reading that is not stored"),
    ):
        stage.expect(found == wanted, f"the checker found {found}, not {wanted}, {what}")
    stage.note(
        "planted: 1 row deleted; 1 reading written again under another time and 1 on another asset; 1 row of a reading "
        "that nobody made; 1 changed value. All found, each as what it is"
        if not stage.facts.problems
        else "not all was found"
    )
