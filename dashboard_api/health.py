"""Is everything running? Asks every service, the engine's heartbeat and both stores, and remembers the answers.

Requests never wait for these questions: they read the last answer.
"""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from dashboard_api.board import Json
from ingest.errors import StoreError
from ingest.store import TimeSeriesStore

POLL_S: Final = 2.0
TIMEOUT_S: Final = 1.0
STORE_POLL_S: Final = 10.0
STORE_HANGS_S: Final = 5.0
ENGINE_LATE_S: Final = 120.0
"""An engine that said nothing for this long evaluates nothing, whatever its health page says [wall s]."""
_AGE_STEP_S: Final = 10
_MAX_ANSWER_BYTES: Final = 64 * 1024


class Answer(NamedTuple):
    """What one service said: whether it works, and one sentence if not."""

    ok: bool
    reason: str


def ask(url: str, timeout_s: float = TIMEOUT_S) -> Answer | None:
    """Ask one health page.

    Returns
    -------
    Answer | None
        None when nobody answers.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/healthz")
        response = connection.getresponse()
        body = json.loads(response.read(_MAX_ANSWER_BYTES))
        return Answer(ok=response.status == http.client.OK and bool(body["ok"]), reason=str(body.get("reason") or ""))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    finally:
        connection.close()


def probe_store(store: TimeSeriesStore, site: str) -> Answer:
    """Ask the time-series store for a second of an asset that does not exist: cheap on every kind of store."""
    try:
        store.series("bin", site=site, asset="health-probe", fields=["fill_pct"], start_ms=0, end_ms=1000, limit=1)
    except StoreError as error:
        return Answer(ok=False, reason=str(error))
    return Answer(ok=True, reason="")


class HealthWatch:
    """Last known health of every part.

    Parameters
    ----------
    health_urls : Mapping[str, str]
        Service name -> its ``/healthz``.
    store : TimeSeriesStore
        The time-series store.
    site : str
        Site id, for the store's probe.
    wall_s, monotonic_s : callable
        Real time [s since 1970 UTC] and monotonic time [s].
    """

    def __init__(
        self,
        health_urls: Mapping[str, str],
        store: TimeSeriesStore,
        site: str,
        *,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urls = dict(health_urls)
        self._store = store
        self._site = site
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        self._started_s = monotonic_s()
        self._heard_s: dict[str, float] = {}
        self._answers: dict[str, Answer] = {}
        self._beats: dict[str, tuple[float, Answer]] = {}  # service -> (wall_s, what it said)
        self._probe: Future[Answer] | None = None
        self._probe_began_s = 0.0
        self._next_store_s = 0.0
        self.relational = Answer(ok=False, reason="belum diperiksa (not checked yet)")
        self.time_series = Answer(ok=False, reason="belum diperiksa (not checked yet)")
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="health")

    def poll(self) -> None:
        """Ask everyone once; blocks for at most about one time-out, so call it from a thread."""
        answers = list(self._pool.map(ask, self._urls.values()))
        now_s = self._monotonic_s()
        for service, answer in zip(self._urls, answers, strict=True):
            if answer is None:
                self._answers[service] = Answer(ok=False, reason="tidak menjawab (no answer)")
            else:
                self._heard_s[service] = now_s
                self._answers[service] = answer
        self._poll_store(now_s)

    def _poll_store(self, now_s: float) -> None:
        """Look at the running question, or ask a new one: a store that hangs holds up nothing else."""
        if self._probe is None and now_s >= self._next_store_s:
            self._probe, self._next_store_s = (
                self._pool.submit(probe_store, self._store, self._site),
                now_s + STORE_POLL_S,
            )
            self._probe_began_s = now_s
        if self._probe is not None:
            try:
                self.time_series, self._probe = self._probe.result(TIMEOUT_S), None
            except FutureTimeoutError:
                if now_s - self._probe_began_s > STORE_HANGS_S:
                    self.time_series = Answer(ok=False, reason="tidak menjawab (no answer)")

    def note_relational(self, answer: Answer) -> None:
        """Take over how the last query of the relational store went."""
        self.relational = answer

    def note_heartbeats(self, beats: list[dict[str, Any]]) -> None:
        """Take over the signs of life that services leave in the relational store."""
        for beat in beats:
            detail = beat["detail"] or {}
            answer = Answer(ok=bool(detail.get("ok", True)), reason=str(detail.get("reason") or ""))
            self._beats[beat["service"]] = (beat["wall_s"], answer)

    def report(self) -> Json:
        """Return the ``health`` object of the API."""
        services = [self._service(name) for name in self._urls]
        services += [self._beat(name) for name in {*self._beats, "alerts"} - set(self._urls)]
        if "alerts" in self._urls:
            # Its page may answer while nothing is evaluated: the older of the two signs counts.
            beat = self._beat("alerts")
            if not beat["ok"]:
                services = [beat if entry["service"] == "alerts" else entry for entry in services]
        services.append(_entry("database", self.relational, 0.0))
        services.append(_entry("time-series", self.time_series, 0.0))
        return {"ok": all(entry["ok"] for entry in services), "services": services}

    def close(self) -> None:
        """Stop asking."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _service(self, name: str) -> Json:
        answer = self._answers.get(name)
        if answer is None:
            return _entry(name, Answer(ok=False, reason="belum diperiksa (not checked yet)"), None)
        heard_s = self._heard_s.get(name)
        return _entry(name, answer, None if heard_s is None else self._monotonic_s() - heard_s)

    def _beat(self, name: str) -> Json:
        beat = self._beats.get(name)
        if beat is None:
            return _entry(name, Answer(ok=False, reason="belum pernah terdengar (never heard)"), None)
        wall_s, answer = beat
        age_s = max(0.0, self._wall_s() - wall_s)
        if age_s > ENGINE_LATE_S:
            answer = Answer(ok=False, reason="tidak ada tanda hidup (no sign of life)")
        return _entry(name, answer, age_s)


def _entry(service: str, answer: Answer, age_s: float | None) -> Json:
    # Ages go in steps, so that a healthy system has one unchanging report.
    step = None if age_s is None else float(int(age_s) // _AGE_STEP_S * _AGE_STEP_S)
    return {"service": service, "ok": answer.ok, "reason": answer.reason, "age_s": step}
