"""Registers of a pipeline, and sums that take several of its stages. Plain functions that add to a module."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from amaranth.hdl import Module, Signal, Value

__all__ = ["TRANSPARENT", "delay", "follow", "scan", "stage", "sum_tree"]

TRANSPARENT = object()
"""In place of an enable: no registers. A pipeline that stops as a whole is a delay and nothing else, so a proof may go
without it."""

Enable = Any  # a Value, None (always), or TRANSPARENT

_LEVELS = 2  # of a scan, between registers
_SUMMANDS = 4  # that are added between registers


def _register(m: Module, name: str, value: Any, enable: Enable, reset_less: bool = True) -> Any:
    if enable is TRANSPARENT:
        return value
    if isinstance(value, list):
        return [_register(m, f"{name}_{index}", item, enable) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _register(m, f"{name}_{key}", item, enable) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_register(m, f"{name}_{index}", item, enable) for index, item in enumerate(value))
    held = Signal(value.shape(), name=name, reset_less=reset_less)
    with m.If(enable) if enable is not None else nullcontext():
        m.d.sync += held.eq(value)
    return held


def stage(m: Module, name: str, enable: Enable = None, **values: Any) -> dict[str, Any]:
    """The values a cycle later. A value may be a list, a tuple or a dictionary of values.

    Args:
        name: of the stage. Its registers are called `name`_`value`.
        enable: the stage moves. None: in every cycle. TRANSPARENT: there are no registers.
    """
    return _register(m, name, values, enable)


def delay(m: Module, name: str, value: Any, cycles: int, enable: Enable = None) -> Any:
    """The value so many cycles later, as `stage` does it."""
    for cycle in range(cycles):
        value = _register(m, f"{name}{cycle}", value, enable)
    return value


def follow(m: Module, name: str, valid: Value, cycles: int, enable: Enable = None) -> list[Value]:
    """Whether something is at the beginning of a pipeline, and a cycle later, up to so many cycles. Reset clears it."""
    places = [valid]
    for cycle in range(0 if enable is TRANSPARENT else cycles):
        held = Signal(name=f"{name}{cycle}")
        with m.If(enable) if enable is not None else nullcontext():
            m.d.sync += held.eq(places[-1])
        places.append(held)
    return places


def scan(
    m: Module, name: str, items: list[Any], combine: Callable[[Any, Any], Any], enable: Enable = None
) -> tuple[list[Any], int]:
    """Item i becomes items 0 to i, combined in order (Kogge and Stone), and how many cycles later that is.

    Args:
        combine: an associative function of two items. An item is a value or a tuple of values.
    """
    distance, level, cycles = 1, 0, 0
    while distance < len(items):
        items = [
            items[index] if index < distance else combine(items[index - distance], items[index])
            for index in range(len(items))
        ]
        distance, level = 2 * distance, level + 1
        if level % _LEVELS == 0 or distance >= len(items):
            items = _register(m, f"{name}{level}", items, enable)
            cycles += enable is not TRANSPARENT
    return items, cycles


def sum_tree(m: Module, name: str, values: list[Any], enable: Enable = None) -> tuple[Signal, int]:
    """The sum of the values, and how many cycles later it is there. Reset makes it zero."""
    cycles = 0
    while cycles == 0 or len(values) > 1:
        groups = [values[first : first + _SUMMANDS] for first in range(0, len(values), _SUMMANDS)]
        sums = [sum(group[1:], group[0]) for group in groups]
        values = [_register(m, f"{name}{cycles}_{index}", total, enable, False) for index, total in enumerate(sums)]
        cycles += 1
    return values[0], cycles
