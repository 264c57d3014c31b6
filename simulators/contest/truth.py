"""Truth and belief of a run as JSON lines, so that any estimate can be scored against what was true.

Two files, one line an entry, the first line tells what it is. Truth: ``fill`` of all bins at a moment, ``emptied``,
``fault``. Belief: what was believed of all bins at a moment. Anybody can write a belief file, also from a live square
or from another product; docs/contest.md has the format.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from simulators.contest.errors import LogError
from simulators.contest.policy import Belief
from simulators.contest.square_view import SquareView
from simulators.contest.stage import Stage
from simulators.faults import MOMENTS, FaultScript

SCHEMA: Final = 1
THRESHOLDS: Final = 4
"""Of half, filling, full and overflow."""
BROKEN: Final = frozenset({"stuck", "drift", "no-echo", "wild", "blocked", "tilted", "water"})
"""Kinds of node faults that a judge of readings should notice; who sends nothing is told apart."""
TRUTH, BELIEF = "truth", "belief"
QUIET: Final = frozenset({"silent", "radio-hole", "stolen"})


class Head(msgspec.Struct, tag="square", tag_field="kind", frozen=True):
    """First line of both files.

    Attributes
    ----------
    v : int
        Schema.
    site, scenario : str
        Which square.
    assets : list[str]
        Bins, in the order of every list of numbers below.
    thresholds_pct : list[float]
        Where half, filling, full and overflow begin [%].
    interval_s : list[int]
        Report interval of each bin's node [s].
    min_drop_pct : float
        Smallest fall that is an emptying [%].
    who : str
        Whose belief it is; empty in a truth file.
    """

    v: int
    site: str
    scenario: str
    assets: list[str]
    thresholds_pct: list[float]
    interval_s: list[int]
    min_drop_pct: float = 30.0
    who: str = ""


class Fill(msgspec.Struct, tag="fill", tag_field="kind", frozen=True):
    """True fill of all bins at a moment."""

    at_ms: int
    fill_pct: list[float]


class Emptied(msgspec.Struct, tag="emptied", tag_field="kind", frozen=True):
    """A crew took a bin out that held `before_pct`."""

    at_ms: int
    asset: str
    before_pct: float


class NodeFault(msgspec.Struct, tag="fault", tag_field="kind", frozen=True):
    """A node is broken (`what` as in the fault script) from a moment to another; None: until the end."""

    asset: str
    what: str
    from_ms: int
    until_ms: int | None


class Believed(msgspec.Struct, tag="belief", tag_field="kind", frozen=True):
    """What is believed at a moment; every list in the order of the bins. Left out: nothing is believed of that."""

    at_ms: int
    fill_pct: list[float | None]
    level: list[str]
    as_of_ms: list[int | None] = []
    p10_ms: list[int | None] = []
    p50_ms: list[int | None] = []
    p90_ms: list[int | None] = []
    emptied_ms: list[int | None] = []
    stale: list[bool] = []
    silent: list[bool] = []
    faulty: list[bool] = []


TruthLine = Head | Fill | Emptied | NodeFault
BeliefLine = Head | Believed


@dataclass
class TruthLog:
    """A truth file in memory."""

    head: Head
    fills: list[Fill] = field(default_factory=list)
    emptied: list[Emptied] = field(default_factory=list)
    faults: list[NodeFault] = field(default_factory=list)


@dataclass
class BeliefLog:
    """A belief file in memory."""

    head: Head
    beliefs: list[Believed] = field(default_factory=list)


def head_of(square: SquareView, site_id: str, *, scenario_id: str = "", who: str = "") -> Head:
    """First line for a square."""
    assets = list(square.volumes_l)
    return Head(
        v=SCHEMA,
        site=site_id,
        scenario=scenario_id,
        assets=assets,
        thresholds_pct=list(square.rules.thresholds_pct),
        interval_s=[square.asset(asset_id).interval_s for asset_id in assets],
        min_drop_pct=square.rules.min_drop_pct,
        who=who,
    )


def node_faults(square: SquareView, faults: FaultScript) -> list[NodeFault]:
    """Faults of the script, bin by bin: those that a judge should notice, and those that excuse a false alarm."""
    found: list[NodeFault] = []
    for asset_id in square.volumes_l:
        device_id = square.asset(asset_id).device_id
        if device_id is None:
            continue
        for fault in faults.of("node"):
            if fault.strikes(device_id) and fault.kind not in MOMENTS:
                until_ms = round(fault.until_s * 1000) if isfinite(fault.until_s) else None
                found.append(NodeFault(asset_id, fault.kind, round(fault.at_s * 1000), until_ms))
    return found


def believed(at_ms: int, assets: Sequence[str], beliefs: Sequence[Belief]) -> Believed:
    """Put beliefs into the order of the bins; a bin that nothing is said of is unknown."""
    by_asset = {one.asset: one for one in beliefs}
    rows = [by_asset.get(asset_id, Belief(asset_id, None, "unknown")) for asset_id in assets]
    return Believed(
        at_ms=at_ms,
        fill_pct=[None if one.fill_pct is None else round(one.fill_pct, 2) for one in rows],
        level=[one.level for one in rows],
        as_of_ms=[one.as_of_ms for one in rows],
        p10_ms=[one.p10_ms for one in rows],
        p50_ms=[one.p50_ms for one in rows],
        p90_ms=[one.p90_ms for one in rows],
        emptied_ms=[one.emptied_ms for one in rows],
        stale=[one.is_stale for one in rows],
        silent=[one.is_silent for one in rows],
        faulty=[one.is_faulty for one in rows],
    )


def filled(at_ms: int, fill_pct: Sequence[float]) -> Fill:
    """Put the true fill of all bins down, to a hundredth of a percent."""
    return Fill(at_ms, [round(one, 2) for one in fill_pct])


def taken_out(at_ms: int, asset_id: str, before_pct: float) -> Emptied:
    """Put an emptying down, to a hundredth of a percent."""
    return Emptied(at_ms, asset_id, round(before_pct, 2))


def line_of(entry: TruthLine | BeliefLine) -> bytes:
    """Return an entry as a line of its file."""
    return msgspec.json.encode(entry) + b"\n"


class LogWriter:
    """Writes truth and belief of a run.

    Parameters
    ----------
    truth, belief
        Open files.
    stage
        The square.
    who
        Whose belief.
    """

    def __init__(self, truth: BinaryIO, belief: BinaryIO, stage: Stage, who: str) -> None:
        self._truth, self._belief = truth, belief
        head = head_of(stage.square, stage.site.id, scenario_id=stage.scenario.id)
        self._assets = head.assets
        self._lasting: dict[tuple[str, str], int] = {}
        truth.write(line_of(head))
        belief.write(line_of(msgspec.structs.replace(head, who=who)))
        truth.writelines(line_of(fault) for fault in node_faults(stage.square, stage.faults))

    @classmethod
    def for_run(cls, folder: Path, stage: Stage, policy: str, seed: int) -> "LogWriter":
        """Open the two files of a run: ``<scenario>-<policy>-<seed>.truth.jsonl`` and ``....belief.jsonl``.

        Raises
        ------
        LogError
            They cannot be written there.
        """
        name = f"{stage.scenario.id}-{policy}-{seed}"
        truth, belief = folder / f"{name}.truth.jsonl", folder / f"{name}.belief.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(truth.open("wb"), belief.open("wb"), stage, policy)
        except OSError as error:
            raise LogError(
                truth, 0, f"cannot be written: {error.strerror}", "Name with --logs a folder that can be written."
            ) from error

    def truth(self, at_ms: int, fill_pct: Sequence[float]) -> None:
        """Take the true fill of all bins."""
        self._truth.write(line_of(filled(at_ms, fill_pct)))

    def sensors(self, at_ms: int, states: Mapping[str, Sequence[bool]]) -> None:
        """Take what the world has done to sensors: whether each bin is in a state, by its name."""
        now = {
            (asset_id, what)
            for what, flags in states.items()
            for asset_id, flag in zip(self._assets, flags, strict=True)
            if flag
        }
        for asset_id, what in sorted(set(self._lasting) - now):
            self._truth.write(line_of(NodeFault(asset_id, what, self._lasting.pop((asset_id, what)), at_ms)))
        for key in now:
            self._lasting.setdefault(key, at_ms)

    def emptied(self, at_ms: int, asset_id: str, before_pct: float) -> None:
        """Take a bin that is taken out."""
        self._truth.write(line_of(taken_out(at_ms, asset_id, before_pct)))

    def belief(self, at_ms: int, beliefs: Sequence[Belief]) -> None:
        """Take what the policy believes."""
        self._belief.write(line_of(believed(at_ms, self._assets, beliefs)))

    def close(self) -> None:
        """Write what still lasts, and close both files."""
        for (asset_id, what), from_ms in sorted(self._lasting.items()):
            self._truth.write(line_of(NodeFault(asset_id, what, from_ms, None)))
        self._truth.close()
        self._belief.close()


def read_head(path: Path) -> Head:
    """Read the first line of a truth or belief file.

    Raises
    ------
    LogError
        It is not one.
    """
    head, _ = _read(path, TruthLine, TRUTH)
    return head


def read_truth(path: Path) -> TruthLog:
    """Read a truth file.

    Raises
    ------
    LogError
        A line is not what it should be.
    """
    head, lines = _read(path, TruthLine, TRUTH)
    log = TruthLog(head)
    for number, line in lines:
        match line:
            case Fill():
                _check_length(path, number, head, line.fill_pct)
                log.fills.append(line)
            case Emptied():
                log.emptied.append(line)
            case NodeFault():
                log.faults.append(line)
    return log


def read_belief(path: Path) -> BeliefLog:
    """Read a belief file.

    Raises
    ------
    LogError
        A line is not what it should be.
    """
    head, lines = _read(path, BeliefLine, BELIEF)
    log = BeliefLog(head)
    for number, line in lines:
        if isinstance(line, Believed):
            _check_length(path, number, head, line.fill_pct, line.level)
            optional = (line.as_of_ms, line.p10_ms, line.p50_ms, line.p90_ms, line.emptied_ms)
            flags = (line.stale, line.silent, line.faulty)
            _check_length(path, number, head, *(one for one in (*optional, *flags) if one))
            log.beliefs.append(line)
    return log


def _read(path: Path, kinds: Any, log: str) -> tuple[Head, Iterator[tuple[int, Any]]]:
    decode = msgspec.json.Decoder(kinds).decode
    remedy = f"Give a {log} log: `resik simulate grade --logs FOLDER` writes them, docs/contest.md has the format."

    def lines() -> Iterator[tuple[int, Any]]:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                try:
                    yield number, decode(text)
                except msgspec.DecodeError as error:
                    raise LogError(path, number, f"not a line of a {log} log: {error}", remedy) from error

    try:
        found = lines()
        first = next(found, None)
    except OSError as error:
        raise LogError(path, 0, f"cannot be read: {error.strerror}", remedy) from error
    if first is None or not isinstance(first[1], Head):
        raise LogError(path, 1, 'the first line must have "kind": "square"', remedy)
    head: Head = first[1]
    if head.v != SCHEMA:
        newer = "Score it with the Resik that wrote it, or write it again with this one."
        raise LogError(path, 1, f"schema {head.v} is not known; this program reads {SCHEMA}", newer)
    _check_length(path, 1, head, head.interval_s)
    if len(head.thresholds_pct) != THRESHOLDS or sorted(head.thresholds_pct) != head.thresholds_pct:
        wanted = 'Give "thresholds_pct" where half, filling, full and overflow begin, in this order.'
        raise LogError(path, 1, f"{head.thresholds_pct} are not {THRESHOLDS} rising thresholds", wanted)
    return head, found


def _check_length(path: Path, number: int, head: Head, *lists: Sequence[object]) -> None:
    for one in lists:
        if len(one) != len(head.assets):
            remedy = 'Give every list one value for each bin, in the order of "assets" in the first line.'
            raise LogError(path, number, f"{len(one)} values for {len(head.assets)} bins", remedy)
