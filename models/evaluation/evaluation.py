"""One evaluation: a log through an engine under the protocol."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from models.evaluation.prequential import nothing, run
from models.evaluation.session import Session
from models.evaluation.tally import Tally
from models.evaluation.walk import LogEvent
from schemas.catalogue import Item
from schemas.settings import EngineSettings

NO_LIMIT = 1e9
"""Of rows per second: everything learns from every event, whatever the log's pace."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a log is evaluated.

    Parameters
    ----------
    settings
        Of the engine; its budgets by the second are lifted.
    every
        Every so-many-th event is a test.
    keep_seen
        People's own items may be listed and are tested too.
    catalogue
        All items are known from the start; else each just before its first event.
    """

    settings: EngineSettings = field(default_factory=EngineSettings)
    every: int = 5
    keep_seen: bool = False
    catalogue: bool = False

    def without(self, *names: str) -> "Plan":
        """The same with parts of the engine left out."""
        settings = msgspec.structs.replace(self.settings, without=(*self.settings.without, *names))
        return Plan(settings, self.every, self.keep_seen, self.catalogue)

    def session(self) -> Session:
        """A fresh engine."""
        settings = msgspec.structs.replace(
            self.settings, probes_per_second=NO_LIMIT, gradient_rows_per_second=NO_LIMIT
        )
        return Session(settings, exclude_seen=not self.keep_seen, seed=settings.seed)


def evaluate(
    plan: Plan,
    events: Sequence[LogEvent],
    items: Mapping[str, Item],
    *,
    progress: Callable[[], None] = nothing,
) -> Tally:
    """Walk a log.

    Parameters
    ----------
    events
        In the order of time.
    items
        What is known of items; their categories also measure how different listed items are.
    progress
        Called after every event.
    """
    session = plan.session()
    told = set(items) if plan.catalogue else set()
    if plan.catalogue:
        for item in items.values():
            session.describe(item)

    def describe(name: str) -> None:
        if name not in told:
            session.describe(items.get(name) or Item(item_id=name))

    categories = {name: frozenset(item.categories) for name, item in items.items() if item.categories}
    return run(
        events,
        session.test,
        session.observe,
        describe=describe,
        tally=Tally(categories),
        every=plan.every,
        keep_seen=plan.keep_seen,
        progress=progress,
    )
