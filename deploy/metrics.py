"""Every metric of Streamwise: nothing but this and what it builds on here knows Prometheus.

The rooms tell *observers* what happened (``streams/observer.py``, ``workers/encoder/observer.py``,
``deploy/api/observer.py``); the adapters here count it.  Names are fixed: a quantity ends in its unit
(``_seconds``, ``_bytes``, ``_ratio``), a counter in ``_total``; labels come from closed sets and never
hold an id of a person, an item or a decision.  ``docs/metrics.md`` lists all of them, and a test
compares the two.
"""

from collections.abc import Callable
from math import nan
from time import monotonic_ns, time_ns

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from deploy.causal_gauges import CausalGauges
from deploy.health import Answer
from deploy.instruments import counter, gauge, histogram
from schemas.control import PolicySwitch
from schemas.ladder import RUNGS
from schemas.reports import CausalReport

LIST_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.09, 0.12, 0.18, 0.25, 0.35, 0.5, 1, 2, 5, 10)
"""Event to list: the limits to watch are 60 ms (median) and 120 ms (p99)."""

WORK_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.12, 0.25, 1)
"""Slices of computing: a batch of lists, a run of events, a slice of learning."""

WAIT_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60)
"""Things that wait for the broker: checkpoints, takeovers, snapshots."""

HTTP_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.5, 1, 2, 5)

SIZES = (1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 4e6, 16e6, 64e6, 256e6)

BATCH = (1, 2, 4, 8, 16, 32, 48, 64, 128, 256)


class Metrics:
    """The registry of one process and all adapters that count into it.

    Parameters
    ----------
    registry
        Injected, so that two processes' worth of metrics can live in one test.
    clock
        Nanoseconds since the epoch, told by ages of heartbeats; None: the wall clock, read once, and the
        monotonic clock from there.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.stream.on_shed("superseded", 3)
    >>> metrics.registry.get_sample_value("streamwise_shed_triggers_total", {"reason": "superseded"})
    3.0
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, *, clock: Callable[[], int] | None = None
    ) -> None:
        self.registry = registry or CollectorRegistry()
        beats = HeartbeatAges(self.registry, clock or _steady_clock())
        self.process = ProcessMetrics(self.registry)
        self.stream = StreamMetrics(self.registry, beats)
        self.encoder = EncoderMetrics(self.registry)
        self.encode = EncodeMetrics(self.registry)
        self.view = ViewMetrics(self.registry, beats)
        causal = CausalGauges(self.registry)
        self.api = ApiMetrics(self.registry, causal, beats)
        self.audit = AuditMetrics(self.registry, causal, beats)

    def render(self) -> Answer:
        """The answer of ``/metrics``."""
        return 200, CONTENT_TYPE_LATEST, generate_latest(self.registry)

    def names(self) -> list[str]:
        """Every metric's full name, sorted."""
        found = self.registry.collect()
        return sorted(metric.name + ("_total" if metric.type == "counter" else "") for metric in found)


class HeartbeatAges:
    """How long ago the newest heartbeat of each stage set out; of several partitions, the oldest counts."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], int]) -> None:
        self._age = gauge(
            registry, "heartbeat_age_seconds", "Since the newest heartbeat at a stage set out.", ["stage"]
        )
        self._clock = clock
        self._newest: dict[str, dict[tuple[str, int], int]] = {}

    def on_heartbeat(self, stage: str, topic: str, partition: int, ts: int) -> None:
        """A heartbeat has come to a stage; what was seen before of an older one counts no more."""
        if stage not in self._newest:
            self._newest[stage] = {}
            self._age.labels(stage).set_function(lambda: self._age_of(stage))
        seen = self._newest[stage]
        seen[topic, partition] = max(ts, seen.get((topic, partition), 0))

    def on_partition_gone(self, topic: str, partition: int) -> None:
        """Its heartbeats come to another process now."""
        for seen in list(self._newest.values()):
            seen.pop((topic, partition), None)

    def _age_of(self, stage: str) -> float:
        seen = list(self._newest[stage].values())
        if not seen:
            return nan
        # A heartbeat from the future comes of a clock that is ahead of ours: it is now, by that one.
        return max(self._clock() / 1e9, max(seen) / 1e3) - min(seen) / 1e3


def _steady_clock() -> Callable[[], int]:
    ahead = time_ns() - monotonic_ns()
    return lambda: monotonic_ns() + ahead


class Beats:
    """What every adapter of a stage has: it passes heartbeats on to their ages."""

    _beats: HeartbeatAges

    def on_heartbeat(self, stage: str, topic: str, partition: int, ts: int) -> None:
        """A heartbeat has come to a stage."""
        self._beats.on_heartbeat(stage, topic, partition, ts)


class ProcessMetrics:
    """Counts what ``deploy.watchdog.LoopObserver`` tells, and how long the start took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lag = histogram(
            registry, "loop_lag_seconds", "How late the event loop turned.", (*WORK_SECONDS, 3, 10, 30)
        )
        self._kernels = gauge(registry, "kernels_seconds", "Compiling or loading kernels at the start.")

    def on_loop_lag(self, seconds: float) -> None:
        """The loop turned so late."""
        self._lag.observe(seconds)

    def on_kernels(self, seconds: float) -> None:
        """All kernels are there."""
        self._kernels.set(seconds)


class StreamMetrics(Beats):
    """Counts what ``streams.observer.StreamObserver`` tells."""

    def __init__(self, registry: CollectorRegistry, beats: HeartbeatAges) -> None:
        self._beats = beats
        self._messages = counter(registry, "intake_messages", "Messages that intake read.", ["topic"])
        self._events = counter(registry, "intake_events", "Canonical events that intake routed.", ["topic"])
        self._clamped = counter(
            registry, "intake_clamped_events", "Events from the future, clamped.", ["topic"]
        )
        self._dead = counter(registry, "dead_letters", "Messages that could not be read.", ["stage", "error"])
        self._applied = counter(registry, "applied_events", "Events applied to user state.", ["partition"])
        self._applying = histogram(registry, "apply_seconds", "Applying one run of events.", WORK_SECONDS)
        self._signals = histogram(registry, "signals_block_bytes", "Size of a signals block.", SIZES)
        self._lists = counter(
            registry, "lists", "Lists published, by rung of the degradation ladder.", ["rung"]
        )
        self._degraded = counter(
            registry, "degraded_lists", "Lists that are not what they could be.", ["rung", "cause"]
        )
        self._overload = gauge(registry, "overload_level", "What is given up under overload; 0: nothing.")
        self._latency = histogram(
            registry,
            "event_to_recommendation_seconds",
            "From an event to the list that it triggered.",
            LIST_SECONDS,
        )
        self._batch = histogram(registry, "list_batch_lists", "Lists scored in one batch.", BATCH)
        self._scoring = histogram(registry, "list_batch_seconds", "Scoring one batch of lists.", WORK_SECONDS)
        self._shed = counter(registry, "shed_triggers", "Triggers that got no list of their own.", ["reason"])
        self._checkpoints = histogram(
            registry, "checkpoint_seconds", "Making dirty blocks durable.", WAIT_SECONDS
        )
        self._blocks = counter(registry, "checkpoint_blocks", "User blocks written.", ["partition"])
        self._written = histogram(registry, "checkpoint_bytes", "Size of one checkpoint.", SIZES)
        self._takeovers = histogram(registry, "takeover_seconds", "Taking a partition over.", WAIT_SECONDS)
        self._undecided = counter(
            registry, "takeover_undecided_triggers", "Triggers found without a decision."
        )
        self._rows = counter(registry, "learned_rows", "Rows of the signals log that the folds took.")
        self._learning = histogram(registry, "learn_slice_seconds", "One slice of learning.", WORK_SECONDS)
        self._offset = gauge(registry, "learned_offset", "Offset of the signals log that is learned.")
        self._lag = gauge(registry, "learner_lag_blocks", "Signals blocks not learned yet.")
        self._snapshots = histogram(registry, "snapshot_seconds", "Writing a snapshot.", WAIT_SECONDS)
        self._snapshot_size = gauge(registry, "snapshot_bytes", "Size of the newest snapshot.")
        self._unwritten = counter(registry, "failed_snapshots", "Snapshots that could not be written.")

        self._publishing = histogram(
            registry, "models_publish_seconds", "Publishing a version of the models.", WAIT_SECONDS
        )
        self._published = gauge(registry, "models_bytes", "Size of the newest version published.")
        self._adopting = histogram(
            registry, "models_adopt_seconds", "Taking a published version over.", WORK_SECONDS
        )
        self._adopted = gauge(registry, "models_offset", "Offset of the signals log in the models in use.")
        self._age = gauge(registry, "models_age_seconds", "Since the models in use were published.")
        place = ["topic", "partition"]
        self._behind = gauge(registry, "consumer_lag_records", "Records that are not done yet.", place)
        self._stuck = gauge(
            registry, "partition_stuck_seconds", "How long a partition stands while its log grows.", place
        )
        for rung in RUNGS:
            self._lists.labels(rung)

    def on_intake(self, topic: str, messages: int, events: int, clamped: int) -> None:
        """Intake read ``messages`` and routed ``events``; ``clamped`` had a time in the future."""
        self._messages.labels(topic).inc(messages)
        self._events.labels(topic).inc(events)
        self._clamped.labels(topic).inc(clamped)

    def on_dead_letter(self, stage: str, error: str) -> None:
        """A message could not be read."""
        self._dead.labels(stage, error).inc()

    def on_applied(self, partition: int, events: int, seconds: float) -> None:
        """User state took a run of events."""
        self._applied.labels(str(partition)).inc(events)
        self._applying.observe(seconds)

    def on_signals(self, partition: int, size: int) -> None:
        """A signals block was appended."""
        del partition
        self._signals.observe(size)

    def on_list(self, rung: str, seconds: float) -> None:
        """A list was published."""
        self._lists.labels(rung).inc()
        self._latency.observe(seconds)

    def on_degraded(self, rung: str, cause: str) -> None:
        """A list is not what it could be."""
        self._degraded.labels(rung, cause).inc()

    def on_overload(self, level: int) -> None:
        """So much is given up."""
        self._overload.set(level)

    def on_batch(self, lists: int, seconds: float) -> None:
        """Lists were scored in one batch."""
        self._batch.observe(lists)
        self._scoring.observe(seconds)

    def on_shed(self, reason: str, triggers: int) -> None:
        """Triggers were dropped."""
        self._shed.labels(reason).inc(triggers)

    def on_checkpoint(self, partition: int, blocks: int, size: int, seconds: float) -> None:
        """Dirty blocks were made durable."""
        self._blocks.labels(str(partition)).inc(blocks)
        self._written.observe(size)
        self._checkpoints.observe(seconds)

    def on_takeover(self, partition: int, blocks: int, undecided: int, seconds: float) -> None:
        """A partition was taken over."""
        del partition, blocks
        self._undecided.inc(undecided)
        self._takeovers.observe(seconds)

    def on_learned(self, offset: int, rows: int, seconds: float) -> None:
        """The learner folded a slice."""
        self._offset.set(offset)
        self._rows.inc(rows)
        self._learning.observe(seconds)

    def on_learner_lag(self, blocks: int) -> None:
        """So many blocks are not learned yet."""
        self._lag.set(blocks)

    def on_snapshot(self, offset: int, size: int, seconds: float) -> None:
        """A snapshot was written."""
        del offset
        self._snapshot_size.set(size)
        self._snapshots.observe(seconds)

    def on_snapshot_failed(self) -> None:
        """A snapshot could not be written."""
        self._unwritten.inc()

    def on_published(self, offset: int, size: int, seconds: float) -> None:
        """A version was published."""
        del offset
        self._published.set(size)
        self._publishing.observe(seconds)

    def on_adopted(self, offset: int, rows: int, seconds: float) -> None:
        """A version was taken over."""
        del rows
        self._adopted.set(offset)
        self._adopting.observe(seconds)

    def on_models_age(self, seconds: float) -> None:
        """The models in use are so old."""
        self._age.set(seconds)

    def on_progress(self, topic: str, partition: int, lag: int, stuck_seconds: float) -> None:
        """A partition is so far behind, and stuck for so long."""
        self._behind.labels(topic, str(partition)).set(lag)
        self._stuck.labels(topic, str(partition)).set(stuck_seconds)

    def on_partition_gone(self, topic: str, partition: int) -> None:
        """Its figures are another process's now."""
        self._beats.on_partition_gone(topic, partition)
        self._behind.remove(topic, str(partition))
        self._stuck.remove(topic, str(partition))


class EncoderMetrics:
    """Counts what ``workers.encoder.observer.EncoderObserver`` tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._texts = counter(registry, "encoder_texts", "Texts encoded.")
        self._tokens = counter(registry, "encoder_tokens", "Tokens of the texts encoded.")
        self._padded = counter(registry, "encoder_padded_tokens", "Tokens computed, padding included.")
        self._seconds = histogram(registry, "encoder_batch_seconds", "Encoding one batch.", WORK_SECONDS)
        self._hits = counter(registry, "encoder_cache_hits", "Vectors that came from a cache.", ["level"])
        self._joined = counter(registry, "encoder_joined_texts", "Texts that were in flight already.")
        self._failed = counter(registry, "encoder_failed_texts", "Texts that could not be encoded.")
        self._open = gauge(registry, "encoder_cache_circuit_open", "1 while Redis is left alone.")

    def batch_encoded(self, texts: int, tokens: int, padded: int, seconds: float) -> None:
        """A batch left the encoder."""
        self._texts.inc(texts)
        self._tokens.inc(tokens)
        self._padded.inc(padded)
        self._seconds.observe(seconds)

    def cache_hit(self, level: str, texts: int) -> None:
        """Vectors came from a cache."""
        self._hits.labels(level).inc(texts)

    def text_joined(self) -> None:
        """A text was already being encoded."""
        self._joined.inc()

    def text_failed(self) -> None:
        """A text could not be encoded."""
        self._failed.inc()

    def circuit_opened(self, reason: str) -> None:
        """Redis is left alone."""
        del reason
        self._open.set(1)

    def circuit_closed(self) -> None:
        """Redis answers again."""
        self._open.set(0)


class EncodeMetrics:
    """Counts what ``streams.encode.EncodeObserver`` tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._embeddings = counter(registry, "encode_embeddings", "Vectors of items sent.")
        self._unchanged = counter(
            registry, "encode_unchanged_items", "Updates of items that left their text."
        )
        self._tombstones = counter(registry, "encode_tombstones", "Items delisted, or left without a text.")
        self._refused = counter(registry, "encode_refused_items", "Items that cannot be read or encoded.")

    def embedding_published(self) -> None:
        """A vector was sent."""
        self._embeddings.inc()

    def item_unchanged(self) -> None:
        """An update left the text as it was."""
        self._unchanged.inc()

    def item_without_text(self) -> None:
        """An item was delisted, or has no text."""
        self._tombstones.inc()

    def item_refused(self, error_class: str) -> None:
        """An item cannot be read or encoded."""
        del error_class
        self._refused.inc()


class ViewMetrics(Beats):
    """Counts what ``streams.view.ViewObserver`` tells."""

    def __init__(self, registry: CollectorRegistry, beats: HeartbeatAges) -> None:
        self._beats = beats
        self._stored = counter(registry, "redis_view_lists", "Lists written to the Redis view.")
        self._refused = counter(registry, "redis_view_unreadable_lists", "Lists that could not be read.")
        self._lost = counter(registry, "redis_view_losses", "Times that Redis had lost the view.")
        self._failed = counter(registry, "redis_view_failures", "Times that Redis did not answer.")

    def lists_stored(self, lists: int) -> None:
        """Lists were written."""
        self._stored.inc(lists)

    def list_refused(self) -> None:
        """A message could not be read."""
        self._refused.inc()

    def view_lost(self) -> None:
        """Redis does not hold what was written."""
        self._lost.inc()

    def redis_failed(self, reason: str) -> None:
        """Redis did not answer."""
        del reason
        self._failed.inc()


class ApiMetrics(Beats):
    """Counts what ``deploy.api.observer.ApiObserver`` tells."""

    def __init__(self, registry: CollectorRegistry, causal: CausalGauges, beats: HeartbeatAges) -> None:
        self._beats = beats
        self._http = histogram(
            registry, "http_request_seconds", "Answering HTTP requests.", HTTP_SECONDS, ["route", "status"]
        )
        self._events = counter(registry, "seen_events", "Events read back from the log.", ["kind"])
        self._lists = counter(registry, "seen_lists", "Lists read from recommendations.", ["rung", "arm"])
        self._degraded = counter(
            registry,
            "answered_lower_lists",
            "Requests answered from a lower rung.",
            ["rung", "cause"],
        )
        self._latency = histogram(
            registry, "seen_event_to_recommendation_seconds", "Event to list, by record times.", LIST_SECONDS
        )
        self._unreadable = counter(
            registry, "unreadable_records", "Records passed over by the view.", ["topic"]
        )
        self._unstored = counter(
            registry, "stored_list_failures", "Times that the API found no Redis to look a list up in."
        )
        self._viewers = gauge(registry, "page_viewers", "Live pages that are open.")
        self._ndcg = gauge(registry, "component_ndcg_ratio", "Live prequential NDCG@10.", ["component"])
        self._overlap = gauge(
            registry, "component_overlap_ratio", "Live overlap with other components' lists.", ["component"]
        )
        self._agreement = gauge(registry, "agreement_ratio", "Live overlap, mean over the components.")
        self._drift = counter(registry, "drift", "Changes of level that adaptive windows found.", ["stream"])
        self._causal = causal

    def on_response(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._http.labels(route, f"{status // 100}xx").observe(seconds)

    def on_event(self, kind: str) -> None:
        """An event was read back."""
        self._events.labels(kind).inc()

    def on_list(self, rung: str, arm: str) -> None:
        """A list was read."""
        self._lists.labels(rung, arm).inc()

    def on_degraded(self, rung: str, cause: str) -> None:
        """A request was answered from a lower rung."""
        self._degraded.labels(rung, cause).inc()

    def on_latency(self, seconds: float) -> None:
        """A list followed its trigger by so much."""
        self._latency.observe(seconds)

    def on_scores(self, ndcg: dict[str, float]) -> None:
        """Live NDCG@10 by component."""
        for component, value in ndcg.items():
            self._ndcg.labels(component).set(value)

    def on_overlaps(self, overlap: dict[str, float]) -> None:
        """Live overlap by component."""
        for component, value in overlap.items():
            self._overlap.labels(component).set(value)

    def on_agreement(self, overlap: float) -> None:
        """Live overlap over all components."""
        self._agreement.set(overlap)

    def on_report(self, report: CausalReport) -> None:
        """A causal report was read."""
        self._causal.set(report)

    def on_drift(self, stream: str) -> None:
        """The level of a stream has changed."""
        self._drift.labels(stream).inc()

    def on_unreadable(self, topic: str) -> None:
        """A record could not be read."""
        self._unreadable.labels(topic).inc()

    def on_viewers(self, count: int) -> None:
        """So many pages are open."""
        self._viewers.set(count)

    def on_stored_failed(self) -> None:
        """The Redis view did not answer."""
        self._unstored.inc()


class AuditMetrics(Beats):
    """Counts what ``streams.auditor.AuditObserver`` tells."""

    def __init__(self, registry: CollectorRegistry, causal: CausalGauges, beats: HeartbeatAges) -> None:
        self._beats = beats
        self._rows = counter(registry, "audited_rows", "Exposures and rewards that the auditor counted.")
        self._lag = gauge(registry, "audit_lag_blocks", "Signals blocks that are not audited yet.")
        self._corrupt = counter(registry, "audit_corrupt_records", "Records of signals that are no blocks.")
        self._switches = counter(registry, "audit_switches", "Orders to serve the safe policy.")
        self._refused = counter(registry, "audit_refused_snapshots", "Snapshots that could not be used.")
        self._unwritten = counter(registry, "audit_failed_snapshots", "Snapshots that could not be written.")
        self._causal = causal

    def on_folded(self, rows: int, lag: int) -> None:
        """A run of blocks was counted."""
        self._rows.inc(rows)
        self._lag.set(lag)

    def on_corrupt(self, offset: int, reason: str) -> None:
        """A record of ``signals`` is no block."""
        del offset, reason
        self._corrupt.inc()

    def on_report(self, report: CausalReport) -> None:
        """A report was made."""
        self._causal.set(report)

    def on_switch(self, row: PolicySwitch) -> None:
        """The safe policy was ordered."""
        del row
        self._switches.inc()

    def on_snapshot_refused(self, reason: str) -> None:
        """A snapshot could not be used."""
        del reason
        self._refused.inc()

    def on_snapshot_failed(self, reason: str) -> None:
        """A snapshot could not be written."""
        del reason
        self._unwritten.inc()
