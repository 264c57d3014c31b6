"""Who may use which topic of a site: the one rule from which every broker's access list is written.

A *principal* is a user name of the broker: a device of the registry, or a service. What it may do follows from its
role and the topic grammar of :mod:`firmware.wire` alone, so a list can be written again at any time and compared.

===============  ==================================================  ====================================
role             writes                                              reads
===============  ==================================================  ====================================
device           what it says itself                                 what is said to it
gateway          to devices                                          what devices say
gateway-uplink   batches                                             acks of ingest
ingest           acks                                                batches
alerts           nothing                                             batches
monitor          nothing                                             ``$SYS``: the broker about itself
===============  ==================================================  ====================================

All services but the monitor also talk to themselves on the probe topic. Nobody else gets anything.

Where sensors of other makes are heard, whoever publishes for them (a network server, a bridge, a sensor) is a
principal, too: it writes to the one filter that was agreed, and the gateway reads there.

Several ingest workers share the batches: each is a principal of its own (``ingest``, ``ingest-2``, ...) with the same
rights, and subscribes below ``$share/ingest/`` or ``$share/ingest-<secret>/``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from firmware import wire
from square.makes import filter_fault

Direction = Literal["write", "read", "subscribe"]
"""``write``: publish to a topic. ``read``: receive a message of a topic. ``subscribe``: ask for a topic filter."""

SERVICES: Final = ("gateway", "gateway-uplink", "ingest", "alerts", "monitor")
"""Principals of a site with one of each service. The gateway has two connections: to the devices and upstream."""
MAX_WORKERS: Final = 99

_WORKER = re.compile(r"ingest-([2-9]|[1-9][0-9])")
_SHARED_GROUP = re.compile(r"ingest(-[A-Za-z0-9_-]+)?")
_PROBE = ("readwrite", "{own}/sv/+/probe")

# A gateway called "down" would otherwise be written to by the rule for devices: what is denied wins.
_RIGHTS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "device": (("write", "{own}/{name}/up/+"), ("read", "{own}/{name}/down/+")),
    "gateway": (("deny", "{own}/gw/#"), ("read", "{own}/+/up/+"), ("write", "{own}/+/down/+"), _PROBE),
    "gateway-uplink": (("write", "{own}/gw/+/batch"), ("read", "{own}/gw/+/ack"), _PROBE),
    "ingest": (("read", "{own}/gw/+/batch"), ("write", "{own}/gw/+/ack"), _PROBE),
    "alerts": (("read", "{own}/gw/+/batch"), _PROBE),
    "monitor": (("read", "$SYS/#"),),
}


@dataclass(frozen=True, slots=True)
class Right:
    """One line of an access list.

    Attributes
    ----------
    access : str
        ``read``, ``write``, ``readwrite``, or ``deny``, which wins over the others.
    pattern : str
        Topic filter.
    """

    access: str
    pattern: str

    def gives(self, access: str) -> bool:
        """Whether this line lets its principal ``read`` or ``write``."""
        return self.access in {access, "readwrite"}


def role(principal: str) -> str:
    """Return the role of a user name: the name of a service, else ``device``."""
    if principal in SERVICES:
        return principal
    return "ingest" if _WORKER.fullmatch(principal) else "device"


def services(workers: int = 1) -> tuple[str, ...]:
    """Return the service principals of a site with so many ingest workers, 1 to :data:`MAX_WORKERS`."""
    assert 1 <= workers <= MAX_WORKERS
    return SERVICES + tuple(map(worker_name, range(2, workers + 1)))


def worker_name(number: int) -> str:
    """Return the principal of an ingest worker, numbered from 1."""
    return "ingest" if number == 1 else f"ingest-{number}"


NO_PUBLISHERS: Final[Mapping[str, str]] = {}
"""Nobody publishes for sensors of other makes."""


def publisher_fault(name: str, topic_filter: str) -> str | None:
    """Say why somebody cannot publish for sensors of other makes; None when nothing is wrong."""
    if not wire.is_id(name) or role(name) != "device":
        return f"{name!r} is no name for a user: 3 to 32 of a-z 0-9 -, and not that of a service"
    return filter_fault(topic_filter)


def rights(site: str, principal: str, publishers: Mapping[str, str] = NO_PUBLISHERS) -> tuple[Right, ...]:
    """Return the lines of one principal.

    A name that is neither a service nor an id of the grammar has none: no user called ``+`` reads everything.

    Parameters
    ----------
    site, principal : str
        Whose.
    publishers : Mapping[str, str]
        Who publishes for sensors of other makes, and the filter of each.
    """
    if not (wire.is_id(site) and wire.is_id(principal)):
        return ()
    if principal in publishers:
        return (Right("write", publishers[principal]),)
    own, of = f"resik/{site}", role(principal)
    lines = [Right(access, pattern.format(own=own, name=principal)) for access, pattern in _RIGHTS[of]]
    if of == "gateway":
        lines += [Right("read", topic_filter) for topic_filter in sorted(set(publishers.values()))]
    return tuple(lines)


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic filter matches a topic name (MQTT 3.1.1, section 4.7)."""
    if topic.startswith("$") != pattern.startswith("$"):
        return False
    parts, levels = pattern.split("/"), topic.split("/")
    for index, part in enumerate(parts):
        if part == "#":
            return True
        if index == len(levels) or part not in {"+", levels[index]}:
            return False
    return len(parts) == len(levels)


def covers(pattern: str, topic_filter: str) -> bool:
    """Whether a filter matches every topic that another one matches."""
    if topic_filter.startswith("$") != pattern.startswith("$"):
        return False
    parts, asked = pattern.split("/"), topic_filter.split("/")
    for index, part in enumerate(parts):
        if part == "#":
            return True
        if index == len(asked) or asked[index] == "#" or part not in {"+", asked[index]}:
            return False
    return len(parts) == len(asked)


def _is_name(topic: str) -> bool:
    return bool(topic) and not set(topic) & {"+", "#", "\0"}


def _is_filter(topic_filter: str) -> bool:
    levels = topic_filter.split("/")
    return bool(topic_filter) and all(
        level in {"+", "#"} or (not set(level) & {"+", "#", "\0"}) for level in levels
    ) and "#" not in levels[:-1]  # fmt: skip


def allowed(
    site: str, principal: str, topic: str, direction: Direction, publishers: Mapping[str, str] = NO_PUBLISHERS
) -> bool:
    """Whether a principal may do something; the answer of a broker that follows our access list.

    Parameters
    ----------
    site, principal : str
        Whose list, and which user of it.
    topic : str
        A topic name; for ``subscribe`` a topic filter, which may begin with ``$share/<group>/``.
    direction : Direction
        What it wants. ``subscribe`` is allowed when all that the filter can match may be read: a broker that lets
        others subscribe and delivers nothing (mosquitto) keeps the same secrets.
    publishers : Mapping[str, str]
        As for :func:`rights`.
    """
    lines = rights(site, principal, publishers)
    if direction != "subscribe":
        return (
            _is_name(topic)
            and any(line.gives(direction) and matches(line.pattern, topic) for line in lines)
            and not any(line.access == "deny" and matches(line.pattern, topic) for line in lines)
        )
    if topic.startswith("$share/"):
        _share, group, *rest = topic.split("/", 2)
        if role(principal) != "ingest" or not _SHARED_GROUP.fullmatch(group) or not rest:
            return False
        topic = rest[0]
    return (
        _is_filter(topic)
        and any(line.gives("read") and covers(line.pattern, topic) for line in lines)
        and not any(line.access == "deny" and covers(line.pattern, topic) for line in lines)
    )


def access_list(
    site: str,
    devices: Iterable[str],
    service_names: Iterable[str] = SERVICES,
    publishers: Mapping[str, str] = NO_PUBLISHERS,
) -> str:
    """Return mosquitto's access list of a site; what it does not name is denied.

    It has no ``pattern`` lines: those fill in the user name, and a user called ``+`` would match everybody.
    """
    lines: list[str] = []
    for principal in [*service_names, *sorted(devices)]:
        lines.append(f"user {principal}")
        lines += [f"topic {right.access} {right.pattern}" for right in rights(site, principal, publishers)]
    return "\n".join(lines) + "\n"
