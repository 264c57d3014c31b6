"""What a policy is: who decides where crews go, what it may know, and how it is found by name.

A policy sees what an office sees: the plan, readings when they arrive, and what crews report. It never sees the model.
It answers with ordered lists of stops, so that a round, a task list, a forecast and a planned route are all the same
thing to the contest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Literal, NamedTuple, Protocol, runtime_checkable

from simulators.contest.errors import UnknownPolicy
from simulators.contest.square_view import SquareView
from square.geometry import LonLat

ENTRY_POINTS: Final = "resik.policies"
"""Group of entry points: name -> a callable without arguments that makes the policy."""

StopKind = Literal["empty", "sweep", "unload"]
ReportKind = Literal["accepted", "claimed", "swept", "unloaded", "on-shift", "off-shift"]


class Observation(NamedTuple):
    """A reading of a bin as it arrives at the office.

    Attributes
    ----------
    device, asset : str
        Who measured, and the bin it sits on.
    ts_ms, arrived_ms : int
        When it was measured by the node's clock, and when it came [ms since 1970 UTC].
    seq, boot : int
        The device's numbering.
    fill_pct : float | None
        Fill by the measured distance [%]; None without an echo.
    distance_mm : int | None
        What was measured.
    state : str
        ``ok`` or a state in which the fill means nothing.
    quality : int
        0 unchecked .. 4 accepted.
    battery_mv : int | None
        Of the node.
    """

    device: str
    asset: str
    ts_ms: int
    arrived_ms: int
    seq: int
    boot: int
    fill_pct: float | None
    distance_mm: int | None
    state: str
    quality: int
    battery_mv: int | None


class Stop(NamedTuple):
    """Something to do at one place.

    Attributes
    ----------
    kind : str
        ``empty`` a bin, ``sweep`` a zone, ``unload`` the cart.
    target : str
        Asset id of the bin, id of the zone; empty for unload.
    task_id : int | None
        With a number the crew sees a task on its phone and accepts it first; without one it is a standing order.
    """

    kind: StopKind
    target: str
    task_id: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a crew is to do from now on; replaces what it has not begun. An empty list calls it off."""

    crew_id: str
    stops: tuple[Stop, ...]


class CrewReport(NamedTuple):
    """What the office hears of a crew.

    A crew that lets an order lie says nothing: so it is with phones.

    Attributes
    ----------
    crew_id, kind : str
        Who; ``accepted`` a stop, ``claimed`` a bin emptied, ``swept``, ``unloaded``, or began
        (``on-shift``) and ended (``off-shift``) its shift.
    at_ms, arrived_ms : int
        When it happened and when the office heard [ms]; later for a crew without network.
    stop : Stop | None
        Which.
    """

    crew_id: str
    kind: ReportKind
    at_ms: int
    arrived_ms: int
    stop: Stop | None = None


class CrewView(NamedTuple):
    """A crew as the office sees it.

    Attributes
    ----------
    crew_id, shift : str
        Who.
    is_on_shift, is_leaving : bool
        Whether it works now; whether it is in its handover and gets nothing new.
    ahead : tuple[Stop, ...]
        What it was given and has not done, by what the office heard, in order; the first may be begun.
    at : Stop | None
        Where it reported last; None: at its post.
    """

    crew_id: str
    shift: str
    is_on_shift: bool
    is_leaving: bool
    ahead: tuple[Stop, ...]
    at: Stop | None

    def place(self, square: SquareView) -> LonLat:
        """Where it is taken to be: where it reported last, else at its post."""
        home = square.homes[self.crew_id]
        return home if self.at is None else square.place_of(self.at.kind, self.at.target, home)


class Belief(NamedTuple):
    """What a policy believes of one bin.

    Attributes
    ----------
    asset : str
        The bin.
    fill_pct : float | None
        Fill [%], None for "cannot say".
    level : str
        empty, half, filling, full, overflow, unknown.
    as_of_ms : int | None
        Time of the newest reading behind it [ms].
    p10_ms, p50_ms, p90_ms : int | None
        When it is full: early, middle, late [ms]; None without a forecast.
    emptied_ms : int | None
        Last emptying it believes in [ms].
    is_stale, is_silent, is_faulty : bool
        Whether it says so of itself: too old to be current, node silent, sensor broken.
    """

    asset: str
    fill_pct: float | None
    level: str
    as_of_ms: int | None = None
    p10_ms: int | None = None
    p50_ms: int | None = None
    p90_ms: int | None = None
    emptied_ms: int | None = None
    is_stale: bool = False
    is_silent: bool = False
    is_faulty: bool = False


@runtime_checkable
class Policy(Protocol):
    """Decides for one square during one run; made anew for each run.

    Attributes
    ----------
    name : str
        As it is asked for.
    every_s : int
        `decide` is called at least this often [s, multiple of 60]; and in the minute after reports came.
    """

    name: str
    every_s: int

    def begin(self, square: SquareView, now_ms: int) -> None:
        """Learn the plan before the first minute."""

    def observe(self, observation: Observation) -> None:
        """Take a reading that arrives."""

    def report(self, report: CrewReport) -> None:
        """Hear of a crew."""

    def decide(self, now_ms: int, crews: Sequence[CrewView]) -> Sequence[Order]:
        """Return new orders; a crew without one goes on with what it has."""

    def believe(self, now_ms: int) -> Sequence[Belief]:
        """Return what is believed of each bin, for the score; may be empty."""


PolicyMaker = Callable[[], Policy]
_registered: dict[str, PolicyMaker] = {}


def register(name: str, maker: PolicyMaker) -> None:
    """Make a policy known to this process under a name.

    Raises
    ------
    ValueError
        A built-in policy has this name.
    """
    if name in _built_in():
        raise ValueError(f'"{name}" is a policy of Resik: choose another name')
    _registered[name] = maker


def known_policies() -> tuple[str, ...]:
    """Names of all policies: built-in, registered here, and of installed packages."""
    return tuple(dict.fromkeys([*_built_in(), *_registered, *(point.name for point in _installed())]))


def policy_maker(name: str) -> PolicyMaker:
    """Return what makes the policy of a name.

    Raises
    ------
    UnknownPolicy
        Nobody has this name, or its package cannot be loaded.
    """
    if maker := (_built_in() | _registered).get(name):
        return maker
    for point in _installed():
        if point.name == name:
            try:
                loaded: PolicyMaker = point.load()
            except Exception as error:
                raise UnknownPolicy(
                    f'policy "{name}" of {point.value} cannot be loaded ({error}): mend or remove its package'
                ) from error
            return loaded
    raise UnknownPolicy(f'there is no policy "{name}": choose among {", ".join(known_policies())}')


def _installed() -> Sequence[EntryPoint]:
    return tuple(entry_points(group=ENTRY_POINTS))


def _built_in() -> dict[str, PolicyMaker]:
    from simulators.contest.fixed import Fixed
    from simulators.contest.oracle import Oracle
    from simulators.contest.predictive import Predictive
    from simulators.contest.threshold import Threshold

    return {"fixed": Fixed, "threshold": Threshold, "predictive": Predictive, "oracle": Oracle}
