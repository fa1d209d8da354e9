"""``UserShard``: the state of the people of one ``events`` partition."""

from collections.abc import Iterable, Sequence

import numpy as np

from models.contexts import Contexts
from models.experiments import Experiment
from models.interning import Interner
from models.packed import Packed
from models.users import attribution, blocks, dedup, folding, history, moving, sections, seen
from models.users.applied import NO_CONTEXTS, NO_ROWS, Applied, contexts_of, join_runs, rows_of
from models.users.blocks import Captured, Origin
from models.users.checkpoint import Checkpoint
from models.users.columns import BARRIER, EventColumns, codes_of, collect
from models.users.dedup import MAX_HOURS, HighWater
from models.users.folding import CONTEXT, Input, Output, Rules, State, Tally
from models.users.names import NOBODY, Names
from models.users.people import BLOCK, HOLDOUT, REQUESTS, new_people
from models.users.pools import Mask, enlarge
from models.users.runs import arrays_of, cuts, input_of, new_output
from schemas.errors import SettingsError
from schemas.events import AnyEvent, Erase, Merge
from schemas.ids import stable_hash
from schemas.settings import ExperimentSettings, UserSettings
from schemas.signals import Arm, Int32, Int64, Kind, UInt8, UInt64

_HOUR = 3_600_000


def rules_of(settings: UserSettings) -> Rules:
    """The settings as the kernel reads them.

    Raises
    ------
    SettingsError
        ``users.dedup_hours`` is longer than ids can tell hours apart.
    """
    if settings.dedup_hours > MAX_HOURS:
        raise SettingsError(f"users.dedup_hours: {settings.dedup_hours}: at most {MAX_HOURS}")
    return Rules(
        history=settings.history,
        session_gap=round(settings.session_gap_seconds * 1000),
        window=round(settings.attribution_seconds * 1000),
        ids=settings.dedup_ids,
        id_hours=max(1, round(settings.dedup_hours)),
        open_each=settings.open_decisions,
        open_all=settings.open_total,
    )


class UserShard:
    """A fold of one ``events`` partition: histories, counters, recent ids, open decisions.

    Nothing but the arguments of ``apply`` enters: the same events give the same rows and the same
    bytes, however they are cut into runs, delivered again, or interrupted by a restart.

    Parameters
    ----------
    partition, incarnation
        Which partition of ``events``, and which life of it.
    items
        Universe slots of items, shared by all shards of a process.
    settings, experiment
        History length, windows, horizons; the arms of people.

    Attributes
    ----------
    applied
        Offset of the last event in the state.
    cover_end
        Up to where the rows given so far account for events.
    last_decided
        Offset of the last trigger that has a decision; kept for whoever decides.
    clock
        Newest time of the broker, ms.
    """

    def __init__(
        self,
        partition: int,
        incarnation: int,
        items: Interner,
        settings: UserSettings,
        experiment: ExperimentSettings,
    ) -> None:
        self.partition = partition
        self.incarnation = incarnation
        self.items = items
        self.rules = rules_of(settings)
        self.experiment = Experiment.of(experiment)
        self.names = Names()
        self.water = HighWater()
        self.applied = self.cover_end = self.last_decided = -1
        self.clock = 0
        self._subjects: dict[int, str] = {}
        self._erased: dict[int, tuple[int, int]] = {}
        self._marks: Int32 = np.zeros(0, np.int32)
        self._unordered = False
        self._state = State(
            people=new_people(),
            history=history.new_history(),
            recent=dedup.new_recent(),
            seen=seen.new_seen(),
            decisions=attribution.new_decisions(),
            dirty=np.zeros(0, np.uint8),
        )

    def __len__(self) -> int:
        """People in the state."""
        return self.names.used - len(self.names.free)

    # -- events

    def apply(
        self,
        events: Sequence[AnyEvent],
        offsets: Int64,
        broker_ts: Int64,
        *,
        want_contexts: UInt8 | None = None,
    ) -> Applied:
        """Fold a run of events, in order.

        Parameters
        ----------
        events
            Decoded, without poison.
        offsets, broker_ts
            Of their records, shape (n,), offsets rising; what is at or below ``applied`` is skipped.
        want_contexts
            1 for events before which the person's context is wanted (probes), shape (n,).

        Returns
        -------
        Applied
            Rows and what else the run gave; ``to`` is the last offset.
        """
        self._settle()
        wanted = np.zeros(len(events), np.uint8) if want_contexts is None else want_contexts
        known = int(np.searchsorted(offsets, self.applied, side="right"))
        if known:
            events, offsets, broker_ts = events[known:], offsets[known:], broker_ts[known:]
            wanted = wanted[known:]
        codes = codes_of(events)
        clock = np.maximum.accumulate(np.maximum(broker_ts, self.clock))
        parts: list[Applied] = []
        for a, b in cuts(codes):
            if codes[a] == BARRIER:
                parts.append(self._move(events[a], offsets[a:b], int(clock[a])))
            else:
                run = slice(a, b)
                parts.append(self._run(events[run], codes[run], offsets[run], clock[run], wanted[run], a))
        applied = self._gather(events, offsets, parts)
        applied.counts[Tally.REPLAYED] += known
        return applied

    def _gather(self, events: Sequence[AnyEvent], offsets: Int64, parts: list[Applied]) -> Applied:
        after = self.cover_end
        to = int(offsets[-1]) if len(offsets) else self.applied
        self.applied = to
        whole = parts[0] if len(parts) == 1 else join_runs(parts or [self._empty(events, offsets)])
        whole.after, whole.to, whole.events, whole.offsets = after, to, events, offsets
        if len(whole):
            self.cover_end = to
        return whole

    def _empty(self, events: Sequence[AnyEvent], offsets: Int64) -> Applied:
        return Applied(
            self.partition, self.incarnation, self.cover_end, self.applied, events, offsets,
            np.zeros(len(events), np.uint8), *NO_ROWS, np.zeros(0, np.int32), NO_CONTEXTS,
        )  # fmt: skip

    def _run(
        self,
        events: Sequence[AnyEvent],
        codes: UInt8,
        offsets: Int64,
        clock: Int64,
        wanted: UInt8,
        first: int,
    ) -> Applied:
        """Fold events among which there is no merge and no erasure."""
        columns = collect(events, codes, self.items, self.water)
        enlarge(self._state.people, self.names.used + len(events) + 1)
        tally = np.zeros(len(Tally), np.int64)
        user = self._users(columns, clock, tally)
        state = self._ready_state()
        run = input_of(columns, user, offsets, clock, wanted)
        out = new_output(columns, self._marks, wanted)
        begin = 0
        while begin < len(events):
            attribution.expire(
                state.decisions, state.people, int(clock[0]) - self.rules.window, self.rules.open_all
            )
            begin = folding.fold(state, self.rules, run, out, begin)
            if begin < len(events):
                self._make_room(run, out, begin, len(events) - begin)
        self.clock = int(clock[-1])
        applied = self._empty(events, offsets)
        applied.accepted = out.accepted
        applied.interactions, applied.exposures, applied.rewards = rows_of(
            columns, user, offsets, state.people, out
        )
        at, applied.contexts = contexts_of(columns, applied.interactions, wanted, out)
        applied.contexts_at = at + np.int32(first)
        applied.counts = tally + out.tally
        return applied

    def _users(self, columns: EventColumns, clock: Int64, tally: Int64) -> Int32:
        """The person of each event, ``NOBODY`` for what is not to be applied; new people are added."""
        names = columns.owners.hashes()
        known = columns.owner >= 0
        alive = known & self.water.is_new(columns.source, columns.source_offset, columns.source_index)
        tally[Tally.REDELIVERED] += int((known & ~alive).sum())
        if self._erased:
            barred = alive & self._barred(names, columns, clock)
            tally[Tally.BARRED] += int(barred.sum())
            alive &= ~barred
        create = np.ones(len(names), np.uint8)
        create[len(names) - len(columns.lists.event) :] = 0
        order = columns.owner[alive]
        slots, fresh = self.names.resolve(self._state.people, columns.owners, names, order, create)
        for k in fresh.tolist():
            self._enrol(int(slots[k]), columns.owner_names[k])
        user = np.full(len(alive), NOBODY, np.int32)
        user[alive] = slots[order]
        return user

    def _enrol(self, slot: int, name: str) -> None:
        people = self._state.people
        people["hash"][slot] = stable_hash(name)
        if self.experiment.arm_of(self._subjects.get(slot, name)) is Arm.HOLDOUT:
            people["flags"][slot] |= HOLDOUT

    def _barred(self, names: UInt64, columns: EventColumns, clock: Int64) -> Mask:
        """Events of erased people from before the erasure: they make nobody come back."""
        erased = np.array(list(self._erased), np.uint64)
        barred = np.append(np.isin(names, erased), np.False_)[columns.owner]
        for i in np.flatnonzero(barred).tolist():
            until, when = self._erased[int(names[columns.owner[i]])]
            barred[i] = columns.ts[i] <= until and when >= clock[i] - self._memory
        return barred

    def _ready_state(self) -> State:
        enlarge(self._state.dirty, (self.names.used + BLOCK) // BLOCK)
        enlarge(self._marks, len(self.items) + 1)
        return self._state

    def _make_room(self, run: Input, out: Output, at: int, left: int) -> None:
        """What event ``at`` needs, and some more so that the kernel is not stopped at each event."""
        s, event = self._state, run.event[at]
        me = s.people[event["user"]]
        history.make_room(s.history, 2 + left // 4)
        dedup.make_room(s.recent, 2 + left // 4)
        seen.make_room(s.seen, (seen.SMALLEST << (int(me["seen_class"]) + 1)) + seen.SMALLEST * left // 8)
        n_lists = len(run.list)
        attribution.make_room(s.decisions, n_lists + 1, len(run.shown) + n_lists + 1)
        if event["want_seen"]:
            more = int(me["past_n"]) + int(me["seen_n"])
            enlarge(out.seen_item, int(out.ends[3]) + more + 100 * left)

    # -- people who go

    def _move(self, event: AnyEvent, offsets: Int64, clock: int) -> Applied:
        self.clock = clock
        applied = self._empty([event], offsets)
        self._ready_state()
        if isinstance(event, Merge):
            self._merge(event)
        elif isinstance(event, Erase):
            slot = self.slot_of(event.user_id)
            self._erased[int(Packed([event.user_id]).hashes()[0])] = (event.ts, clock)
            self._erased = {h: e for h, e in self._erased.items() if e[1] >= clock - self._memory}
            if slot != NOBODY:
                self._remove(slot)
                applied.erased.append(event.user_id)
        return applied

    def _remove(self, slot: int) -> None:
        self.names.remove(self._state.people, slot)
        moving.erase(self._ready_state(), slot)
        self._state.people[slot] = 0
        self._subjects.pop(slot, None)
        self.names.clean(self._state.people)

    def _merge(self, event: Merge) -> None:
        """The known person takes over; a person who is new keeps the arm of the anonymous one."""
        a = self.slot_of(event.user_id)
        if a == NOBODY or event.user_id == event.into:
            return
        subject = self._subjects.get(a, event.user_id)
        enlarge(self._state.people, self.names.used + 2)
        b, new = self.names.add(self._state.people, event.into)
        if new:
            self._subjects[b] = subject
            self._enrol(b, event.into)
        moving.merge(self._ready_state(), self.rules, a, b)
        self._remove(a)

    # -- reading

    def slot_of(self, user_id: str) -> int:
        """The slot of a person, -1 if unknown."""
        return int(self.slots_of([user_id])[0])

    def slots_of(self, user_ids: Sequence[str]) -> Int32:
        """Slots of people, -1 where unknown, shape (n,)."""
        return self.names.find(self._state.people, Packed(user_ids))

    def arm_of(self, user_id: str) -> Arm:
        """A person's side of the experiment, known or not."""
        if not self._subjects:  # nobody has logged in: no need to look anybody up
            return self.experiment.arm_of(user_id)
        return self.experiment.arm_of(self._subjects.get(self.slot_of(user_id), user_id))

    def contexts(self, user_slots: Int32, now: Int64, *, limit: int = CONTEXT) -> Contexts:
        """People as the engine reads them, just before a list.

        Parameters
        ----------
        user_slots
            Slots, -1 for a stranger, shape (n,).
        now
            ms, shape (n,).
        limit
            Recent interactions per person.
        """
        self._settle()
        self._ready_state()
        s, n = self._state, len(user_slots)
        known = user_slots[user_slots >= 0]
        most_seen = int((s.people["past_n"][known] + s.people["seen_n"][known]).sum())
        past, held = np.zeros(n + 1, np.int32), np.zeros(n + 1, np.int32)
        slot, gap = np.empty(n * limit, np.int32), np.empty(n * limit, np.float32)
        kind, seen_slot = np.empty(n * limit, np.uint8), np.empty(most_seen, np.int32)
        age, hashes = np.zeros(n, np.int32), np.zeros(n, np.uint64)
        hashes[user_slots >= 0] = s.people["hash"][known]
        folding.read_people(
            s, user_slots, now, limit, self._marks, past, slot, gap, kind, held, seen_slot, age
        )
        end = past[-1]
        return Contexts(
            user=hashes, now=now, age=age, ctx_start=past, ctx_slot=slot[:end], ctx_gap=gap[:end],
            ctx_kind=kind[:end], seen_start=held, seen_slot=seen_slot[: held[-1]],
        )  # fmt: skip

    def counts_of(self, user_id: str) -> dict[str, int]:
        """A person's counters: events by kind, requests, sessions, open decisions."""
        slot = self.slot_of(user_id)
        if slot == NOBODY:
            return {}
        me = self._state.people[slot]
        named = {kind.name.lower(): int(me["counts"][kind]) for kind in Kind}
        return named | {
            "requests": int(me["counts"][REQUESTS]),
            "sessions": int(me["sessions"]),
            "open_decisions": int(me["open_n"]),
        }

    @property
    def open_decisions(self) -> int:
        """Decisions that are open, or whose time is over and not yet cleared away."""
        return int(self._state.decisions.queue[2])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(a.nbytes for a in arrays_of(self._state)) + self.names.nbytes + self._marks.nbytes

    # -- checkpoints

    def dirty_blocks(self) -> list[int]:
        """Blocks that changed since they were encoded, ascending."""
        return [int(b) for b in np.flatnonzero(self._state.dirty)]

    def encode_block(self, block: int) -> bytes:
        """Bytes of a block, which is clean from now on."""
        return self.capture_block(block).encode()

    def capture_block(self, block: int) -> Captured:
        """A copy of a block, which is clean from now on; it may be encoded later.

        All dirty blocks and the checkpoint belong together: capture them with nothing applied in between.
        """
        self._settle()
        self._ready_state()
        self._state.dirty[block] = 0
        return blocks.capture(self._state, self.rules, self.names, self.items, self._origin, block)

    def load_block(self, data: bytes) -> int:
        """Put the people of a block into a shard that does not have them; returns the block's number.

        Raises
        ------
        CorruptBlockError
            Names the block; the state is unchanged.
        ValueError
            The shard has people of this block.
        """
        block, arrays, meta = blocks.decode(data, self._origin)
        enlarge(self._state.people, (block + 1) * BLOCK + 1)
        if self._state.people["flags"][block * BLOCK : (block + 1) * BLOCK].any():
            raise ValueError(
                f"block {self.partition}/{block} is in this shard already: load it into a new one"
            )
        slots = blocks.load(self._state, self.rules, self.names, self.items, block, arrays)
        for row, subject in meta["subjects"]:
            self._subjects[row + block * BLOCK] = subject
        if meta["experiment"] != self.experiment.name:
            blocks.forget_experiment(self._state.people, slots)
            for slot in slots.tolist():
                self._enrol(slot, self.names.name_of(self._state.people, slot))
        self._unordered = True
        self._ready_state()
        return block

    def checkpoint(self) -> Checkpoint:
        """How far the state has come."""
        since = self.clock - self._memory
        return Checkpoint(
            partition=self.partition,
            incarnation=self.incarnation,
            applied=self.applied,
            cover_end=self.cover_end,
            last_decided=self.last_decided,
            clock=self.clock,
            sources=tuple(self.water.rows()),
            erased=tuple(sorted((h, ts, at) for h, (ts, at) in self._erased.items() if at >= since)),
        )

    def encode_checkpoint(self) -> bytes:
        """The checkpoint's bytes."""
        return self.checkpoint().encode()

    def load_checkpoint(self, data: bytes) -> None:
        """Go on from a checkpoint's bytes; blocks are loaded beside it."""
        self.restore(Checkpoint.decode(data), ())

    def restore(self, checkpoint: Checkpoint, saved: Iterable[bytes]) -> None:
        """Go on from a checkpoint and all blocks of the partition, in an empty shard.

        In another life of the topic its offsets begin anew; people stay.
        """
        if checkpoint.incarnation == self.incarnation:
            self.applied, self.cover_end = checkpoint.applied, checkpoint.cover_end
            self.last_decided = checkpoint.last_decided
        self.clock = checkpoint.clock
        self.water.load(list(checkpoint.sources))
        self._erased = {h: (ts, at) for h, ts, at in checkpoint.erased}
        for data in saved:
            self.load_block(data)

    @property
    def _memory(self) -> int:
        """How long an erasure bars late events, ms."""
        return self.rules.id_hours * _HOUR

    @property
    def _origin(self) -> Origin:
        return Origin(self.partition, self.experiment.name, self.clock, self._subjects)

    def _settle(self) -> None:
        if self._unordered:
            self._unordered = False
            sections.order_open(self._state.decisions, self._state.people)
