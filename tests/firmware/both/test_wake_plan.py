"""Which pins an ESP32 can watch while it sleeps."""

from firmware.hal import WifiError, wake_plan


def test_a_low_pin_goes_to_ext0_and_high_ones_to_ext1():
    """Tilt (low), lid and heat (high): one pin on ext0, the others together on ext1."""
    assert wake_plan([(25, 1), (27, 0), (33, 1)]) == ((27, 0), [25, 33], 1, [])


def test_two_low_pins_use_both_and_a_third_is_left():
    """Ext1 can watch a single pin for low; what is left over is told."""
    assert wake_plan([(27, 0), (26, 0)]) == ((27, 0), [26], 0, [])
    assert wake_plan([(27, 0), (26, 0), (25, 0)]) == ((27, 0), [26], 0, [25])
    assert wake_plan([(27, 0), (26, 0), (25, 1)]) == ((27, 0), [25], 1, [26])


def test_high_pins_alone_and_no_pin():
    """Without a low pin ext0 takes a high one; without pins nothing wakes but the timer."""
    assert wake_plan([(25, 1), (33, 1)]) == ((25, 1), [33], 1, [])
    assert wake_plan([]) == (None, [], 1, [])


def test_no_wifi_is_an_oserror_with_a_reason():
    """Whoever handles network errors handles this one too."""
    error = WifiError("no-ap")
    assert isinstance(error, OSError)
    assert error.why == "no-ap"
