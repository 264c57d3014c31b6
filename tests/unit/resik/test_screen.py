"""What the screen of `resik up` counts: a reading that came twice is one reading."""

import msgspec
import pytest

from alerts.tally import Tally
from gateway.intake import IntakeCounts
from resik.screen import figures


def test_new_readings_and_repeats_are_told_apart():
    """Of 150 that were offered 30 were known, 6 were signs of presence and 4 unreadable: 110 are new readings."""
    intake = IntakeCounts(offered=150, received=140, spooled=120, duplicates=30, presence=6, poison=4)
    counts = msgspec.to_builtins(intake) | {"waiting": 7}
    assert figures("gateway", counts) == "new 110  repeats 30  waiting 7  poison 4"


def test_alerts_count_what_they_judged_for_the_first_time():
    """A batch that came again is judged once."""
    counts = msgspec.to_builtins(Tally(readings=90, duplicates=20, incidents_opened=3, tasks_dispatched=2))
    assert figures("alerts", counts) == "judged 70  incidents_opened 3  tasks_dispatched 2"


def test_ingest_says_that_its_figure_counts_repeats():
    """It keeps nothing that would tell them apart."""
    assert figures("ingest", {"stored": 130, "dead_lettered": 0}) == "stored_with_repeats 130  dead_lettered 0"


@pytest.mark.parametrize("service", ["gateway", "ingest", "alerts", "dashboard", "simulator", "broker"])
def test_a_service_that_says_nothing_has_no_figures(service):
    """Nothing is made up while it starts."""
    assert figures(service, {}) == ""
