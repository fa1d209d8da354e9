"""What the HTTP side knows: a small, bounded view in memory of our own topics.

Nothing here is the only copy of anything: the view is filled from the topics' tails when the process
starts and forgets what is old.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from deploy.api.latency import Latencies
from deploy.api.lists import ListCache
from deploy.api.observer import ApiObserver, NullApiObserver
from deploy.api.scores import RollingScores
from deploy.api.tape import SECONDS, Entry, Rate, Tape
from deploy.api.titles import Titles
from models.drift import DriftWatch
from schemas.errors import InvalidMessageError
from schemas.recommendations import Recommendation
from schemas.reports import CausalReport
from schemas.signals import decode_block
from schemas.topics import Topic

HOLD_MS = 9_000
RUNGS_SHOWN = 500
REPORTS_KEPT = 200
VISITOR = "visitor-"
"""Prefix of the ids of people who act on the live page."""

TELLING = frozenset({"click", "purchase", "cart", "like"})
"""Events after which a change of a list is worth showing."""


Upsert = Callable[[str, bytes | None], None]
"""Takes an item's key and its message; None: delisted."""


class _EventHead(msgspec.Struct, frozen=True, gc=False):
    """The part of a canonical event that the view needs; a decision's body is passed over."""

    type: str
    event_id: str = ""
    user_id: str = ""
    item_id: str = ""
    kind: str = ""
    request_id: str = ""


class _ListHead(msgspec.Struct, frozen=True, gc=False):
    trigger_id: str
    user_id: str
    arm: str
    rung: str = "full"
    restricted: bool = False


_events: msgspec.json.Decoder[_EventHead] = msgspec.json.Decoder(_EventHead)
_lists: msgspec.json.Decoder[_ListHead] = msgspec.json.Decoder(_ListHead)
_whole_lists: msgspec.json.Decoder[Recommendation] = msgspec.json.Decoder(Recommendation)
_reports: msgspec.json.Decoder[CausalReport] = msgspec.json.Decoder(CausalReport)


class LiveView:
    """Newest lists, event tape, latencies, live scores, causal reports and titles.

    Parameters
    ----------
    observer
        Hears every fact; the Prometheus adapter stands in ``deploy/metrics.py``.
    catalogue
        Also given every upsert of ``items``: key and value.
    """

    def __init__(self, observer: ApiObserver | None = None, catalogue: Upsert | None = None) -> None:
        self.observer: ApiObserver = observer or NullApiObserver()
        self._catalogue = catalogue
        self.lists = ListCache()
        self.tape = Tape()
        self.latencies = Latencies()
        self.scores = RollingScores()
        self.drift = DriftWatch()
        self.titles = Titles()
        self.event_rate = Rate()
        self.list_rate = Rate()
        self.reports: dict[str, deque[CausalReport]] = {}
        self.unreadable: Counter[str] = Counter()
        self._rungs: deque[str] = deque(maxlen=RUNGS_SHOWN)
        self._expected: dict[str, asyncio.Future[Recommendation]] = {}
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._spotlight = ("", 0)
        self._changed = ""
        self._takers: dict[Topic, Callable[[str, bytes, int, int], None]] = {
            Topic.EVENTS: self._take_event,
            Topic.RECOMMENDATIONS: self._take_list,
            Topic.SIGNALS: self._take_block,
            Topic.CAUSAL_REPORTS: self._take_report,
        }

    def take(self, topic: Topic, key: bytes | None, value: bytes | None, ts: int, now: int) -> None:
        """One record of one of our topics.

        Parameters
        ----------
        ts
            The record's time, ms.
        now
            This process's clock, ms.

        A record that cannot be read is counted and passed over: the view is not a judge of the log.
        """
        name = (key or b"").decode(errors="replace")
        try:
            if topic is Topic.ITEMS:
                self.titles.put(name, value)
                if self._catalogue is not None:
                    self._catalogue(name, value)
            elif value is not None:
                self._takers[topic](name, value, ts, now)
        except (msgspec.DecodeError, InvalidMessageError, UnicodeDecodeError):
            self.unreadable[topic.value] += 1
            self.observer.on_unreadable(topic.value)

    @property
    def rungs(self) -> Counter[str]:
        """How many of the newest lists were made on each rung."""
        return Counter(self._rungs)

    def spotlight(self, now: int) -> str:
        """The person whose list is worth a look: whose click just changed it, held for some seconds."""
        user, since = self._spotlight
        if self._changed and self._changed != user and (now - since >= HOLD_MS or not user):
            self._spotlight = (self._changed, now)
        return self._spotlight[0]

    def expect(self, trigger: str) -> "asyncio.Future[Recommendation]":
        """A future that the first list for ``trigger`` fulfils; shared by all who ask."""
        found = self._expected.get(trigger)
        if found is None:
            found = self._expected[trigger] = asyncio.get_running_loop().create_future()
            found.add_done_callback(lambda _: self._expected.pop(trigger, None))
        return found

    @contextmanager
    def watch(self, users: tuple[str, ...]) -> Iterator[asyncio.Event]:
        """An event that is set whenever the list of one of these people changes."""
        changed = asyncio.Event()
        for user in users:
            self._watchers.setdefault(user, set()).add(changed)
        try:
            yield changed
        finally:
            for user in users:
                self._watchers[user].discard(changed)
                if not self._watchers[user]:
                    del self._watchers[user]

    def _take_event(self, _: str, value: bytes, ts: int, now: int) -> None:
        head = _events.decode(value)
        if head.type == "erase":
            self.lists.forget(head.user_id)
            self.tape.forget(head.user_id)
        if not head.event_id:  # a decision, a tick, a merge: not something that a person did
            return
        trigger = head.request_id or head.event_id
        entry = Entry(head.event_id, head.user_id, head.kind or head.type, head.item_id, ts)
        if not self.tape.add(entry, trigger):
            return
        self._measured(self.latencies.on_trigger(trigger, ts))
        if now - ts < SECONDS * 1000:
            self.event_rate.add(ts)
        self.observer.on_event(entry.kind)

    def _take_list(self, _: str, value: bytes, ts: int, now: int) -> None:
        head = _lists.decode(value)
        if not self.lists.add(value, ts):
            return
        waiting = self._expected.get(head.trigger_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(_whole_lists.decode(value))
        self._measured(self.latencies.on_list(head.trigger_id, ts))
        self._rungs.append(head.rung)
        if now - ts < SECONDS * 1000:
            self.list_rate.add(ts)
        self.observer.on_list(head.rung, head.arm)
        if not head.restricted:
            self._list_changed(head)

    def _list_changed(self, head: _ListHead) -> None:
        for watcher in self._watchers.get(head.user_id, ()):
            watcher.set()
        cause = self.tape.of(head.trigger_id)
        if cause and cause.kind in TELLING and not head.user_id.startswith(VISITOR):
            self._changed = head.user_id

    def _take_block(self, _: str, value: bytes, ts: int, now: int) -> None:
        del ts, now
        block = decode_block(value)
        if len(block.probes):
            self.scores.add(block.probes, block.component_names)
            self.observer.on_scores({s.name: s.ndcg for s in self.scores.scores()})
            self.observer.on_overlaps(self.scores.overlaps())
            if (agreement := self.scores.agreement()) is not None:
                self.observer.on_agreement(agreement)
        for found in self.drift.watch(block):
            self.observer.on_drift(found.stream)

    def _take_report(self, _: str, value: bytes, ts: int, now: int) -> None:
        del ts, now
        report = _reports.decode(value)
        kept = self.reports.setdefault(report.metric, deque(maxlen=REPORTS_KEPT))
        if kept and kept[-1].experiment != report.experiment:
            kept.clear()
        if all(r.report_id != report.report_id for r in kept):
            kept.append(report)
            self.observer.on_report(report)

    def _measured(self, latency: int | None) -> None:
        if latency is not None:
            self.observer.on_latency(latency / 1000)
