"""What an event process needs before it can serve, each with the reason why not."""

from deploy.health import Check, Health
from deploy.kernels import Kernels
from streams.app import StreamApp
from streams.learning import Learning

MAX_LEARNER_LAG = 1000


def of_stream(app: StreamApp, kernels: Kernels) -> Health:
    """Ready when kernels are compiled, partitions taken over, the catalogue read, and learning keeps up."""
    runtime = app.runtime

    def once_started(check: Check) -> Check:
        return lambda: check() if runtime.started else "starting"

    def partitions() -> str | None:
        return None if runtime.users.ready else "partitions are being taken over"

    def catalogue() -> str | None:
        return None if runtime.catalogue.caught_up.is_set() else "the catalogue is being read"

    def learner() -> str | None:
        if runtime.models is not None:
            return runtime.models.why()
        lag = runtime.learner.lag
        return None if lag < MAX_LEARNER_LAG else f"{lag} signals blocks are not learned yet"

    checks = {
        "partitions": partitions,
        "catalogue": catalogue,
        "learner": learner,
        "progress": runtime.stalls.why,
        "overload": runtime.overload.why,
    }
    started = {name: once_started(check) for name, check in checks.items()}
    if runtime.models is not None:  # what the start may be waiting for
        started["learner"] = learner
    health = Health({"kernels": kernels.missing, **started})
    health.note("ladder", once_started(runtime.ladder.why))
    health.note("snapshots", once_started(lambda: runtime.learner.unwritten))
    return health


def of_learner(learning: Learning, kernels: Kernels) -> Health:
    """Ready when kernels are compiled, learning keeps up, and what is learned is published."""

    def learner() -> str | None:
        lag = learning.lag
        if lag is None:
            return "starting"
        return None if lag < MAX_LEARNER_LAG else f"{lag} signals blocks are not learned yet"

    checks = {"learner": learner, "models": learning.why, "progress": learning.stalls.why}
    health = Health({"kernels": kernels.missing, **checks})
    health.note("snapshots", lambda: learning.unwritten)
    return health
