"""The shop front: sessions before real visits, lists looked at once, reactions that name their decision."""

from collections import Counter

import pytest

from deploy.simulator.click_law import ClickLaw
from deploy.simulator.households import DAY, Households
from deploy.simulator.ledger import Ledger
from deploy.simulator.shop import LOOK_SECONDS, PATIENCE_SECONDS, Habits, Message, Pace, Shop
from schemas.events import Click, Impression, Purchase, Request
from schemas.recommendations import Recommendation, RecommendedItem

PACE = Pace(wall=100.0, epoch_ms=1_700_000_000_000, start=5 * DAY, day_seconds=1.0)
CURIOUS = Habits(browse_share=1.0, stay=1.0, max_views=2)
SURE = ClickLaw(none=0.0, kind=0.0, product=1.0, eta=0.0, impulse=1.0)


def shop(households: Households, law: ClickLaw = SURE, habits: Habits = CURIOUS, seed: int = 0) -> Shop:
    return Shop(households, law, PACE, Ledger(), seed=seed, habits=habits)


def answer(trigger: str, user: str, items: tuple[str, ...] = ("p3", "p1")) -> Recommendation:
    shown = tuple(
        RecommendedItem(item_id=item, position=i, score=0.0, propensity=0.5, parts={})
        for i, item in enumerate(items)
    )
    return Recommendation(
        decision_id=f"d-{trigger}",
        trigger_id=trigger,
        user_id=user,
        ts=0,
        surface="home",
        items=shown,
        arm="treatment",
        policy="treatment",
        epoch=0,
        model="0",
    )


def requests(messages: list[Message]) -> list[Request]:
    return [m.fact for m in messages if isinstance(m.fact, Request)]


def test_a_session_precedes_the_real_visit(households: Households) -> None:
    """Day 10's visit: the list is asked for half a day before, then the real product is bought."""
    front = shop(households)
    assert front.due(104.0) == []
    (ask,) = requests(front.due(104.6))
    assert (ask.user_id, ask.ts) == ("h1", PACE.epoch_ms + 4500)
    (bought,) = [m.fact for m in front.due(105.1)]
    assert isinstance(bought, Purchase)
    assert (bought.item_id, bought.price, bought.decision_id) == ("p1", 2.0, None)


def test_what_will_be_bought_is_clicked_and_names_its_decision(households: Households) -> None:
    """p1 is bought on day 10: shown on day 9.5 it is clicked and, by impulse 1, bought at once."""
    front = shop(households)
    (ask,) = requests(front.due(104.5))
    front.on_list(answer(ask.event_id, "h1"), 104.6)
    assert front.due(104.6 + LOOK_SECONDS / 2) == []
    facts = [m.fact for m in front.due(104.6 + LOOK_SECONDS)]
    assert [type(f) for f in facts] == [Impression, Impression, Click, Purchase]
    click = facts[2]
    assert isinstance(click, Click)
    assert (click.item_id, click.position, click.decision_id) == ("p1", 1, f"d-{ask.event_id}")
    assert len({f.event_id for f in facts}) == 4
    assert front.ledger.rates().treatment == 1.0


def test_the_list_that_a_click_brings_is_looked_at_next(households: Households) -> None:
    """Staying households see the list triggered by their click, and no older one; two views are the most."""
    front = shop(households)
    (ask,) = requests(front.due(104.5))
    front.on_list(answer(ask.event_id, "h1"), 104.55)
    front.on_list(answer(ask.event_id, "h1"), 104.56)  # published again after a replay: shown once
    click = next(m.fact for m in front.due(104.9) if isinstance(m.fact, Click))
    front.on_list(answer("something older", "h1"), 104.91)
    front.on_list(answer(click.event_id, "h1", ("p1",)), 104.95)
    again = [m.fact for m in front.due(105.5) if isinstance(m.fact, Click)]
    assert len(again) == 1
    front.on_list(answer(again[0].event_id, "h1"), 105.6)
    assert not [m for m in front.due(106.5) if isinstance(m.fact, Impression)]


def test_who_gets_no_list_leaves(households: Households) -> None:
    """An unanswered request ends its session after the stated patience; the person may come again."""
    front = shop(households)
    front.due(104.5)
    front.due(104.6 + PATIENCE_SECONDS)
    assert (front.ledger.sessions, front.ledger.unanswered) == (1, 1)
    assert requests(front.due(124.6))


def test_latency_runs_from_the_trigger_to_its_list(households: Households) -> None:
    """Lists that answer nothing of ours count, but have no latency, and their rungs are not told."""
    front = shop(households)
    (ask,) = requests(front.due(104.5))
    front.on_list(answer(ask.event_id, "h1"), 104.75)
    front.on_list(answer("foreign", "h9"), 104.75)
    assert front.ledger.lists == 2
    assert front.ledger.latencies == pytest.approx([250.0])
    assert front.ledger.rungs == {"full": 1}


def test_the_past_is_the_real_one_and_stamped_before_the_opening(households: Households) -> None:
    """History ends where the shop opens; its stamps keep the simulated order and lie in the past."""
    front = shop(households)
    past = [m.fact for m in front.history(0)]
    assert [(f.user_id, f.ts) for f in past] == [("h1", PACE.epoch_ms - 5000), ("h2", PACE.epoch_ms - 5000)]
    assert front.ledger.events() == 0


def drive(front: Shop, seconds: float) -> list[Message]:
    """Answer every request and click with a popular list, 50 ms later."""
    out: list[Message] = []
    now = PACE.wall
    while now < PACE.wall + seconds:
        messages = front.due(now)
        out += messages
        for m in messages:
            if isinstance(m.fact, Request | Click):
                ids = [front.households.journey.products[p] for p in (0, 50, 100, 150)]
                front.on_list(answer(m.fact.event_id, m.fact.user_id, tuple(ids)), now + 0.05)
        now += 0.05
    return out


def test_a_seed_fixes_everything(real_households: Households) -> None:
    """Same seed and same lists: the same messages; another seed, others; the real purchases stay."""
    law = ClickLaw(none=0.3)
    first, again = (drive(shop(real_households, law, Habits()), 5.0) for _ in range(2))
    other = drive(shop(real_households, law, Habits(), seed=1), 5.0)
    assert first == again
    assert first != other

    def real(messages: list[Message]) -> Counter[str]:
        return Counter(
            m.fact.event_id for m in messages if isinstance(m.fact, Purchase) and not m.fact.decision_id
        )

    assert real(first) == real(other)
    assert len(real(first)) > 100
