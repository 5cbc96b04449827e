"""An executor without threads, so that a test runs in one order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future


class AtOnce:
    """Stands for `ThreadPoolExecutor`: work is done when it is submitted."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, function: Callable, *args: object, **options: object) -> Future:
        future: Future = Future()
        future.set_result(function(*args, **options))
        return future

    def shutdown(self, **_: object) -> None:
        pass
