"""The signals inside a block, for proofs that state what its stages hold."""

from __future__ import annotations

import sys
from types import FrameType, SimpleNamespace
from typing import Any

from amaranth.hdl import Array, Assert, Module, Signal, Value

__all__ = ["Claims", "elaborated", "keep_signals"]


class Claims:
    """Adds assertions to a module, and names for what they are about: a trace shows them.

    Args:
        told: whether to assert anything. Without it, a mutant must be caught by what it does outside.
    """

    def __init__(self, m: Module, told: bool = True) -> None:
        self.m, self.told = m, told

    def hold(self, condition: Value, what: str) -> None:
        if self.told:
            self.m.d.sync += Assert(condition, what)

    def named(self, name: str, value: Value) -> Signal:
        signal = Signal(Value.cast(value).shape(), name=name)
        self.m.d.comb += signal.eq(value)
        return signal

    def pick(self, name: str, rows: Array, index: Value) -> Signal:
        signal = Signal(rows[0].shape(), name=name)
        self.m.d.comb += signal.eq(rows[index])
        return signal


def keep_signals(component: Any, method: str, of: Any = None) -> SimpleNamespace:
    """What `component.method` calls its local variables. It is filled when the component is elaborated.

    Args:
        of: the class that has the method, if the component's own only calls it.
    """
    kept = SimpleNamespace()
    original = getattr(component, method)
    code = (getattr(of, method) if of else original.__func__).__code__

    def call(*arguments: Any) -> Any:
        def watch(frame: FrameType, event: str, _: Any) -> None:
            if event == "return" and frame.f_code is code:
                kept.__dict__.update(frame.f_locals)

        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            return original(*arguments)
        finally:
            sys.setprofile(before)

    object.__setattr__(component, method, call)
    return kept


def elaborated(component: Any, kept: SimpleNamespace) -> SimpleNamespace:
    """Elaborates `component` now, so that `kept` is filled. Whoever elaborates it later gets the same module."""
    module = component.elaborate(None)
    object.__setattr__(component, "elaborate", lambda _: module)
    return kept
