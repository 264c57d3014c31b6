"""What an answer of InfluxDB 1.x, 2.x or 3.x means, in one place.

========================  =============================================================================
204                       stored
400, 422                  some lines are bad; the good ones may be stored already. The batch is halved
                          until each bad line stands alone with the server's own words. Writing a good
                          line again changes nothing, so halving is safe in every generation.
401, 403, 404, other 4xx  a setting is wrong: :class:`~ingest.errors.StoreRefused` names it
413                       too large: halved; a single line that is too large is rejected
408, 425, 429, 5xx        :class:`~ingest.errors.StoreUnavailable` with the server's ``Retry-After``
200 and other 2xx, 3xx    not InfluxDB's write address: refused, or data would vanish unnoticed
========================  =============================================================================

Sources: docs.influxdata.com, pages ``influxdb/v1/tools/api``, ``influxdb/v2/write-data/troubleshoot`` and
``influxdb3/core/write-data/troubleshoot``; 1.x also measured on 1.6.7.
"""

import email.utils
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ingest.errors import StoreError, StoreRefused, StoreUnavailable
from ingest.stores.endpoint import Place, Reply
from ingest.stores.points import REASON_LIMIT

CODE_REJECTED: Final = "store-rejected"
CODE_TYPE: Final = "type-conflict"
CODE_RETENTION: Final = "beyond-retention"
CODE_TOO_LARGE: Final = "too-large"

STORED: Final = 204
"""The one status that says every line is stored."""

_BAD_LINES: Final = frozenset({400, 422})
_TOO_LARGE: Final = 413
_FOR_NOW: Final = frozenset({408, 425, 429})

_LINE_WORDS: Final = re.compile(
    r"unable to parse|partial write|type conflict|beyond retention|outside retention|line protocol|column type"
    r"|limit exceeded|exceeds|max key",
    re.IGNORECASE,
)
_SETTING_WORDS: Final = re.compile(r"\b(database|bucket|org|organization|precision|token)\b", re.IGNORECASE)
_DROPPED: Final = re.compile(r"\bdropped=(\d+)")


class Refusal(msgspec.Struct, frozen=True):
    """One line that the store will never take."""

    position: int
    code: str
    reason: str


def deliver(lines: Sequence[str], post: Callable[[bytes], Reply], place: Place) -> list[Refusal]:
    """Write lines through ``post`` and return those that the store refused for good; all others are stored.

    Parameters
    ----------
    lines : Sequence[str]
        Lines of line protocol without newlines.
    post : Callable[[bytes], Reply]
        Sends one body to the write address.
    place : Place
        For the sentences of the errors.

    Raises
    ------
    StoreUnavailable, StoreRefused
        When the batch as a whole is not settled. Some lines may be stored; the caller repeats the batch.
    """
    refusals: list[Refusal] = []
    waiting = [(0, len(lines))] if lines else []
    while waiting:
        start, end = waiting.pop()
        reply = post("\n".join(lines[start:end]).encode())
        if reply.status == STORED:
            continue
        if reply.status == _TOO_LARGE:
            refused_all, code, words = (
                end - start == 1,
                CODE_TOO_LARGE,
                "the server says that this one line is too large",
            )
        elif reply.status in _BAD_LINES and not _is_about_settings(reply):
            words = reason(reply)
            refused_all, code = end - start == 1 or _all_dropped(words, end - start), _code(words)
        else:
            raise failure(reply, place)
        if refused_all:
            refusals += [Refusal(position, code, words[:REASON_LIMIT]) for position in range(start, end)]
        else:
            middle = (start + end) // 2
            waiting += [(middle, end), (start, middle)]
    return refusals


def failure(reply: Reply, place: Place) -> StoreError:
    """Return the error for an answer that settles nothing, with one sentence on what to do."""
    status, words = reply.status, reason(reply)[:REASON_LIMIT]
    said = f"HTTP {status}" + (f": {words}" if words else "")
    if status in _FOR_NOW or status >= 500:  # noqa: PLR2004 - the HTTP class of server faults
        return StoreUnavailable(
            f"{place} cannot do it for now ({said}): will try again", retry_after_s=retry_after_s(reply.retry_after)
        )
    if status == 401:  # noqa: PLR2004
        return StoreRefused(
            f"{place} does not know these credentials ({said}): put the right password or token into the file that "
            "store_token_file names"
        )
    if status == 403:  # noqa: PLR2004
        return StoreRefused(
            f"{place} lets these credentials in but not do this ({said}): grant them read and write on that "
            f"{place.container}, or give others in store_token_file"
        )
    if status == 404 or status in _BAD_LINES:  # noqa: PLR2004
        return StoreRefused(
            f"{place} is not there ({said}): create the {place.container} or correct the address and names in store_url"
        )
    return StoreRefused(f"{place} answered like no InfluxDB ({said}): correct the address in store_url")


def reason(reply: Reply) -> str:
    """Return the server's own words: ``error`` (1.x, 3.x), ``message`` (2.x), or the start of a plain body."""
    text = reply.body.decode("utf-8", "replace").strip()
    try:
        body = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return text[:REASON_LIMIT]
    if not isinstance(body, dict):
        return text[:REASON_LIMIT]
    words = str(body.get("error") or body.get("message") or text)
    data = body.get("data")
    details = data if isinstance(data, list) else [data]
    said = [str(d["error_message"]) for d in details if isinstance(d, dict) and d.get("error_message")]
    return f"{words}: {said[0]}" if said else words


def retry_after_s(header: str | None, now_s: float | None = None) -> float | None:
    """Return a ``Retry-After`` header as seconds from now [s, >= 0], or None when there is none that can be read.

    >>> retry_after_s("120")
    120.0
    """
    if header is None:
        return None
    try:
        wait_s = float(header)
    except ValueError:
        pass
    else:
        return max(0.0, wait_s) if math.isfinite(wait_s) else None
    try:
        at_s = email.utils.parsedate_to_datetime(header).timestamp()
    except ValueError:
        return None
    return max(0.0, at_s - (time.time() if now_s is None else now_s))


def _is_about_settings(reply: Reply) -> bool:
    """Whether a 400 blames the address, not a line: then no line may be given up for it."""
    words = reason(reply)
    return not _LINE_WORDS.search(words) and bool(_SETTING_WORDS.search(words))


def _all_dropped(words: str, n_lines: int) -> bool:
    # Seen to be 0 where lines do not parse (1.6.7), never more than the truth: only the full count is believed.
    dropped = _DROPPED.search(words)
    return dropped is not None and int(dropped[1]) == n_lines


def _code(words: str) -> str:
    if re.search(r"type conflict|column type", words, re.IGNORECASE):
        return CODE_TYPE
    if re.search(r"(beyond|outside) retention", words, re.IGNORECASE):
        return CODE_RETENTION
    return CODE_REJECTED
