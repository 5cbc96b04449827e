"""Parts of a bank that can be looked into: what they are made of is in `inside`, and memories are of registers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hotline_hw.core.bank.intake import BankIntake
from hotline_hw.lib.queues import MultiPopQueue, MultiPushQueue
from tests.formal.dma_parts import with_parts
from tests.formal.inside import elaborated, keep_signals
from tests.formal.stores import Store

__all__ = ["intake", "pop_queue", "queued"]


def _queue(block: type, how: dict) -> Any:
    queue = with_parts(block, memory=SimpleNamespace(Memory=Store))(**how)
    queue.inside = elaborated(queue, keep_signals(queue, "elaborate", of=block))
    return queue


def _push_queue(**how: Any) -> MultiPushQueue:
    return _queue(MultiPushQueue, how)


def pop_queue(**how: Any) -> MultiPopQueue:
    return _queue(MultiPopQueue, how)


def intake(*how: Any) -> BankIntake:
    part = with_parts(BankIntake, MultiPushQueue=_push_queue)(*how)
    part.inside = elaborated(part, keep_signals(part, "elaborate", of=BankIntake))
    return part


def queued(queue: Any) -> list:
    """The queue's places, in the order in which pointers count."""
    lanes = [queue.inside.m.submodules[f"lane{number}"].rows for number in range(queue.ports)]
    return [lanes[index % queue.ports][index // queue.ports] for index in range(queue.depth)]
