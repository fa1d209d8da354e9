"""The ladder in the engine: a rung is reached when something is missing, says so, is exact, and is left."""

import msgspec
import numpy as np
import pytest

from models.engine import Engine
from models.policy.propensity import recompute
from models.requests import ListRequest
from schemas.catalogue import Item
from schemas.embeddings import Embedding
from schemas.events import Click
from schemas.ladder import EXPLANATIONS, WORDS, Cause, Rung
from schemas.popular import SEGMENTS, PopularItem, PopularLists, decode_popular, encode_popular
from schemas.settings import PolicySettings
from tests.models.policy.test_recommend import ITEMS, NOW, ask, engine, trained


@pytest.fixture(scope="module")
def learned() -> bytes:
    """Snapshot of an engine that learned from 1,500 clicks."""
    return trained().snapshot()


@pytest.fixture
def warm(learned: bytes) -> Engine:
    """A trained engine."""
    made = engine()
    made.restore(learned)
    return made


def draw(made: Engine, rung: Rung, cause: Cause, n: int = 40, **fields):
    """Lists of at most this rung; those of the holdout apart."""
    shard = made.open_shard(9)
    requests = [ListRequest(shard, f"u{i}", 8, f"t{i}", **fields) for i in range(n)]
    lists = made.recommend(requests, now=NOW, seed=3, rung=rung, cause=cause)
    assert [d.recommendation.trigger_id for d in lists] == [f"t{i}" for i in range(n)]
    exact(lists)
    arms = {"treatment": [], "holdout": []}
    for decision in lists:
        arms[decision.recommendation.arm].append(decision.recommendation)
    return arms["treatment"], arms["holdout"]


def exact(decisions) -> None:
    """Every probability equals its recomputation from the logged context."""
    for decision in decisions:
        again = recompute(decision.context, decision.recommendation.items)
        assert again.propensity == tuple(i.propensity for i in decision.recommendation.items)
        assert again.p_control == tuple(i.p_control for i in decision.recommendation.items)


def vectors(version: str = "1", count: int = ITEMS) -> list[Embedding]:
    rng = np.random.default_rng(1)
    return [
        Embedding.of(
            rng.normal(size=8).astype(np.float32),
            item_id=f"i{n}",
            model="m",
            version=version,
            modality="text",
            text_hash="",
            ts=0,
        )
        for n in range(count)
    ]


def marks(lists) -> set[tuple[str, str | None]]:
    return {(one.rung, one.cause) for one in lists}


def test_without_the_encoders_vectors(warm: Engine) -> None:
    """Never promised: full.  There: full.  Gone, or of an older version: marked.  There again: full."""
    full, marked = {("full", None)}, {("no-vectors", "vectors")}

    def found() -> set[tuple[str, str | None]]:
        out = ask(warm)
        exact(out)
        served = [d.recommendation for d in out if d.recommendation.arm == "treatment"]
        assert all((one.reason is None) == (one.rung == "full") for one in served)
        return marks(served)

    assert found() == full
    warm.embed(vectors())
    assert found() == full
    warm.unembed([f"i{n}" for n in range(ITEMS)])
    assert found() == marked
    warm.embed(vectors())
    assert found() == full
    warm.embed(vectors("2", ITEMS // 3))
    assert found() == marked
    warm.embed(vectors("2"))
    assert found() == full


def test_popular_in_the_segment(warm: Engine) -> None:
    """No time for more: what people in the same situation take; the holdout keeps its own policy."""
    treated, held = draw(warm, Rung.SEGMENT, Cause.DEADLINE)
    assert marks(treated) == {("segment-popular", "deadline")}
    assert {one.reason for one in treated} == {WORDS[Cause.DEADLINE]}
    assert {one.policy for one in treated} == {"treatment"}
    assert marks(held) == {("full", None)}
    named = {p for one in treated for i in one.items for p, value in i.parts.items() if value}
    assert named == {"popularity"}
    assert all(sum(i.parts.values()) == i.score for one in treated for i in one.items)
    assert not any(i.because for one in treated for i in one.items)


def test_the_segment_decides(warm: Engine) -> None:
    """Strangers and people with a history are shown what their like take."""
    shard = warm.open_shard(3)
    past = [Click(event_id=f"p{n}", user_id="known", ts=NOW, item_id=f"i{50 + n % 4}") for n in range(12)]
    for n in range(30):
        more = [msgspec.structs.replace(e, event_id=f"{e.event_id}-{n}") for e in past]
        offsets = np.arange(12 * n, 12 * n + 12)
        warm.learn(warm.observe(shard, more, offsets, broker_ts=np.full(12, NOW)))

    def shown(user: str) -> set[str]:
        found = [
            warm.recommend(
                [ListRequest(shard, user, 4, f"t{n}", exclude_seen=False)], now=NOW, seed=n, rung=Rung.SEGMENT
            )
            for n in range(5)
        ]
        return {i.item_id for (d,) in found for i in d.recommendation.items}

    assert warm.policy.view.experiment.arm_of("known") == 0
    stranger = next(u for u in map(str, range(99)) if warm.policy.view.experiment.arm_of(u) == 0)
    assert shown("known") & {f"i{n}" for n in range(50, 54)}
    assert shown("known") != shown(stranger)


def test_popular_with_everybody_where_the_segment_knows_too_few(warm: Engine) -> None:
    """Eight are wanted, the segment has none: one rung lower, with the same cause."""
    warm.popularity.filled[3:] = 0
    treated, _ = draw(warm, Rung.SEGMENT, Cause.DEADLINE)
    assert marks(treated) == {("global-popular", "deadline")}


def test_popular_with_everybody(warm: Engine) -> None:
    """The learner is behind: the safe policy's list, said to be one; its probability is the control's."""
    treated, held = draw(warm, Rung.GLOBAL, Cause.LEARNER)
    assert marks(treated) == {("global-popular", "learner")}
    assert {one.policy for one in treated} == {"safe"}
    assert marks(held) == {("full", None)}
    assert all(i.propensity == i.p_control for one in treated for i in one.items)


@pytest.mark.parametrize("rung", [Rung.SEGMENT, Rung.GLOBAL])
def test_given_candidates_hold_on_every_rung(warm: Engine, rung: Rung) -> None:
    """A request that says what may be listed is answered by nothing else."""
    wanted = tuple(f"i{n}" for n in range(3, 15))
    treated, held = draw(warm, rung, Cause.DEADLINE, candidates=wanted)
    assert marks(treated) == {("global-popular", "deadline")}
    for one in treated + held:
        assert {i.item_id for i in one.items} <= set(wanted)
        assert len(one.items) == 8


def test_a_snapshot_stands_in_for_models_that_are_not_there(warm: Engine, learned: bytes) -> None:
    """Through its file, into an engine that knows nothing; what was delisted meanwhile stays off."""
    file = decode_popular(encode_popular(warm.popular(now=NOW)))
    assert set(file.segments) == set(SEGMENTS)
    assert [i.score for i in file.everybody] == sorted((i.score for i in file.everybody), reverse=True)
    bare = engine()
    bare.fall_back(file)
    gone = file.everybody[0].item_id
    bare.delist([gone])
    treated, held = draw(bare, Rung.GLOBAL, Cause.MODELS)
    assert marks(treated) == {("global-popular", "models")}
    known = {i.item_id for i in file.everybody} - {gone}
    assert {i.item_id for one in treated + held for i in one.items} <= known
    bare.restore(learned)
    bare.fall_back(None)
    assert marks(draw(bare, Rung.FULL, Cause.MODELS)[0]) == {("full", None)}


def test_nothing_known_is_said(learned: bytes) -> None:
    """The last rung names its cause whatever was asked for."""
    bare = Engine(engine().settings)
    for rung in (Rung.FULL, Rung.SEGMENT, Rung.GLOBAL):
        (decision,) = bare.recommend([ListRequest(bare.open_shard(0), "u", 3)], now=NOW, seed=1, rung=rung)
        assert (decision.recommendation.rung, decision.recommendation.cause) == ("nothing", "no-item")


@pytest.mark.parametrize("rung", [Rung.FULL, Rung.SEGMENT, Rung.GLOBAL])
def test_a_shop_that_opens_lists_its_newest(rung: Rung) -> None:
    """Before anything is learned: the catalogue by lot, but for what is sold out and what was had."""
    bare = engine()
    bare.describe([Item(item_id=f"new-{n}", stock=n % 5) for n in range(200)])
    shard = bare.open_shard(0)
    had = Click(event_id="c", user_id="u0", ts=NOW, item_id="new-199")
    bare.apply(shard, [had], np.arange(1), broker_ts=np.full(1, NOW))
    lists = bare.recommend([ListRequest(shard, f"u{n}", 8) for n in range(300)], now=NOW, seed=5, rung=rung)
    exact(lists)
    assert marks([d.recommendation for d in lists]) == {("global-popular", "opening")}
    listed = [{i.item_id for i in d.recommendation.items} for d in lists]
    assert {len(items) for items in listed} == {8}
    assert "new-199" not in listed[0]
    newest = [n for n in reversed(range(200)) if n % 5][: PolicySettings().pool]
    assert set.union(*listed) == {f"new-{n}" for n in newest}


def test_what_a_shop_that_opens_has_learned_comes_first() -> None:
    """Two items that people took, then what nobody has touched; none of it where two are enough."""
    bare = engine()
    shard = bare.open_shard(0)
    past = [Click(event_id=f"p{n}", user_id=f"x{n}", ts=NOW, item_id=f"i{n % 2}") for n in range(60)]
    bare.learn(bare.observe(shard, past, np.arange(60), broker_ts=np.full(60, NOW)))
    treated, held = draw(bare, Rung.FULL, Cause.LEARNER, n=200)
    assert marks(treated) == marks(held) == {("global-popular", "opening")}
    assert all({"i0", "i1"} <= {i.item_id for i in one.items} for one in treated[:20])
    requests = [ListRequest(shard, "u", 2, "t")]
    (whole,) = bare.recommend(requests, now=NOW, seed=1)
    assert whole.recommendation.rung == "full"
    assert {i.item_id for i in whole.recommendation.items} == {"i0", "i1"}


@pytest.mark.parametrize("rung", [Rung.SEGMENT, Rung.GLOBAL])
def test_a_shop_that_opens_says_what_else_is_missing(rung: Rung) -> None:
    """Overloaded, it names the overload."""
    bare = engine()
    treated, held = draw(bare, rung, Cause.OVERLOAD)
    assert marks(treated) == marks(held) == {("global-popular", "overload")}


def test_a_running_shop_never_opens(warm: Engine) -> None:
    """Lists that the pool or a person's own items make short stay whole lists, whoever shares their batch."""
    shard = warm.open_shard(8)
    had = [Click(event_id=f"h{n}", user_id="u0", ts=NOW, item_id=f"i{n}") for n in range(ITEMS - 4)]
    warm.apply(shard, had, np.arange(len(had)), broker_ts=np.full(len(had), NOW))
    warm.describe([Item(item_id=f"new-{n}") for n in range(300)])
    requests = [
        ListRequest(shard, "u0", 10, "few", exclude_seen=True),
        ListRequest(shard, "u1", 50, "many"),
        ListRequest(shard, "u2", 200, "given", candidates=("i1", "i2")),
    ]
    lists = warm.recommend(requests, now=NOW, seed=4)
    exact(lists)
    assert {(d.recommendation.rung, d.recommendation.cause) for d in lists} == {("full", None)}
    assert len(lists[0].recommendation.items) < 10


@pytest.mark.parametrize(("rung", "cause"), [(Rung.FULL, None), (Rung.SEGMENT, Cause.OVERLOAD)])
def test_one_long_list_changes_nobody_elses(warm: Engine, rung: Rung, cause: Cause | None) -> None:
    """Who asks for more than was met may get what nobody has touched; the others of the batch do not."""
    warm.describe([Item(item_id=f"new-{n}") for n in range(300)])
    shard = warm.open_shard(8)
    usual = [ListRequest(shard, f"u{n}", 8, f"t{n}") for n in range(40)]
    long = ListRequest(shard, "v", 200, "long")
    alone = warm.recommend(usual, now=NOW, seed=2, rung=rung, cause=cause)
    *beside, longest = warm.recommend([*usual, long], now=NOW, seed=2, rung=rung, cause=cause)
    how = [[(d.recommendation.rung, d.recommendation.cause) for d in lists] for lists in (alone, beside)]
    assert how[0] == how[1]
    assert len(longest.recommendation.items) > ITEMS


def test_a_short_file_is_filled_from_the_catalogue() -> None:
    """What a file of popular items names stays popular where it is too little for a list."""
    bare = engine()
    best = tuple(PopularItem(f"i{n}", 9.0) for n in range(3))
    bare.fall_back(PopularLists(ts=NOW, model="r9", everybody=best, segments={}))
    treated, held = draw(bare, Rung.GLOBAL, Cause.MODELS)
    assert marks(treated) == marks(held) == {("global-popular", "models")}
    assert {len(one.items) for one in treated} == {8}
    assert all({"i0", "i1", "i2"} <= {i.item_id for i in one.items} for one in treated[:10])


def test_lists_without_explanations_say_so_and_are_the_same(warm: Engine) -> None:
    """Leaving them out changes no choice and no probability."""
    shard = warm.open_shard(4)
    past = [Click(event_id=f"p{n}", user_id=f"u{n % 20}", ts=NOW, item_id=f"i{n % 6}") for n in range(60)]
    warm.observe(shard, past, np.arange(60), broker_ts=np.full(60, NOW))
    requests = [ListRequest(shard, f"u{n}", 8, f"t{n}") for n in range(20)]
    whole = warm.recommend(requests, now=NOW + 1, seed=2)
    less = warm.recommend(requests, now=NOW + 1, seed=2, explain=False)
    assert any(i.because for d in whole for i in d.recommendation.items)
    for a, b in zip(whole, less, strict=True):
        said = (EXPLANATIONS,) if b.recommendation.arm == "treatment" else ()
        assert b.recommendation.without == said
        bare = tuple(msgspec.structs.replace(i, because=()) for i in a.recommendation.items)
        assert b.recommendation.items == bare
