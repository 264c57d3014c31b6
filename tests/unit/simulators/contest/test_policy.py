"""Policies are plug-ins: by name, by registration, by an installed package; a planner's route is followed in order."""

import pytest

from simulators.contest import policy
from simulators.contest.errors import PolicyError, UnknownPolicy
from simulators.contest.grade import play_seed
from simulators.contest.loop import Loop
from simulators.contest.policy import Order, Policy, Stop, known_policies, policy_maker, register
from tests.unit.simulators.contest.stages import stage

ROUTE = (Stop("empty", "bin-007"), Stop("sweep", "zona-tugu"), Stop("unload", ""), Stop("empty", "bin-002"))


class Route:
    """A route planner of a third party: one crew, one ordered list of stops."""

    name = "route"
    every_s = 600

    def begin(self, square, _now_ms):
        self.square, self.done = square, []

    def observe(self, observation):
        pass

    def report(self, report):
        if report.stop is not None:
            self.done.append((report.crew_id, report.stop))

    def decide(self, _now_ms, crews):
        first = next(crew for crew in crews if crew.is_on_shift)
        return () if self.done or first.ahead else (Order(first.crew_id, ROUTE),)

    def believe(self, _now_ms):
        return ()


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(policy, "_registered", {})
    register("route", Route)


def test_all_built_in_policies_can_be_made():
    """Every name that is known makes a policy of that name."""
    assert {"fixed", "threshold", "predictive", "oracle"} <= set(known_policies())
    for name in ("fixed", "threshold", "predictive", "oracle"):
        made = policy_maker(name)()
        assert isinstance(made, Policy)
        assert made.name == name


def test_a_registered_policy_plays(registered):
    """A policy that knows nothing of Resik's own is graded like the others."""
    result = play_seed(stage(), ["fixed", "route"], seed=1, days=2 / 24)
    assert result.figures["route"]["emptyings"] == 2
    assert result.figures["fixed"]["emptyings"] > 2


def test_an_ordered_route_is_walked_in_its_order(registered):
    """Bins, a sweep and an unloading between them, as a route planner wants them."""
    made = policy_maker("route")()
    Loop(stage(), made, seed=1, minutes=100).run()
    assert [stop for _, stop in made.done] == list(ROUTE)
    assert len({crew_id for crew_id, _ in made.done}) == 1


def test_a_policy_of_an_installed_package_is_found(tmp_path, monkeypatch):
    """A package that names an entry point "resik.policies" needs no line of code here."""
    info = tmp_path / "acme_routes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-routes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[resik.policies]\nacme = acme_routes:Acme\nbroken = acme_routes:Nothing\n")
    (tmp_path / "acme_routes.py").write_text(
        "from simulators.contest.threshold import Threshold\n\n\nclass Acme(Threshold):\n    name = 'acme'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "acme" in known_policies()
    assert policy_maker("acme")().name == "acme"
    with pytest.raises(UnknownPolicy, match="broken"):
        policy_maker("broken")


@pytest.mark.parametrize(
    ("crew_id", "stop", "words"),
    [
        ("nobody", Stop("empty", "bin-001"), "'nobody', who is no crew"),
        ("pagi-1", Stop("empty", "bin-999"), "empty 'bin-999'"),
        ("pagi-1", Stop("sweep", "bin-001"), "sweep 'bin-001'"),
        ("pagi-1", Stop("paint", ""), "one of empty, sweep, unload"),
    ],
)
def test_orders_that_nobody_can_follow_are_a_mistake_of_the_policy(crew_id, stop, words):
    """The message names the policy and what it ordered."""

    class Wrong(Route):
        name = "wrong"

        def decide(self, _now_ms, _crews):
            return (Order(crew_id, (stop,)),)

    with pytest.raises(PolicyError, match=words) as caught:
        Loop(stage(), Wrong(), seed=1, minutes=10).run()
    assert '"wrong"' in str(caught.value)


def test_an_unknown_name_lists_those_that_are_known():
    """The remedy is in the message."""
    with pytest.raises(UnknownPolicy, match="fixed, threshold, predictive, oracle"):
        policy_maker("magic")


def test_a_built_in_name_is_not_taken_over():
    """Nobody becomes "threshold" by registering."""
    with pytest.raises(ValueError, match="threshold"):
        register("threshold", Route)
