"""What the HTTP side tells whoever watches it, named after facts."""

from typing import Protocol

from schemas.reports import CausalReport


class ApiObserver(Protocol):
    """Hears every fact; must not raise and must not block."""

    def on_response(self, route: str, status: int, seconds: float) -> None:
        """A request to ``route`` (its template, never its values) was answered."""

    def on_event(self, kind: str) -> None:
        """An event was read back from ``events``."""

    def on_list(self, rung: str, arm: str) -> None:
        """A list was read from ``recommendations``."""

    def on_degraded(self, rung: str, cause: str) -> None:
        """A request was answered from a lower rung, by this process."""

    def on_latency(self, seconds: float) -> None:
        """A list followed its trigger by so much, both by the broker's record times."""

    def on_scores(self, ndcg: dict[str, float]) -> None:
        """Live NDCG@10 of each component, of the fused list and of rank fusion."""

    def on_overlaps(self, overlap: dict[str, float]) -> None:
        """Live mean overlap of each component's list with those of the others, and of the fused list."""

    def on_agreement(self, overlap: float) -> None:
        """Live mean overlap over all components."""

    def on_report(self, report: CausalReport) -> None:
        """A causal report was read."""

    def on_drift(self, stream: str) -> None:
        """The level of ``stream`` (fused rank, click rate) has changed."""

    def on_unreadable(self, topic: str) -> None:
        """A record of one of our own topics could not be read; it was passed over."""

    def on_viewers(self, count: int) -> None:
        """So many pages are open."""

    def on_heartbeat(self, stage: str, topic: str, partition: int, ts: int) -> None:
        """A heartbeat that set out at ``ts`` was read from ``recommendations``."""

    def on_stored_failed(self) -> None:
        """The Redis view did not answer; it is left alone for a while."""


class NullApiObserver:
    """Hears nothing."""

    def on_response(self, route: str, status: int, seconds: float) -> None:
        """Nothing."""

    def on_event(self, kind: str) -> None:
        """Nothing."""

    def on_list(self, rung: str, arm: str) -> None:
        """Nothing."""

    def on_degraded(self, rung: str, cause: str) -> None:
        """Ignore."""

    def on_latency(self, seconds: float) -> None:
        """Nothing."""

    def on_scores(self, ndcg: dict[str, float]) -> None:
        """Nothing."""

    def on_overlaps(self, overlap: dict[str, float]) -> None:
        """Nothing."""

    def on_agreement(self, overlap: float) -> None:
        """Nothing."""

    def on_report(self, report: CausalReport) -> None:
        """Nothing."""

    def on_drift(self, stream: str) -> None:
        """Nothing."""

    def on_unreadable(self, topic: str) -> None:
        """Nothing."""

    def on_viewers(self, count: int) -> None:
        """Nothing."""

    def on_heartbeat(self, stage: str, topic: str, partition: int, ts: int) -> None:
        """Nothing."""

    def on_stored_failed(self) -> None:
        """Ignore."""
