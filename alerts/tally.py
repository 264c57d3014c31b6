"""Figures of what the engine has done."""

import msgspec


class Tally(msgspec.Struct):
    """What a turn, or the engine since its start, has done."""

    readings: int = 0
    duplicates: int = 0
    late: int = 0
    unplaced: int = 0
    incidents_opened: int = 0
    incidents_closed: int = 0
    tasks_created: int = 0
    tasks_dispatched: int = 0
    tasks_returned: int = 0
    tasks_verified: int = 0
    tasks_unverified: int = 0
    tasks_cancelled: int = 0

    def add(self, other: "Tally") -> None:
        """Add the figures of ``other``."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
