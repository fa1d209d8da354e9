"""Prometheus instruments under our prefix, in one registry."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


def counter(registry: CollectorRegistry, name: str, help: str, labels: Sequence[str] = ()) -> Counter:  # noqa: A002
    """A counter of ours; ``_total`` is added to its name."""
    return Counter(name, help, labels, namespace="streamwise", registry=registry)


def gauge(registry: CollectorRegistry, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:  # noqa: A002
    """A gauge of ours."""
    return Gauge(name, help, labels, namespace="streamwise", registry=registry)


def histogram(
    registry: CollectorRegistry,
    name: str,
    help: str,  # noqa: A002
    buckets: Sequence[float],
    labels: Sequence[str] = (),
) -> Histogram:
    """A histogram of ours."""
    return Histogram(name, help, labels, namespace="streamwise", registry=registry, buckets=buckets)
