"""What an event process needs before it can serve, each with the reason why not."""

from deploy.health import Check, Health
from deploy.kernels import Kernels
from streams.app import StreamApp

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
        lag = runtime.learner.lag
        return None if lag < MAX_LEARNER_LAG else f"{lag} signals blocks are not learned yet"

    checks = {
        "partitions": partitions,
        "catalogue": catalogue,
        "learner": learner,
        "progress": runtime.stalls.why,
    }
    started = {name: once_started(check) for name, check in checks.items()}
    health = Health({"kernels": kernels.missing, **started})
    health.note("snapshots", once_started(lambda: runtime.learner.unwritten))
    return health
