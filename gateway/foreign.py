"""Messages of sensors of other makes: which topics they come on, and what makes each reading one and the same.

A network server has no sequence of readings that could be asked for: the frame counter starts again with every session,
and a sensor that speaks MQTT itself may have none. So the identity of such a reading is made here, from what was sent
(docs/decisions/0010-other-makes.md): ``boot`` is a hash of the content, ``seq`` the second when it was measured. The
same message again is the same identity, another session or another time is another.
"""

import hashlib
import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from firmware import wire
from gateway.messages import Poison, UplinkRow, Uplinks, poison
from square.makes import MARK
from square.uplinks import Uplink, UplinkError, read_uplinks

COPY_WITHIN_S: Final = 60
"""A frame with the same session, counter and payload within it is a copy that came late over another receiver."""

UNDATED_WITHIN_S: Final = 5
"""The same undated document within it is a repeat; the shortest report interval of a site is 10 s."""

REDELIVERED_WITHIN_S: Final = 7 * 86_400
"""The same for a document that the broker says it sends again: our PUBACK may have been lost for so long."""

_log = logging.getLogger(__name__)


class Source(msgspec.Struct, frozen=True):
    """Where messages of one format come in: a name of :data:`square.makes.FORMATS` and an MQTT topic filter."""

    form: str
    topic_filter: str


class Sources:
    """Reads what comes in on the topics of other makes.

    Parameters
    ----------
    sources
        The first whose filter matches decides.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = [(source.form, source.topic_filter.split("/")) for source in sources]

    def read(
        self, topic: str, payload: bytes, arrived_ms: int, *, is_again: bool, is_retained: bool
    ) -> Uplinks | Poison | None:
        """Read a message; None when its topic is none of ours.

        Parameters
        ----------
        topic, payload
            The message as it came.
        arrived_ms
            Arrival at the gateway [ms since 1970].
        is_again
            Whether the broker says that it has sent it before.
        is_retained
            Whether the broker kept it for those who come later: what is not dated then is of no known time, and no
            reading.

        Returns
        -------
        Uplinks | Poison | None
            Never an exception: whatever goes wrong in reading makes the message poison.
        """
        levels = topic.split("/")
        form = next((form for form, pattern in self._sources if matches(pattern, levels)), None)
        if form is None:
            return None
        try:
            found = read_uplinks(form, topic, payload, arrived_ms // 1000)
            rows = [_row(uplink, is_again=is_again) for uplink in found if uplink.is_dated or not is_retained]
            return Uplinks(rows, arrived_ms, topic)
        except UplinkError as error:
            return poison(topic, payload, error.code, arrived_ms)
        except Exception:  # noqa: BLE001 - a fault of ours must not stop the flow of every other device
            _log.exception("reading a message on %r failed: it is kept as poison", topic[:80])
            return poison(topic, payload, "bad-uplink", arrived_ms)


def matches(pattern: Sequence[str], levels: Sequence[str]) -> bool:
    """Whether a topic matches a filter, both split into levels (MQTT 3.1.1 section 4.7)."""
    for at, wanted in enumerate(pattern):
        if wanted == "#":
            return True
        if at >= len(levels) or wanted not in {"+", levels[at]}:
            return False
    return len(pattern) == len(levels)


def _row(uplink: Uplink, *, is_again: bool) -> UplinkRow:
    boot = int.from_bytes(hashlib.blake2b(uplink.content, digest_size=4).digest(), "big")
    undated_s = REDELIVERED_WITHIN_S if is_again else UNDATED_WITHIN_S
    return UplinkRow(
        device=MARK + uplink.foreign,
        boot=boot,
        seq=uplink.at_s,
        ts_ms=wire.point_ms(uplink.at_s, boot, uplink.at_s),
        time="device" if uplink.is_dated else "anchor",
        repeat_within_s=COPY_WITHIN_S if uplink.is_dated else undated_s,
        body=msgspec.json.encode(uplink.body),
    )
