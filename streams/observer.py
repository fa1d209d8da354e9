"""What the streams tell whoever listens: facts, named as they happened; the default listens to nothing."""

from typing import Protocol


class StreamObserver(Protocol):
    """Told what happens; must be quick and must not raise."""

    def on_intake(self, topic: str, messages: int, events: int, clamped: int) -> None:
        """Intake read ``messages`` and routed ``events``; ``clamped`` had a time in the future."""

    def on_dead_letter(self, stage: str, error: str) -> None:
        """A message could not be read; ``error`` is the class of what was wrong."""

    def on_applied(self, partition: int, events: int, seconds: float) -> None:
        """User state took a run of events; ``seconds`` of work."""

    def on_signals(self, partition: int, size: int) -> None:
        """A signals block of ``size`` bytes was appended."""

    def on_list(self, rung: str, seconds: float) -> None:
        """A list was published, ``seconds`` after the event that triggered it happened."""

    def on_degraded(self, rung: str, cause: str) -> None:
        """A list was published that is not what it could be: on a lower rung, or without something."""

    def on_overload(self, level: int) -> None:
        """So much is given up now (``streams.overload.Level``); 0: nothing."""

    def on_batch(self, lists: int, seconds: float) -> None:
        """``lists`` were scored in one batch, in ``seconds``."""

    def on_shed(self, reason: str, triggers: int) -> None:
        """Triggers were dropped: superseded, late, or too many."""

    def on_checkpoint(self, partition: int, blocks: int, size: int, seconds: float) -> None:
        """Dirty blocks of a partition were made durable."""

    def on_takeover(self, partition: int, blocks: int, undecided: int, seconds: float) -> None:
        """A partition was taken over; ``undecided`` triggers of its log had no decision."""

    def on_learned(self, offset: int, rows: int, seconds: float) -> None:
        """The learner folded a slice of the signals block at ``offset``."""

    def on_learner_lag(self, blocks: int) -> None:
        """How many blocks of the signals log the learner has not folded yet."""

    def on_snapshot(self, offset: int, size: int, seconds: float) -> None:
        """The learner wrote a snapshot of the log up to ``offset``."""

    def on_snapshot_failed(self) -> None:
        """A snapshot could not be written; it is tried again at the next interval."""

    def on_published(self, offset: int, size: int, seconds: float) -> None:
        """The learner published a version of the models, of the log up to ``offset``."""

    def on_adopted(self, offset: int, rows: int, seconds: float) -> None:
        """An event process took a version over; ``seconds`` of work."""

    def on_models_age(self, seconds: float) -> None:
        """The models that lists are made of were published so long ago."""

    def on_progress(self, topic: str, partition: int, lag: int, stuck_seconds: float) -> None:
        """A partition is ``lag`` records behind; it is stuck for so long (0: it is not)."""

    def on_partition_gone(self, topic: str, partition: int) -> None:
        """The partition belongs to somebody else now."""

    def on_heartbeat(self, stage: str, topic: str, partition: int, ts: int) -> None:
        """A heartbeat that set out at ``ts`` has come to a stage by a partition."""


class NullObserver:
    """Listens to nothing."""

    def on_intake(self, topic: str, messages: int, events: int, clamped: int) -> None:
        """Ignore."""

    def on_dead_letter(self, stage: str, error: str) -> None:
        """Ignore."""

    def on_applied(self, partition: int, events: int, seconds: float) -> None:
        """Ignore."""

    def on_signals(self, partition: int, size: int) -> None:
        """Ignore."""

    def on_list(self, rung: str, seconds: float) -> None:
        """Ignore."""

    def on_degraded(self, rung: str, cause: str) -> None:
        """Ignore."""

    def on_overload(self, level: int) -> None:
        """Ignore."""

    def on_batch(self, lists: int, seconds: float) -> None:
        """Ignore."""

    def on_shed(self, reason: str, triggers: int) -> None:
        """Ignore."""

    def on_checkpoint(self, partition: int, blocks: int, size: int, seconds: float) -> None:
        """Ignore."""

    def on_takeover(self, partition: int, blocks: int, undecided: int, seconds: float) -> None:
        """Ignore."""

    def on_learned(self, offset: int, rows: int, seconds: float) -> None:
        """Ignore."""

    def on_learner_lag(self, blocks: int) -> None:
        """Ignore."""

    def on_snapshot(self, offset: int, size: int, seconds: float) -> None:
        """Ignore."""

    def on_snapshot_failed(self) -> None:
        """Ignore."""

    def on_published(self, offset: int, size: int, seconds: float) -> None:
        """Ignore."""

    def on_adopted(self, offset: int, rows: int, seconds: float) -> None:
        """Ignore."""

    def on_models_age(self, seconds: float) -> None:
        """Ignore."""

    def on_progress(self, topic: str, partition: int, lag: int, stuck_seconds: float) -> None:
        """Ignore."""

    def on_partition_gone(self, topic: str, partition: int) -> None:
        """Ignore."""

    def on_heartbeat(self, stage: str, topic: str, partition: int, ts: int) -> None:
        """Ignore."""
