"""The signals inside a block, for proofs that state what its stages hold."""

from __future__ import annotations

import sys
from types import FrameType, SimpleNamespace
from typing import Any

__all__ = ["elaborated", "keep_signals"]


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
