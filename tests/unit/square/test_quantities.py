"""The table of quantities and the wire agree."""

from firmware import wire
from square.quantities import BY_WIRE_FIELD, QUANTITIES, quantities_of


def test_every_wire_field_has_a_quantity_and_the_reverse():
    """A field cannot be added to the wire without a name in the store, nor the other way round."""
    on_wire = {name for kind in wire.FIELDS for name in wire.FIELDS[kind]} - {"quality"}
    assert set(BY_WIRE_FIELD) == on_wire
    assert len(QUANTITIES) == len(BY_WIRE_FIELD)


def test_plausible_range_can_be_reached_on_the_wire():
    """The plausible range overlaps what the wire accepts for each kind."""
    for kind, fields in wire.FIELDS.items():
        for quantity in quantities_of(kind):
            lowest, highest = fields[quantity.wire_field]
            assert quantity.from_wire(lowest) < quantity.plausible_max
            assert quantity.from_wire(highest) > quantity.plausible_min


def test_units_of_the_store():
    """5400 ng/m3 is 5.4 ug/m3 and 3120 centidegrees are 31.2 degrees."""
    assert QUANTITIES["pm25_ugm3"].from_wire(5400) == 5.4
    assert QUANTITIES["temp_c"].from_wire(3120) == 31.2
