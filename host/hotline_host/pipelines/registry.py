"""The pipelines by name. One more pipeline is one more entry."""

from __future__ import annotations

from .fbgemm import FbgemmPipeline
from .hotline import HotlinePipeline, HotlineSplitPipeline
from .ordinary import OrdinaryPipeline
from .pipeline import Pipeline
from .rivals import LfuPipeline, LruPipeline, ResidentPipeline, StaticPipeline, ZeroCopyPipeline

__all__ = ["PIPELINES", "RIVALS"]

PIPELINES: dict[str, type[Pipeline]] = {
    "hotline": HotlinePipeline,
    "hotline-split": HotlineSplitPipeline,
    "ordinary": OrdinaryPipeline,
    "resident": ResidentPipeline,
    "zero-copy": ZeroCopyPipeline,
    "static": StaticPipeline,
    "lru": LruPipeline,
    "lfu": LfuPipeline,
}

RIVALS: dict[str, type[Pipeline]] = PIPELINES | {"fbgemm": FbgemmPipeline}
"""All pipelines, and those that need a package that few have. They train float32 only."""
