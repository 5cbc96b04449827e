"""Broken copies of a block, to show that its proof can fail."""

from __future__ import annotations

import inspect
import sys
from typing import TypeVar

T = TypeVar("T")


def mutated(block: type[T], right: str, wrong: str) -> type[T]:
    """`block` after `right`, which occurs once in its module's source, is replaced by `wrong`."""
    module = sys.modules[block.__module__]
    source = inspect.getsource(module)
    places = source.count(right)
    assert places == 1, (
        f"{right!r} is in {module.__name__} {places} times, not once: let the mutant break what is there now"
    )
    namespace = {"__name__": module.__name__, "__package__": module.__package__}
    exec(compile(source.replace(right, wrong), str(module.__file__), "exec"), namespace)
    return namespace[block.__name__]  # type: ignore[return-value]
