"""Invariant 16, imports point down only, and the shape of the house."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("schemas", "models", "workers", "streams", "deploy")
SOURCES = [p for layer in LAYERS for p in sorted((ROOT / layer).rglob("*.py"))]


def test_imports_point_down_only() -> None:
    """The layer contracts of pyproject.toml hold."""
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_belong_to_streamwise(layer: str) -> None:
    """No other installed distribution owns a folder of ours."""
    owners = packages_distributions().get(layer, ["streamwise"])
    assert set(owners) == {"streamwise"}


def test_no_file_is_longer_than_600_lines() -> None:
    """A file holds one concept."""
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := p.read_text().count("\n")) > 600}
    assert not long


def test_few_functions_are_longer_than_60_lines() -> None:
    """At most one function in a hundred is long (kernels are), and none exceeds 100 lines."""
    sizes = {
        f"{path.relative_to(ROOT)}:{node.name}": (node.end_lineno or 0) - node.body[0].lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long = {name: size for name, size in sizes.items() if size > 60}
    assert len(long) <= len(sizes) / 100, long
    assert max(sizes.values(), default=0) <= 100, long


def test_nothing_is_left_to_do() -> None:
    """No note to a later self, no skipped body."""
    words = ("TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error")
    left = [f"{p.relative_to(ROOT)}: {w}" for p in SOURCES for w in words if w in p.read_text()]
    assert not left


def test_the_constraints_pin_every_dependency() -> None:
    """What pyproject.toml names, constraints.txt pins, torch by its exact public version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [d for group in project["optional-dependencies"].values() for d in group]
    names = {_name(d) for d in [*project["dependencies"], *extras]} - {"onnxruntime"}
    pins = {_name(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert names <= pins, names - pins
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def _name(requirement: str) -> str:
    for mark in ("=", ">", "<", "[", ";", " ", "!"):
        requirement = requirement.partition(mark)[0]
    return requirement.lower().replace("_", "-")
