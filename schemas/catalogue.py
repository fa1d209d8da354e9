"""What is known about items and people: upserts of the compacted ``items`` and ``users`` topics."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.ids import ItemKey, UserKey

Attribute = str | float | bool


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of the shop; a null value under the key delists it.

    Parameters
    ----------
    stock
        Units left; an item with 0 is never listed.  None: not counted.
    image, audio
        References (URIs) that an encoder can open.
    attributes
        Anything else; may be filtered by.
    """

    item_id: ItemKey
    title: str = ""
    description: str = ""
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    price: Annotated[float, Meta(ge=0)] | None = None
    stock: Annotated[int, Meta(ge=0)] | None = None
    image: str | None = None
    audio: str | None = None
    attributes: dict[str, Attribute] = msgspec.field(default_factory=dict)

    def text(self) -> str:
        """What a language model reads of the item."""
        parts = (self.title, " ".join(self.categories), " ".join(self.tags), self.description)
        return ". ".join(p for p in parts if p)


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person's profile; a null value under the key erases the person."""

    user_id: UserKey
    attributes: dict[str, Attribute] = msgspec.field(default_factory=dict)
    ties: tuple[UserKey, ...] = ()
