"""The options of verbs that run the simulated shop."""

import functools
from collections.abc import Callable
from typing import Any

import click

from deploy.simulator.build import ShopOptions

DEFAULT = ShopOptions()
OPTIONS = (
    click.option(
        "--items", type=click.IntRange(10, 20_000), default=DEFAULT.items, help="Size of the assortment."
    ),
    click.option(
        "--clones", type=click.IntRange(1, 100), default=DEFAULT.clones, help="Lives per household."
    ),
    click.option(
        "--day-seconds",
        type=click.FloatRange(min=0.01),
        default=DEFAULT.day_seconds,
        help="Real seconds of a simulated day.",
    ),
    click.option(
        "--history-weeks",
        type=click.IntRange(0, 53),
        default=DEFAULT.history_weeks,
        help="Weeks of purchases imported before the shop opens.",
    ),
    click.option(
        "--treatment-factor",
        type=click.FloatRange(0.0, 2.5),
        default=DEFAULT.treatment_factor,
        help="Inject an effect: multiplies every click probability of treatment lists.",
    ),
    click.option(
        "--seed", type=click.IntRange(min=0), default=DEFAULT.seed, help="Fixes what households draw."
    ),
)


def shop_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options and pass them as one ``shop: ShopOptions``."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in ShopOptions.__struct_fields__}
        return function(*args, shop=ShopOptions(**given), **kwargs)

    for option in reversed(OPTIONS):
        wrapped = option(wrapped)
    return wrapped
