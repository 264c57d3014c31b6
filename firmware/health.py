"""What a node says about itself: the status message after each connect."""

from firmware import wire
from firmware.core import slots

NO_ACK = 1
"""Three sends in a row got no application ack: an access rule, a deaf gateway, or a message that it refuses."""
SENSOR = 2
"""At least one part did not answer in the last reading."""
NO_CLOCK = 4
"""The time is unknown: readings carry the uptime."""
DROPPED = 8
"""The queue had to give up readings."""
TLS = 16
"""A broker was refused because of its certificate, in this boot."""
BATTERY = 32
"""The battery is below the low limit."""
CONFIG = 64
"""The last remote configuration was refused or taken back."""

NO_ACK_SENDS = 3


def fault_bits(record, sensor_faults, now_s, dropped, battery_mv, low_mv, cfg_bad):
    """Fold what is wrong into the bits of the field `faults`."""
    bits = 0
    for bit, is_so in (
        (NO_ACK, record.no_ack >= NO_ACK_SENDS),
        (SENSOR, sensor_faults),
        (NO_CLOCK, now_s is None),
        (DROPPED, dropped),
        (TLS, record.tls_refused),
        (BATTERY, battery_mv is not None and battery_mv < low_mv),
        (CONFIG, cfg_bad),
    ):
        if is_so:
            bits |= bit
    return bits


def status(node):
    """Make the payload."""
    record = node.record
    settings = node.settings
    config = settings.active
    keeper = node.keeper
    board = node.board
    queue = node.queue
    fields = slots.report(board.nvs)
    fields.update(node.about)
    fields["boot"] = record.boot
    fields["up_s"] = keeper.up_s()
    fields["class"] = config.kind
    fields["interval_s"] = node.round_s()
    fields["battery_mv"] = node.battery_mv
    fields["rssi_dbm"] = board.wifi.rssi_dbm()
    fields["queue"] = queue.waiting
    fields["dropped"] = queue.dropped
    fields["heap_free"] = board.heap_free()
    fields["days_left"] = node.days_left
    fields["cfg"] = settings.version
    fields["cfg_bad"] = settings.bad or None
    fields["cmd"] = node.orders.done
    fields["tls_refused"] = record.tls_refused
    fields["no_ack"] = record.no_ack
    fields["faults"] = fault_bits(
        record, node.sensor_faults, keeper.now_s(), queue.dropped, node.battery_mv, config.low_mv, settings.bad
    )
    return wire.encode_status(fields).encode()
