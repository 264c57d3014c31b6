"""Sensors of other makes: what the site folder may say about them, and how their messages come in.

The codecs themselves are ingest's (:mod:`ingest.makers`); here are only their names, so that a site can be
checked without it.
"""

import re
from typing import Final

CODEC_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "airgradient": ("air",),
    "decentlab-dl-mbx": ("bin",),
    "decentlab-dl-pm": ("air",),
    "dragino-ldds75": ("bin",),
    "milesight-am308": ("air",),
    "milesight-em310-udl": ("bin",),
    "milesight-em400-mud": ("bin",),
    "milesight-em400-udl": ("bin",),
    "milesight-em500-udl": ("bin",),
    "netvox-r718x": ("bin",),
    "senml": ("bin", "air"),
}
"""Codecs that a device may be registered with, and the kinds of device that they give values for."""

FORMATS: Final = ("chirpstack", "ttn", "airgradient", "senml")
"""How messages of other makes come in: two network servers, and two kinds of sensors that speak MQTT themselves."""

MARK: Final = "@"
"""Stands before an identity that a maker has given, where otherwise the id of a device stands. No id has it."""

MAX_FILTER: Final = 200
"""Longest topic filter of another make [characters]."""

_FOREIGN: Final = re.compile(r"[a-z0-9-]{3,32}")
_URN: Final = re.compile(r"urn:dev:[a-z0-9]+:", re.IGNORECASE)


def foreign_of(text: str) -> str | None:
    """Return the identity that a maker gave as the site folder writes it, or None when nothing usable is in it.

    A name space of RFC 9039 (``urn:dev:mac:``) and what separates at the end go, capitals become small, and every other
    character becomes ``-``: ``70B3D57ED0001234`` is ``70b3d57ed0001234``.
    """
    plain = _URN.sub("", text, count=1).strip(":/ ")
    found = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return found if _FOREIGN.fullmatch(found) else None


def filter_fault(text: str) -> str | None:
    """Say what is wrong with an MQTT topic filter of another make; None when nothing is.

    Its first level is a word of its own, so that no topic of ours and none of the broker's matches it.
    """
    levels = text.split("/")
    if len(text) > MAX_FILTER or set(text) & {"\0", "\n", "\r", " "}:
        return f"it is longer than {MAX_FILTER} characters or has a blank in it"
    if levels[0] in {"", "+", "#", "resik"} or levels[0].startswith("$"):
        return "the first level must be a word, and not resik: what comes on other topics is not for it"
    if any(("+" in level or "#" in level) and len(level) > 1 for level in levels) or "#" in levels[:-1]:
        return "+ stands alone in its level, and # alone in the last one"
    return None
