"""The live view: bounded, forgetful, and right about what it shows."""

import msgspec
import numpy as np
import pytest

from deploy.api.latency import EDGES_MS, Latencies
from deploy.api.lists import OVERHEAD, ListCache
from deploy.api.live import HOLD_MS
from deploy.api.scores import RollingScores
from deploy.api.tape import Entry, Rate, Tape
from deploy.api.titles import Titles
from schemas.catalogue import Item
from schemas.events import Erase, encode_event
from schemas.reports import CausalReport
from schemas.signals import Cover, ProbeRows, SignalBlock, encode_block
from schemas.topics import Topic
from tests.deploy.api.conftest import NOW, Filled, listed


def probes(ranks: np.ndarray, weight: float = 1.0, overlap: np.ndarray | None = None) -> ProbeRows:
    n = len(ranks)

    def zeros(dtype: str) -> np.ndarray:
        return np.zeros(n, dtype)

    return ProbeRows(
        item=zeros("<i4"), user=zeros("<u8"), ts=zeros("<i8"), offset=zeros("<i8"),
        weight=np.full(n, weight, "<f4"), arm=zeros("u1"), target=zeros("<i4"),
        cand_start=np.arange(n + 1, dtype="<i4"), cand_item=zeros("<i4"),
        features=np.zeros((n, 1), "<f4"), ranks=ranks.astype("<i2"), maturity=zeros("u1"), gap=zeros("u1"),
        overlap=np.zeros((n, 0), "<f4") if overlap is None else overlap.astype("<f4"),
    )  # fmt: skip


def report(number: int, **fields: object) -> CausalReport:
    given: dict[str, object] = {
        "report_id": f"r-{number}", "experiment": "launch", "metric": "click", "ts": NOW, "epoch": 0,
        "signals_offset": number, "n_treatment": 90, "n_holdout": 10, "events_treatment": 9,
        "events_holdout": 1, "estimate": 0.1, "lower": -0.2, "upper": 0.4, "log_e_down": 0.0,
        "log_e_up": 1.0, "log_e_srm": 0.0, "alpha": 0.01, "gates": (), "verdict": "running", "action": "none",
    }  # fmt: skip
    return CausalReport(**(given | fields))  # type: ignore[arg-type]


def test_before_and_after(filled: Filled) -> None:
    """A person's newest list stands beside the one that it replaced."""
    filled.list(listed("u", "tea", "jam", trigger="t-1"))
    filled.list(listed("u", "jam", "salt", trigger="t-2"), at=NOW + 30)
    change = filled.view.lists.change("u")
    assert change is not None
    assert change.before is not None
    assert (change.before.trigger_id, change.after.trigger_id, change.stood) == ("t-1", "t-2", NOW + 30)
    assert (change.move_of("jam", 0), change.move_of("salt", 1)) == (1, None)


def test_the_first_list_of_a_trigger_counts(filled: Filled) -> None:
    """A list that was published again, or a second one for the same trigger, changes nothing."""
    first = listed("u", "tea", trigger="t-1")
    filled.list(first)
    filled.list(first)
    filled.list(listed("u", "salt", trigger="t-1"))
    assert filled.view.lists.newest("u") == first
    assert sum(filled.view.rungs.values()) == 1


def test_a_restricted_list_answers_its_request_and_nothing_else(filled: Filled) -> None:
    """It is nobody's newest list, replaces none, wakes no page, and answers a repeated request again."""
    lists = filled.view.lists
    general = listed("u", "tea", "jam", trigger="t-1")
    special = listed("u", "salt", trigger="r-1", restricted=True)
    filled.list(special)
    assert lists.newest("u") is None
    filled.list(general)
    with filled.view.watch(("u",)) as changed:
        filled.list(special)
        filled.list(listed("u", "rice", trigger="r-2", restricted=True))
        assert not changed.is_set()
    assert lists.newest("u") == general
    assert lists.change("u").before is None
    assert lists.answer("u", "home", "r-1") == special
    assert lists.answer("u", "home", "t-1") == general
    assert lists.answer("u", "home", "r-3") is None
    assert lists.answer("v", "home", "r-1") is None
    lists.forget("u")
    assert (lists.answer("u", "home", "r-1"), lists.size) == (None, 0)


def test_lists_are_bounded_by_bytes() -> None:
    """Above the bound the lists that changed longest ago go; the account of bytes stays exact."""
    cache = ListCache(max_bytes=20_000)
    for n in range(500):
        user = f"u-{n % 90}"
        cache.add(msgspec.json.encode(listed(user, "tea", "jam", trigger=f"t-{n}")), NOW)
        assert cache.size <= 20_000
    held = [cache.change(f"u-{n}") for n in range(90)]
    whole = sum(
        OVERHEAD + len(msgspec.json.encode(c.after)) + (len(msgspec.json.encode(c.before)) if c.before else 0)
        for c in held
        if c
    )
    assert cache.size == whole
    assert cache.newest("u-49") is not None  # changed last


def test_remembered_events_are_bounded_by_bytes() -> None:
    """Above the bound the oldest go; the account stays exact when a person is forgotten."""
    tape = Tape(max_bytes=20_000)
    for n in range(500):
        tape.add(Entry(f"e{n}", f"u{n % 3}", "click", "x" * (n % 700), NOW), f"e{n}")
        assert tape.size <= 20_000
    assert tape.of("e499") is not None
    assert tape.of("e0") is None
    tape.forget("u1")
    held = [entry for n in range(500) if (entry := tape.of(f"e{n}"))]
    assert tape.size == sum(entry.size for entry in held) > 0


def test_titles_are_bounded_by_bytes() -> None:
    """Above the bound a further item is called by its id, until others have gone."""
    titles = Titles(max_bytes=10_000)
    for n in range(100):
        titles.put(f"i{n}", msgspec.json.encode(Item(item_id=f"i{n}", title=f"tea {n}", stock=n % 2)))
        titles.put(f"i{n}", msgspec.json.encode(Item(item_id=f"i{n}", title=f"green tea {n}", stock=n % 2)))
        assert titles.size <= 10_000
    assert titles.of("i0").text == "green tea 0"
    assert titles.of("i99").text == "i99"
    assert not titles.listable("i0")
    for n in range(100):
        titles.put(f"i{n}", msgspec.json.encode(Item(item_id=f"i{n}", title="x" * 10_000, stock=1)))
    assert titles.size == len(titles) == 0
    titles.put("i99", msgspec.json.encode(Item(item_id="i99", title="jam")))
    assert titles.of("i99").text == "jam"


def test_an_erased_person_is_forgotten(filled: Filled) -> None:
    """Nothing of an erased person stays: no list, no event, no trigger."""
    filled.click("u", "tea", "e-1")
    filled.click("v", "tea", "e-2")
    filled.list(listed("u", "jam", trigger="e-1"))
    filled.take(Topic.EVENTS, encode_event(Erase(user_id="u", ts=NOW)))
    view = filled.view
    assert view.lists.newest("u") is None
    assert view.tape.of("e-1") is None
    assert [entry.user_id for entry in view.tape.newest(10)] == ["v"]


@pytest.mark.parametrize("list_first", [False, True])
def test_latency_whichever_is_read_first(filled: Filled, *, list_first: bool) -> None:
    """Trigger and list come by different partitions: the order of reading does not matter."""

    def click() -> None:
        filled.click("u", "tea", "e-1", at=NOW)

    def answer() -> None:
        filled.list(listed("u", "jam", trigger="e-1"), at=NOW + 42)

    for step in (answer, click) if list_first else (click, answer):
        step()
    assert filled.view.latencies.quantile(0.5) == 42
    counted = filled.view.observer._latency.collect()  # type: ignore[attr-defined]
    total = next(s.value for s in next(iter(counted)).samples if s.name.endswith("_sum"))
    assert total == pytest.approx(0.042)


def test_a_redelivered_event_counts_once(filled: Filled) -> None:
    """The same event again changes neither the tape nor the rate."""
    for _ in range(3):
        filled.click("u", "tea", "e-1")
    assert len(filled.view.tape.newest(10)) == 1
    assert filled.view.event_rate.total == 1


def test_histogram_counts_every_latency() -> None:
    """Every measured latency is in exactly one bin, edges included in the lower one."""
    latencies = Latencies()
    for n, ms in enumerate((0, 1, 2, 3, 50, 51, 5_000, 5_001, 9_000)):
        latencies.on_trigger(f"t-{n}", NOW)
        latencies.on_list(f"t-{n}", NOW + ms)
    counts = latencies.histogram()
    assert sum(counts) == len(latencies) == 9
    assert counts[0] == 2
    assert counts[-1] == 2
    assert counts[EDGES_MS.index(50)] == 1


def test_only_the_last_minute_counts() -> None:
    """A slow start does not stay in the figures of a system that is fast now."""
    latencies = Latencies()
    for n, (at, ms) in enumerate(((0, 9_000), (59_000, 40), (61_000, 30), (75_000, 20))):
        latencies.on_trigger(f"t-{n}", NOW + at - ms)
        latencies.on_list(f"t-{n}", NOW + at)
    assert len(latencies) == 3
    assert latencies.quantile(0.99) == 40


def test_latencies_forget_triggers_without_lists() -> None:
    """Triggers that are never answered do not pile up."""
    latencies = Latencies(remembered=3)
    for n in range(10):
        latencies.on_trigger(f"t-{n}", NOW)
    assert latencies.on_list("t-0", NOW) is None
    assert latencies.on_list("t-9", NOW + 1) == 1


def test_scores_equal_a_plain_computation() -> None:
    """Rolling NDCG@10 is the mean over the last probes, computed one by one."""
    rng = np.random.default_rng(3)
    scores = RollingScores(window=80)
    ranks = rng.integers(0, 15, (137, 4))
    for start in range(0, 137, 20):
        scores.add(probes(ranks[start : start + 20]), ("popularity", "transitions"))
    last = ranks[-80:]
    names = ("popularity", "transitions", "fused", "rank fusion")
    expected = {
        name: np.mean([1 / np.log2(1 + r) if 1 <= r <= 10 else 0.0 for r in last[:, i]])
        for i, name in enumerate(names)
    }
    found = scores.scores()
    assert {s.name: s.ndcg for s in found} == pytest.approx(expected, rel=1e-5)
    assert [s.ndcg for s in found] == sorted((s.ndcg for s in found), reverse=True)
    assert np.mean(found[0].course) == pytest.approx(found[0].ndcg, rel=1e-5)


def test_scores_pass_over_dislikes_and_begin_anew_with_other_components() -> None:
    """Probes of negative weight are no successes; another build's components are not mixed in."""
    scores = RollingScores()
    scores.add(probes(np.ones((5, 3))), ("popularity",))
    scores.add(probes(np.ones((5, 3)), weight=-1.0), ("popularity",))
    assert len(scores) == 5
    scores.add(probes(np.ones((2, 4))), ("popularity", "content"))
    assert (len(scores), len(scores.scores())) == (2, 4)


def test_overlaps_are_means_of_what_was_measured() -> None:
    """Rolling overlaps are means over the last probes that had two lists; older probes have none."""
    rng = np.random.default_rng(4)
    scores = RollingScores(window=50)
    overlap = np.where(rng.random((70, 3)) < 0.3, np.nan, rng.random((70, 3)))
    overlap[:, 1] = np.nan
    scores.add(probes(np.ones((9, 4))), ("popularity", "content"))
    assert (scores.overlaps(), scores.agreement()) == ({}, None)
    for start in range(0, 70, 20):
        part = overlap[start : start + 20]
        scores.add(probes(np.ones((len(part), 4)), overlap=part), ("popularity", "content"))
    last = overlap[-50:]
    expected = {"popularity": np.nanmean(last[:, 0]), "fused": np.nanmean(last[:, 2])}
    assert scores.overlaps() == pytest.approx(expected, rel=1e-5)
    assert scores.agreement() == pytest.approx(expected["popularity"], rel=1e-5)
    assert {s.name: s.overlap is None for s in scores.scores()} == {
        "popularity": False, "content": True, "fused": False, "rank fusion": True,
    }  # fmt: skip


def test_probes_of_a_signals_block_reach_the_scores(filled: Filled) -> None:
    """A real block is decoded and its probes are shown and counted."""
    block = SignalBlock(
        cover=Cover(0, 0, -1, 3), items=("tea",), probes=probes(np.ones((4, 3))),
        feature_names=("f",), component_names=("popularity",),
    )  # fmt: skip
    filled.take(Topic.SIGNALS, encode_block(block))
    assert {s.name: s.ndcg for s in filled.view.scores.scores()} == {
        "popularity": 1.0, "fused": 1.0, "rank fusion": 1.0,
    }  # fmt: skip


def test_a_change_of_level_is_told(filled: Filled) -> None:
    """A thousand probes of rank 1, then a thousand of rank 10: it says so."""
    told: list[str] = []
    filled.view.observer.on_drift = told.append  # type: ignore[method-assign]
    for n, rank in enumerate([1.0, 10.0]):
        block = SignalBlock(
            cover=Cover(0, 0, n - 1, n), items=("tea",), probes=probes(np.full((1000, 3), rank)),
            feature_names=("f",), component_names=("popularity",),
        )  # fmt: skip
        filled.take(Topic.SIGNALS, encode_block(block))
    assert set(told) == {"fused reciprocal rank"}


def test_reports_are_kept_once_and_by_experiment(filled: Filled) -> None:
    """A replayed report changes nothing; a new experiment begins a new course."""
    for number in (1, 2, 2, 1):
        filled.take(Topic.CAUSAL_REPORTS, report(number))
    assert [r.report_id for r in filled.view.reports["click"]] == ["r-1", "r-2"]
    filled.take(Topic.CAUSAL_REPORTS, report(3, experiment="relaunch"))
    assert [r.report_id for r in filled.view.reports["click"]] == ["r-3"]


@pytest.mark.parametrize(
    "topic", [Topic.EVENTS, Topic.RECOMMENDATIONS, Topic.SIGNALS, Topic.CAUSAL_REPORTS, Topic.ITEMS]
)
@pytest.mark.parametrize("data", [b"", b"\xff", b"{", b"null", b"SWB1garbage", b'{"type": 5}'])
def test_poison_is_counted_and_passed_over(filled: Filled, topic: Topic, data: bytes) -> None:
    """Records that cannot be read cost nothing but a count; the next good one is shown."""
    filled.take(topic, data)
    assert filled.view.unreadable[topic.value] == 1
    filled.list(listed("u", "tea"))
    assert filled.view.lists.newest("u") is not None


def test_the_spotlight_holds(filled: Filled) -> None:
    """The automatic panel shows who acted, and stays long enough to be read."""
    for user in ("u", "v"):
        filled.click(user, "tea", f"e-{user}")
    filled.list(listed("u", "jam", trigger="e-u"))
    assert filled.view.spotlight(NOW) == "u"
    filled.list(listed("v", "jam", trigger="e-v"))
    assert filled.view.spotlight(NOW + HOLD_MS - 1) == "u"
    assert filled.view.spotlight(NOW + HOLD_MS) == "v"


async def test_waiting_is_fulfilled_by_the_trigger(filled: Filled) -> None:
    """Whoever waits for a request's answer gets that list and no other; all who wait share it."""
    first, second = filled.view.expect("r-1"), filled.view.expect("r-1")
    filled.list(listed("u", "salt", trigger="other"))
    assert not first.done()
    filled.list(listed("u", "tea", trigger="r-1"))
    assert (await first).items[0].item_id == (await second).items[0].item_id == "tea"


async def test_watchers_hear_of_their_people_only(filled: Filled) -> None:
    """A page wakes up for its own people, and leaves nothing behind when it closes."""
    with filled.view.watch(("u",)) as changed:
        filled.list(listed("v", "tea"))
        assert not changed.is_set()
        filled.list(listed("u", "tea"))
        assert changed.is_set()
    assert not filled.view._watchers


def test_rates_are_of_full_seconds() -> None:
    """The running second does not count yet, and old seconds no longer do."""
    rate = Rate(seconds=10)
    rate.add(1_000, 50)
    rate.add(2_500, 30)
    assert rate.per_second(2_900) == 5.0
    assert rate.per_second(3_000) == 8.0
    assert rate.per_second(60_000) == 0.0
