"""The shop front: who comes when, what they are shown, what they do.  No Kafka and no clock in here.

A household that will really go shopping opens the shop front some time before (a *session*), asks for
its list, looks at it, clicks by the click law, looks at the list that its click brought, and leaves.
Then it buys what it really bought.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from deploy.simulator.click_law import ClickLaw
from deploy.simulator.households import DAY, Households, Trip
from deploy.simulator.ledger import Ledger
from schemas.events import Click, Fact, Impression, Purchase, Request
from schemas.recommendations import Recommendation
from schemas.topics import Topic

LOOK_SECONDS = 0.3
PATIENCE_SECONDS = 5.0
LEAD = DAY // 2
MAX_PENDING = 100_000


class Message(NamedTuple):
    """What goes to Kafka."""

    topic: Topic
    fact: Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How simulated time runs.

    Parameters
    ----------
    wall
        Real seconds (of any monotonic clock) when the simulation begins.
    epoch_ms
        The same moment as milliseconds since the epoch: events are stamped with the time at which
        they are replayed, not with 2017.
    start
        Simulated second at that moment.
    day_seconds
        Real seconds that a simulated day takes.
    """

    wall: float
    epoch_ms: int
    start: int
    day_seconds: float

    def simulated(self, wall: float) -> int:
        """The simulated second at a real one."""
        return self.start + int((wall - self.wall) * DAY / self.day_seconds)

    def real(self, simulated: int) -> float:
        """The real second of a simulated one."""
        return self.wall + (simulated - self.start) * self.day_seconds / DAY

    def stamp(self, wall: float) -> int:
        """Milliseconds since the epoch of a real second."""
        return self.epoch_ms + round(1000 * (wall - self.wall))


@dataclass(slots=True)
class Session:
    """One visit to the shop front.

    Parameters
    ----------
    trip
        The real visit that follows.
    number
        Of this person's sessions: part of the random seed.
    accepts
        Ids of the events since the last list was looked at: a list for any of them is the next one.
    """

    trip: Trip
    user: str
    number: int
    until: float
    views: int = 0
    accepts: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How people use the shop front.

    Parameters
    ----------
    browse_share
        Of the real visits, how many begin with a session.
    stay
        Probability that a household looks on after it clicked.
    max_views
        Lists a session looks at, at most.
    k
        Length of the list that is asked for.
    """

    browse_share: float = 1.0
    stay: float = 0.7
    max_views: int = 5
    k: int = 10


class Shop:
    """The state of the shop front; ``seed`` fixes everything that is drawn, list by list."""

    def __init__(
        self,
        households: Households,
        law: ClickLaw,
        pace: Pace,
        ledger: Ledger,
        *,
        seed: int = 0,
        habits: Habits | None = None,
    ) -> None:
        self.households, self.law, self.pace, self.ledger = households, law, pace, ledger
        self.seed, self.habits = seed, habits or Habits()
        self._trips = households.trips(pace.start)
        self._next = next(self._trips)
        self._agenda: list[tuple[float, int, Trip | Session, Recommendation | None]] = []
        self._count = 0
        self._sessions: dict[str, Session] = {}
        self._visits: dict[str, int] = {}
        self._pending: dict[str, float] = {}

    def open(self, wall: float, epoch_ms: int) -> None:
        """Simulated time runs from now on."""
        self.pace = replace(self.pace, wall=wall, epoch_ms=epoch_ms)

    def history(self, since: int) -> Iterator[Message]:
        """What was bought from a simulated second to the start: the past that a new shop imports."""
        for trip in self.households.trips(since):
            if trip.seconds >= self.pace.start:
                return
            yield from self._purchases(trip, self.pace.real(trip.seconds))

    def due(self, now: float) -> list[Message]:
        """Everything that people do up to a real second, in order."""
        self._plan(now)
        out: list[Message] = []
        while self._agenda and self._agenda[0][0] <= now:
            when, _, what, shown = heapq.heappop(self._agenda)
            if isinstance(what, Trip):
                out += self._remember(self._purchases(what, when), now)
            elif shown is None:
                out += self._remember(self._open(what, when), now)
            else:
                out += self._remember(self._look(what, shown, when), now)
        self._expire(now)
        return out

    def on_list(self, shown: Recommendation, now: float) -> None:
        """A list was published: shown to its person if they wait for it."""
        sent = self._pending.pop(shown.trigger_id, None)
        self.ledger.received(shown.rung, None if sent is None else 1000 * (now - sent))
        session = self._sessions.get(shown.user_id)
        if session is not None and shown.trigger_id in session.accepts:
            session.accepts.clear()
            session.until = now + LOOK_SECONDS + PATIENCE_SECONDS
            self._schedule(now + LOOK_SECONDS, session, shown)

    def _plan(self, now: float) -> None:
        """Put on the agenda what begins up to now: sessions come before their visit."""
        while self.pace.real(self._next.seconds - LEAD) <= now:
            trip = self._next
            self._next = next(self._trips)
            self._schedule(self.pace.real(trip.seconds), trip)
            user = self.households.user_id(trip.household, trip.clone)
            rng = np.random.default_rng([self.seed, trip.household, trip.clone, trip.seconds])
            if rng.random() < self.habits.browse_share and user not in self._sessions:
                self._visits[user] = self._visits.get(user, 0) + 1
                begins = max(self.pace.real(trip.seconds - LEAD), self.pace.wall)
                session = Session(trip, user, self._visits[user], begins + PATIENCE_SECONDS)
                self._sessions[user] = session
                self._schedule(begins, session)

    def _schedule(self, when: float, what: Trip | Session, shown: Recommendation | None = None) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (when, self._count, what, shown))

    def _open(self, session: Session, when: float) -> Iterator[Message]:
        self.ledger.sessions += 1
        name = f"{session.user}:{session.number}:ask"
        session.until = when + PATIENCE_SECONDS
        session.accepts.add(name)
        yield Message(
            Topic.REQUESTS,
            Request(
                event_id=name,
                request_id=name,
                user_id=session.user,
                ts=self.pace.stamp(when),
                k=self.habits.k,
            ),
        )

    def _look(self, session: Session, shown: Recommendation, when: float) -> Iterator[Message]:
        """One list on the screen: impressions, clicks, purchases on impulse; then stay or leave."""
        session.views += 1
        trip, items = session.trip, [item.item_id for item in shown.items]
        relevance = self.households.relevance(trip.household, trip.clone, trip.seconds - LEAD, items)
        rng = np.random.default_rng([self.seed, trip.household, trip.clone, session.number, session.views])
        looked, clicked, bought = self.law.behave(relevance, shown.arm, rng)
        self.ledger.saw_list(
            session.user,
            shown.arm,
            clicks=int(clicked.sum()),
            expected=self.law.expected(relevance, shown.arm),
        )
        for kind, happened in ((Impression, looked), (Click, clicked), (Purchase, bought)):
            for position in np.flatnonzero(happened).tolist():
                yield self._reaction(kind, session, shown, position, when)
        if not (clicked.any() and session.views < self.habits.max_views and rng.random() < self.habits.stay):
            self._sessions.pop(session.user, None)

    def _reaction(
        self,
        kind: type[Impression] | type[Click] | type[Purchase],
        session: Session,
        shown: Recommendation,
        position: int,
        when: float,
    ) -> Message:
        topic = {Impression: Topic.IMPRESSIONS, Click: Topic.CLICKS, Purchase: Topic.PURCHASES}[kind]
        name = f"{session.user}:{session.number}:{session.views}:{topic.value[0]}{position}"
        if kind is not Impression:
            session.accepts.add(name)
        fact = kind(
            event_id=name,
            user_id=session.user,
            ts=self.pace.stamp(when),
            item_id=shown.items[position].item_id,
            decision_id=shown.decision_id,
            position=shown.items[position].position,
            session_id=f"{session.user}:{session.number}",
        )
        return Message(topic, fact)

    def _purchases(self, trip: Trip, when: float) -> Iterator[Message]:
        journey = self.households.journey
        user = self.households.user_id(trip.household, trip.clone)
        session = self._sessions.get(user)
        for line in trip.lines.tolist():
            quantity = float(journey.quantity[line])
            name = f"{user}:{trip.seconds}:{line}"
            if session is not None and session.accepts:
                session.accepts.add(name)
            fact = Purchase(
                event_id=name,
                user_id=user,
                ts=self.pace.stamp(when),
                item_id=journey.products[int(journey.product[line])],
                quantity=quantity,
                price=round(float(journey.value[line]) / quantity, 4),
                currency="USD",
            )
            yield Message(Topic.PURCHASES, fact)

    def _remember(self, messages: Iterator[Message], now: float) -> Iterator[Message]:
        for message in messages:
            self.ledger.sent[message.topic.value] += 1
            if message.topic is not Topic.IMPRESSIONS:
                self._pending[message.fact.event_id] = now
            yield message

    def _expire(self, now: float) -> None:
        """Sessions that got no list leave; events that never trigger one are forgotten."""
        for session in [s for s in self._sessions.values() if s.until < now]:
            self.ledger.unanswered += 1
            del self._sessions[session.user]
        while len(self._pending) > MAX_PENDING:
            del self._pending[next(iter(self._pending))]
