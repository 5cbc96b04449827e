"""Multiplexers that synthesis maps well."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Mux, Value

__all__ = ["choose"]


def choose(items: Sequence[Value], index: Value) -> Value:
    """items[index], as a tree of two-way choices. Beyond the last item it is one of them.

    Of an `Array` whose index has several parts Yosys decodes the index, and makes an AND for each item: up to twice as
    many LUTs.
    """
    items = list(items)
    for bit in index:
        if len(items) == 1:
            break
        pairs = [items[first : first + 2] for first in range(0, len(items), 2)]
        items = [Mux(bit, pair[1], pair[0]) if len(pair) > 1 else pair[0] for pair in pairs]
    return items[0]
