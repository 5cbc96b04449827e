"""Signals get the same names on every Python.

Amaranth names a signal, or a memory's port, after the variable it is assigned to. It finds the name in the bytecode.
In `a, b = Signal(), Signal()` it finds only `b` on Python 3.11 and 3.12, and neither on 3.13.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hotline_hw

SOURCES = Path(hotline_hw.__file__).parent
NAMED = {"Signal", "like", "read_port", "write_port", "create"}


def unnamed(source: str) -> Iterator[str]:
    """Statements that assign to several variables at once although their values would be named after one variable."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.List):
            value = node.value
            parts = value.elts if isinstance(value, ast.Tuple | ast.List) else [getattr(value, "elt", value)]
            if any(isinstance(part, ast.Call) and _takes_a_name(part) for part in parts):
                yield f"line {node.lineno}: {ast.unparse(node)}"


def _takes_a_name(call: ast.Call) -> bool:
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return function in NAMED and not any(keyword.arg == "name" for keyword in call.keywords)


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCES)))
def test_one_signal_a_statement(path):
    found = list(unnamed(path.read_text()))
    assert not found, f"{path}: give each signal a statement of its own, or a name=: {'; '.join(found)}"


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("a, b = Signal(), Signal()", True),
        ("a, b = it.payload, Signal(3)", True),
        ("a, b = Signal.like(c), 3", True),
        ("a, b = store.write_port(), store.read_port()", True),
        ("a, b = (Signal() for _ in range(2))", True),
        ("a, b = [Signal.like(c) for c in d]", True),
        ("a, b = Signal(name='a'), Signal(name='b')", False),
        ("a, b = (Signal(name=n) for n in 'ab')", False),
        ("a = [Signal() for _ in range(2)]", False),
        ("a, b = self.a, self.b", False),
        ("a = b = Signal()", False),
    ],
)
def test_the_check_itself(source, wrong):
    assert bool(list(unnamed(source))) == wrong
