"""How often a node is expected: by the plan, and by its own word."""

from typing import Final

ANNOUNCED_MAX_S: Final = 4 * 3600
"""Longest interval that a node may announce and be judged by [s]."""


def expected_interval_s(planned_s: int, announced_s: int | None) -> int:
    """Return the interval by which a device is judged [s]: the planned one, or a longer one that it announced.

    A node sleeps longer at night and on a weak battery and says so; without this each night would be full of false
    silence. What it announces counts up to ``ANNOUNCED_MAX_S``, so that no node can talk itself out of being missed.

    Examples
    --------
    >>> expected_interval_s(600, 1800), expected_interval_s(600, 120), expected_interval_s(600, 86_400)
    (1800, 600, 14400)
    """
    return max(planned_s, min(announced_s or 0, ANNOUNCED_MAX_S))
