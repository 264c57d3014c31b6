"""The written-out conversions: that of a form against that of its kind, which the table of quantities vouches for."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware import wire
from ingest import conversion
from ingest.conversion import CONVERT, form_of, form_source
from ingest.messages import AirBody, BinBody
from square.quantities import quantities_of

MAKE: dict[str, Any] = {"bin": BinBody, "air": AirBody}
KINDS = pytest.mark.parametrize("kind", ["bin", "air"])


@st.composite
def bodies(draw: st.DrawFn, kind: str) -> BinBody | AirBody:
    """Make readings with any set of fields, within the limits of the wire and often at them."""
    limits = {q.wire_field: wire.FIELDS[kind][q.wire_field] for q in quantities_of(kind)}
    fields = {name: st.integers(low, high) | st.sampled_from([low, high]) for name, (low, high) in limits.items()}
    body: BinBody | AirBody = MAKE[kind](seq=1, **draw(st.fixed_dictionaries({}, optional=fields)))
    return body


@KINDS
@settings(max_examples=150)
@given(data=st.data())
def test_a_form_converts_its_own_as_the_kind_does_and_takes_no_other(kind: str, data: st.DataObject) -> None:
    """The same values in the same order, flags and verdict; None for a reading with a field more or less."""
    body, drawn = data.draw(bodies(kind)), data.draw(bodies(kind))
    other = copy.copy(body)
    for q in data.draw(st.lists(st.sampled_from(quantities_of(kind)), max_size=2)):  # two fields at most differ
        setattr(other, q.wire_field, getattr(drawn, q.wire_field))
    values, flags, is_measured = CONVERT[kind](body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "_forms", {})
        form = form_of(kind, values)
    found = form(body)
    assert found == (values, flags, is_measured)
    assert list(found[0]) == list(values)
    assert all(type(value) is float for value in found[0].values())
    expected = CONVERT[kind](other)
    assert form(other) == (expected if list(expected[0]) == list(values) else None)


@KINDS
def test_one_field_more_or_less_is_another_form(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field alone, for a form with all of them and for the one with none."""
    monkeypatch.setattr(conversion, "_forms", {})
    everything = {q.wire_field: wire.FIELDS[kind][q.wire_field][1] for q in quantities_of(kind)}
    full, empty = form_of(kind, [q.name for q in quantities_of(kind)]), form_of(kind, [])
    assert full(MAKE[kind](seq=1, **everything)) is not None
    assert empty(MAKE[kind](seq=1)) == ({}, 0, False)
    for name, value in everything.items():
        assert full(MAKE[kind](seq=1, **(everything | {name: None}))) is None
        assert empty(MAKE[kind](seq=1, **{name: value})) is None


def test_a_form_is_written_out_once_and_beyond_the_limit_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the function for the kind stands in, which takes any reading."""
    monkeypatch.setattr(conversion, "_forms", {})
    monkeypatch.setattr(conversion, "FORMS_LIMIT", 2)
    first, second = form_of("bin", ["temp_c"]), form_of("air", ["temp_c"])
    assert form_of("bin", ["temp_c"]) is first is not second
    assert form_of("bin", ["tilt_deg"]) is CONVERT["bin"]
    assert form_of("air", ["temp_c"]) is second


def test_the_text_of_a_form_reads_as_its_description_says() -> None:
    """A reading of humidity alone: both limits of what is believed, and what is too damp for particles."""
    assert form_source("air", ["rh_pct"]).splitlines()[-7:] == [
        "        return None",
        "    flags = 0",
        "    if rh_cpct < 500 or rh_cpct > 9990:",
        "        flags |= 1",
        "    if rh_cpct > 7000:",
        "        flags |= 2",
        "    return {'rh_pct': rh_cpct / 100}, flags, True",
    ]
