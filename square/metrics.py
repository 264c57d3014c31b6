"""What the figures of a health page mean, and the same figures as metrics for Prometheus.

:data:`COUNTS` is the one place that says of each figure whether it only grows (counter) or goes up and down (gauge),
under which name it is a metric, and what it means. Names follow OpenMetrics: ``resik_<service>_<what>``, the unit in
the name, ``_total`` for counters.
"""

import platform
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

Kind = Literal["counter", "gauge"]


class Count(NamedTuple):
    """One figure: what it is as a metric.

    Attributes
    ----------
    kind : str
        ``counter`` since the start of the process (or of the spool file), else ``gauge``.
    metric : str
        Name behind ``resik_<service>_``, with ``_total`` for a counter and the unit for a gauge.
    meaning : str
        One sentence.
    divisor : float
        The metric is the figure divided by this: metrics use seconds, bytes and ratios.
    """

    kind: Kind
    metric: str
    meaning: str
    divisor: float = 1.0


def _counter(metric: str, meaning: str) -> Count:
    return Count("counter", f"{metric}_total", meaning)


def _gauge(metric: str, meaning: str, divisor: float = 1.0) -> Count:
    return Count("gauge", metric, meaning, divisor)


_SESSION_LOST: Final = _counter("sessions_lost", "Times the broker had forgotten our session: messages may be missing.")
_STALE_ACKS: Final = _counter("stale_acks", "Acks for messages of a connection that is gone; they come again.")

COUNTS: Final[Mapping[str, Mapping[str, Count]]] = {
    "gateway": {
        "offered": _counter("offered", "Readings, signs of presence and poison that devices sent, repeats included."),
        "received": _counter("received", "Readings that devices sent, repeats included."),
        "spooled": _counter("spooled", "Rows written to the spool."),
        "duplicates": _counter("duplicates", "Of those offered, known already."),
        "poison": _counter("poison", "Rows written for messages that cannot be read."),
        "poison_let_go": _counter("poison_let_go", "Poison beyond a device's share, of which nothing is kept."),
        "presence": _counter("presence", "Rows written for status messages and last wills."),
        "messages": _counter("messages", "MQTT messages from devices."),
        "commits": _counter("commits", "Transactions of the spool."),
        "commit_failures": _counter("commit_failures", "Transactions that failed; nobody was acknowledged."),
        "acked_to_device": _counter("device_acks", "Application acks handed to the device broker."),
        "acks_unsent": _counter("device_acks_unsent", "Application acks that no connection took."),
        "forwarded": _counter("forwarded_rows", "Rows sent upstream for the first time since start."),
        "batches": _counter("batches", "Batches sent for the first time."),
        "batches_resent": _counter("batches_resent", "Batches sent again because no ack came."),
        "batches_copied": _counter("batches_copied", "Batches sent beside the queue while ingest does not answer."),
        "heartbeats": _counter("heartbeats", "Empty batches sent as a sign of life."),
        "in_flight": _gauge("in_flight_batches", "Batches sent and not acknowledged."),
        "settled_stored": _counter("settled_stored", "Rows that ingest took over into its store."),
        "settled_dead": _counter("settled_dead", "Rows that ingest put among the dead letters."),
        "acks_foreign": _counter("acks_foreign", "Acks of ingest for another spool file."),
        "acks_bad": _counter("acks_bad", "Acks of ingest that cannot be read."),
        "waiting": _gauge("waiting_rows", "Rows in the spool that ingest has not taken over."),
        "oldest_waiting_age_s": _gauge("oldest_waiting_age_seconds", "Age of the oldest of them, square time."),
        "gaps": _gauge("gaps", "Ranges of readings that never arrived."),
        "missing_lost": _gauge("missing_lost_readings", "Readings that devices gave up."),
        "missing_late": _gauge("missing_late_readings", "Readings missing for ten minutes that may still come."),
        "missing_before_spool": _gauge("missing_before_spool_readings", "Readings from before this spool file."),
        "disk_free_pct": _gauge("disk_free_ratio", "Free part of the spool's disk.", 100),
        "edge_connected": _gauge("edge_connected", "1 while our own messages come back from the device broker."),
        "uplink_connected": _gauge("uplink_connected", "1 while our own messages come back from the city broker."),
        "session_lost": _SESSION_LOST,
        "stale_acks": _STALE_ACKS,
        "down_statuses": _counter("down_statuses", "Status messages of nodes that were followed for their orders."),
        "down_requests_bad": _counter("down_requests_bad", "Requests for parts of updates that cannot be read."),
        "down_requests_refused": _counter("down_requests_refused", "Requests for what a node is not to have."),
        "down_configs": _counter("down_configs", "Configurations sent to nodes."),
        "down_commands": _counter("down_commands", "Commands sent to nodes."),
        "down_offers": _counter("down_offers", "Updates offered to nodes."),
        "down_halts": _counter("down_halts", "Updates called off."),
        "down_blocks": _counter("down_blocks", "Parts of updates sent to nodes."),
        "down_waiting": _gauge("down_waiting_nodes", "Nodes that wait for a part of an update."),
        "devices_ahead": _gauge("devices_ahead", "Devices whose clock is more than two minutes ahead of ours."),
        "spool_replaced": _gauge("spool_replaced", "1 while a damaged spool file lies beside the new one."),
        "nodes_online": _gauge("online_nodes", "Devices that were heard when they were due."),
        "nodes_late": _gauge("late_nodes", "Devices that are overdue."),
        "nodes_silent": _gauge("silent_nodes", "Devices overdue for longer than the site allows."),
        "nodes_never": _gauge("unheard_nodes", "Active devices of the registry of which nothing was ever heard."),
        "resend_requests": _counter("resend_requests", "Orders to nodes, by the gateway itself, to send again."),
        "resend_came": _counter("resend_came_readings", "Missing readings that came after a node was asked."),
        "resend_gone": _counter("resend_gone_readings", "Missing readings that the node no longer has."),
        "resend_unanswered": _counter("resend_unanswered_readings", "Missing readings asked for in vain."),
        "resend_open": _gauge("resend_open_gaps", "Gaps that a node was asked to fill and that are not settled."),
        "resend_waiting": _gauge("resend_waiting_gaps", "Gaps whose node is asked when its turn comes."),
        "waiting_change": _gauge("waiting_change_rows", "By how many the waiting rows grew within the last minute."),
        "unanswered_s": _gauge("unanswered_seconds", "Since batches are out and ingest acknowledged nothing."),
        "draining": _gauge("draining", "1 while rows of an outage go up at their limited pace."),
        "session_lost_age_s": _gauge("session_lost_age_seconds", "Since the broker forgot our session; -1 if never."),
        "orders_ok": _gauge("orders_up", "1 unless the file of orders for nodes cannot be used."),
        "rollouts_halted": _gauge("rollouts_halted", "Roll-outs that were halted."),
        "intake_stopped": _gauge("intake_stopped", "1 while nothing is taken in: disk, clock or a fault of the spool."),
        "clock_behind": _gauge("clock_behind", "1 while our clock is behind that of most devices."),
        "disk_level": _gauge("disk_level", "0 while the disk has room, 1 below the warning mark, 2 below the stop."),
        "file_offered": _counter("file_offered", "As offered, since the spool file began; survives restarts."),
        "file_duplicates": _counter("file_duplicates", "As duplicates, since the spool file began."),
        "file_let_go": _counter("file_let_go", "As poison_let_go, since the spool file began."),
        "file_spooled": _counter("file_spooled", "As spooled, since the spool file began."),
        "file_stored": _counter("file_stored", "As settled_stored, since the spool file began."),
        "file_dead": _counter("file_dead", "As settled_dead, since the spool file began."),
        "file_replayed": _counter("file_replayed", "Rows made to wait again by `resik gateway resend`."),
    },
    "ingest": {
        "batches": _counter("batches", "Batches answered, repeats included."),
        "heartbeats": _counter("heartbeats", "Empty batches of gateways."),
        "rows_taken": _counter("rows_taken", "Rows of batches that could be read, repeats included."),
        "rows": _counter("rows", "Of these, answered for."),
        "stored": _counter("stored", "Readings that the time-series store accepted."),
        "dead_lettered": _counter("dead_lettered", "Rows put among the dead letters."),
        "status_rows": _counter("status_rows", "Status messages and last wills: taken over, not stored as points."),
        "rows_in_hand": _gauge("rows_in_hand", "Rows taken and not answered for."),
        "bad_batches": _counter("bad_batches", "Batches that cannot be read; their rows stay with the gateway."),
        "waiting": _gauge("waiting_batches", "Batches received and not answered for."),
        "store_ok": _gauge("store_up", "1 unless the time-series store failed the last time."),
        "dead_letters_ok": _gauge("dead_letters_up", "1 unless the dead-letter store failed the last time."),
        "last_write_age_s": _gauge("last_write_age_seconds", "Since the last write to the store; -1 before the first."),
        "rollup_ok": _gauge("rollup_up", "1 unless the hourly and daily series wait for the store."),
        "rolled_up_until_s": _gauge("rolled_up_until_seconds", "Up to when hours are rolled up, since 1970 UTC."),
        "letters_replayed": _counter("letters_replayed", "Dead letters that were stored when tried again."),
        "acks_unsent": _counter("acks_unsent", "Acks to gateways that no connection took."),
        "stale_acks": _STALE_ACKS,
        "session_lost": _SESSION_LOST,
    },
    "alerts": {
        "readings": _counter("readings", "Readings taken from batches, repeats included."),
        "duplicates": _counter("duplicates", "Readings judged before."),
        "late": _counter("late", "Readings too late to send anybody."),
        "unplaced": _counter("unplaced", "Readings of assets that are not in the plan."),
        "incidents_opened": _counter("incidents_opened", "Incidents opened."),
        "incidents_closed": _counter("incidents_closed", "Incidents closed."),
        "tasks_created": _counter("tasks_created", "Tasks made."),
        "tasks_dispatched": _counter("tasks_dispatched", "Tasks given to a crew."),
        "tasks_returned": _counter("tasks_returned", "Tasks taken back from a crew."),
        "tasks_verified": _counter("tasks_verified", "Tasks that a sensor confirmed."),
        "tasks_unverified": _counter("tasks_unverified", "Tasks that no sensor confirmed in time."),
        "tasks_cancelled": _counter("tasks_cancelled", "Tasks called off."),
        "batches": _counter("batches", "Batches read, repeats included."),
        "bad_batches": _counter("bad_batches", "Batches that cannot be read; ingest keeps them."),
        "dead_rows": _counter("dead_rows", "Rows that ingest puts among the dead letters."),
        "caught_up": _counter("caught_up", "Readings compared with the time-series store."),
        "transactions": _counter("transactions", "Transactions of the relational store."),
        "waiting": _gauge("waiting_batches", "Batches received and not judged."),
        "active": _gauge("active", "1 while this engine decides; 0 while it stands by."),
        "seats_lost": _counter("seats_lost", "Times this engine lost the right to decide."),
        "assets": _gauge("assets", "Bins and air stations of the plan."),
        "silent": _gauge("silent_nodes", "Nodes that said nothing for longer than allowed."),
        "decided_age_s": _gauge("decided_age_seconds", "Since the engine last decided something, wall time."),
        "session_lost": _SESSION_LOST,
        "cursor_age_s": _gauge("cursor_age_seconds", "Age of the newest reading judged, square time; -1 before one."),
    },
    "dashboard": {
        "streams": _gauge("streams", "Open event streams."),
        "event_id": _gauge("event_id", "Number of the newest event of the board."),
        "events": _counter("events", "Events sent to streams."),
        "clients_opened": _counter("streams_opened", "Event streams opened."),
        "clients_dropped": _counter("streams_dropped", "Event streams cut off because their reader was too slow."),
        "relational_ok": _gauge("relational_store_up", "1 while the relational store answers."),
        "time_series_ok": _gauge("time_series_store_up", "1 while the time-series store answers."),
    },
    "simulator": {
        "nodes": _gauge("nodes", "Nodes that are simulated."),
        "connected": _gauge("connected_nodes", "Of these, connected to the broker."),
        "unheard": _gauge("unheard_nodes", "Of these, without radio in a scenario."),
        "made": _counter("made", "Readings made."),
        "published": _counter("published", "Readings published for the first time."),
        "repeated": _counter("repeated", "Readings published again because no ack came."),
        "acked": _counter("acked", "Readings that the gateway acknowledged."),
        "waiting": _gauge("waiting_readings", "Readings that nodes hold."),
        "dropped": _counter("dropped", "Readings that full nodes gave up."),
        "refused": _counter("refused", "Connections that the broker refused."),
        "bins_emptied": _counter("bins_emptied", "Bins emptied by crews."),
    },
}


HISTOGRAMS: Final[Mapping[str, tuple[str, tuple[float, ...]]]] = {
    "resik_ingest_arrival_to_stored_seconds": (
        "From the arrival of a reading at the gateway until the store had it, repeats included, wall time.",
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400),
    ),
    "resik_ingest_write_points": (
        "Points in one write to the store.",
        (1, 10, 50, 100, 500, 1000, 2000, 5000, 20000),
    ),
}
"""Meaning and upper limits of what is counted by size."""


class Histogram:
    """Counts values by fixed limits; cheap enough for every reading. One thread observes, any reads.

    Parameters
    ----------
    name : str
        Whole name of the metric.
    meaning : str
        One sentence.
    limits : Sequence[float]
        Upper limits, ascending; values above the last are counted, too.
    """

    def __init__(self, name: str, meaning: str, limits: Sequence[float]) -> None:
        self.name = name
        self.meaning = meaning
        self._limits = tuple(limits)
        self._counts = [0] * (len(limits) + 1)
        self._sum = 0.0

    def observe(self, values: Sequence[float]) -> None:
        """Count ``values``."""
        # Sorted, and then a search for each limit: a search for each value takes twice as long, as they are thousands.
        ordered, counts, below = sorted(values), self._counts, 0
        for index, limit in enumerate(self._limits):
            upto = bisect_right(ordered, limit)
            counts[index] += upto - below
            below = upto
        counts[-1] += len(ordered) - below
        self._sum += sum(values)

    def family(self) -> Metric:
        """Return the present state as a metric."""
        counts = list(self._counts)
        names = [*(str(float(limit)) for limit in self._limits), "+Inf"]
        upto = 0
        buckets = []
        for name, count in zip(names, counts, strict=True):
            upto += count
            buckets.append((name, float(upto)))
        return HistogramMetricFamily(self.name, self.meaning, buckets=buckets, sum_value=self._sum)


def histogram(name: str) -> Histogram:
    """Make one that :data:`HISTOGRAMS` declares."""
    return Histogram(name, *HISTOGRAMS[name])


def families(
    service: str, *, ok: bool, counts: Mapping[str, float], histograms: Sequence[Histogram] = ()
) -> Iterator[Metric]:
    """Yield the metrics of a process. A figure that :data:`COUNTS` does not know is left out.

    Parameters
    ----------
    service : str
        Its name.
    ok : bool
        Whether it does its work.
    counts : Mapping[str, float]
        Figures of its health page.
    histograms : Sequence[Histogram]
        What else it measures.
    """
    healthy = GaugeMetricFamily("resik_healthy", "1 while the service does its work.", labels=["service"])
    healthy.add_metric([service], float(ok))
    yield healthy
    build = GaugeMetricFamily("resik_build_info", "Always 1: what runs here.", labels=["service", "version", "python"])
    build.add_metric([service, _version(), platform.python_version()], 1.0)
    yield build
    known = COUNTS.get(service, {})
    for key, figure in counts.items():
        if (count := known.get(key)) is not None:
            family = CounterMetricFamily if count.kind == "counter" else GaugeMetricFamily
            yield family(f"resik_{service}_{count.metric}", count.meaning, value=figure / count.divisor)
    for histogram in histograms:
        yield histogram.family()


class _Once(Collector):
    """Hands out metrics that were made for one answer."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[Metric]:
        return self._found


_process = ProcessCollector(registry=None)


def exposition(found: Iterable[Metric], accept: str = "") -> tuple[bytes, str]:
    """Return metrics and those of the process as text, and its content type.

    Parameters
    ----------
    found : Iterable[Metric]
        See :func:`families`.
    accept : str
        What the reader asked for: OpenMetrics, else the older text format.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(found))
    registry.register(_process)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def metric_names() -> set[str]:
    """Return every name under which Prometheus knows what our processes say."""
    return {
        *(f"{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "sum", "count")),
        *(f"resik_{service}_{count.metric}" for service, counts in COUNTS.items() for count in counts.values()),
        "resik_healthy",
        "resik_build_info",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_cpu_seconds_total",
        "process_open_fds",
        "up",
    }


def _version() -> str:
    try:
        return version("resik-kota")
    except PackageNotFoundError:
        return "0"
