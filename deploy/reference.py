"""The settings reference, generated from the structs that are the settings."""

import inspect
from typing import Any

import msgspec
from msgspec.inspect import (
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from deploy.config import OTHER_VARIABLES
from schemas.settings import SECRETS, Settings

HEAD = """# Settings

Generated from `schemas/settings.py` by `make docs`.  A TOML file (`--settings FILE`, or
`STREAMWISE_SETTINGS`) and environment variables set the same keys: `[kafka] bootstrap = "…"` is
`STREAMWISE_KAFKA__BOOTSTRAP=…`.  A key that does not exist is an error that names the nearest one that
does, and so is a variable with the prefix `STREAMWISE_` that is none of them.  Keys marked *secret* are
never printed.
"""


def settings_markdown() -> str:
    """The whole of ``docs/settings.md``."""
    root = type_info(Settings)
    assert isinstance(root, StructType)  # noqa: S101 - Settings is a struct
    sections = "".join(_section(f.name, f.type) for f in root.fields if isinstance(f.type, StructType))
    return HEAD + sections + _variables()


def _variables() -> str:
    rows = "".join(f"| `{name}` | {what} |\n" for name, what in OTHER_VARIABLES.items())
    return f"\n## Variables that are no settings\n\n| variable | what |\n|---|---|\n{rows}"


def _section(name: str, info: StructType) -> str:
    doc = inspect.getdoc(info.cls) or ""
    about = _parameters(doc)
    title = doc.partition("\n")[0]
    lines = [f"\n## `[{name}]`\n\n{title}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"]
    for field in info.fields:
        secret = " *(secret)*" if f"{name}.{field.name}" in SECRETS else ""
        meaning = about.get(field.name, "") + secret
        lines.append(f"| `{field.name}` | {_type(field.type)} | `{_shown(field.default)}` | {meaning} |\n")
    return "".join(lines)


def _shown(value: Any) -> str:
    return "{}" if value is msgspec.NODEFAULT else msgspec.json.encode(value).decode()


def _parameters(doc: str) -> dict[str, str]:
    found: dict[str, str] = {}
    names: list[str] = []
    for line in doc.partition("----------\n")[2].splitlines():
        if line and not line.startswith(" "):
            names = [n.strip() for n in line.split(",")]
        elif names and line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


def _type(info: Type) -> str:
    match info:
        case Metadata():
            return _type(info.type)
        case LiteralType():
            return " or ".join(f'`"{v}"`' for v in info.values)
        case IntType() | FloatType():
            return _number(info)
        case UnionType():
            return " or ".join(_type(t) for t in info.types)
        case VarTupleType():
            return f"list of {_type(info.item_type)}"
    return type(info).__name__.removesuffix("Type").lower().replace("struct", "table")


def _number(info: IntType | FloatType) -> str:
    low = f"≥ {info.ge:g}" if info.ge is not None else f"> {info.gt:g}" if info.gt is not None else ""
    high = f"≤ {info.le:g}" if info.le is not None else f"< {info.lt:g}" if info.lt is not None else ""
    return ", ".join(p for p in ("integer" if isinstance(info, IntType) else "number", low, high) if p)


if __name__ == "__main__":
    print(settings_markdown(), end="")
