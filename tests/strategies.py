"""Hypothesis strategies for msgspec types: valid values of any message."""

from typing import Any

import msgspec
import numpy as np
from hypothesis import strategies as st
from msgspec import inspect

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values that a type accepts, its numeric and length constraints included."""
    return _of(inspect.type_info(kind))


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.StructType():
            return _struct(info)
        case inspect.UnionType():
            return st.one_of([_of(t) for t in info.types])
        case inspect.LiteralType():
            return st.sampled_from(info.values)
        case inspect.DictType():
            return st.dictionaries(_of(info.key_type), _of(info.value_type), max_size=3)
        case inspect.VarTupleType():
            return st.lists(_of(info.item_type), max_size=3).map(tuple)
        case inspect.Metadata():
            return _of(info.type)
    return _scalar(info)


def _scalar(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.IntType():
            low = info.ge if info.ge is not None else -(2**53)
            high = info.le if info.le is not None else (info.lt - 1 if info.lt is not None else 2**53)
            return st.integers(low, high)
        case inspect.FloatType():
            low = info.ge if info.ge is not None else info.gt
            return st.floats(
                low, info.le, exclude_min=info.gt is not None, allow_nan=False, allow_infinity=False, width=64
            )
        case inspect.StrType():
            return st.text(
                st.characters(exclude_categories=["Cs"]), min_size=info.min_length or 0, max_size=12
            )
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.BytesType():
            return st.binary(max_size=8)
    raise TypeError(f"no strategy for {info}")


def _struct(info: inspect.StructType) -> st.SearchStrategy[Any]:
    if info.cls.__name__ == "Embedding":
        return _embedding(info)
    if info.cls.__name__ == "PolicySwitch":
        fields = {f.name: _of(f.type) for f in info.fields if f.name != "to_epoch"}
        return st.fixed_dictionaries(fields).map(lambda v: info.cls(**v, to_epoch=v["from_epoch"] + 1))
    return st.builds(info.cls, **{f.name: _of(f.type) for f in info.fields})


def _embedding(info: inspect.StructType) -> st.SearchStrategy[Any]:
    fields = {f.name: _of(f.type) for f in info.fields if f.name not in {"dim", "vector"}}
    numbers = st.lists(st.floats(-1.0, 1.0, width=16), max_size=4)
    return st.tuples(st.fixed_dictionaries(fields), numbers).map(
        lambda pair: info.cls(**pair[0], dim=len(pair[1]), vector=np.array(pair[1], "<f2").tobytes())
    )


def to_builtins(value: Any) -> Any:
    """A message as plain JSON values."""
    return msgspec.json.decode(msgspec.json.encode(value))
