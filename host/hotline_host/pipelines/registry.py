"""The pipelines by name. One more pipeline is one more entry."""

from __future__ import annotations

from .hotline import HotlinePipeline, HotlineSplitPipeline
from .ordinary import OrdinaryPipeline
from .pipeline import Pipeline
from .rivals import LfuPipeline, LruPipeline, PrefetchPipeline, ResidentPipeline, StaticPipeline

__all__ = ["PIPELINES"]

PIPELINES: dict[str, type[Pipeline]] = {
    "hotline": HotlinePipeline,
    "hotline-split": HotlineSplitPipeline,
    "ordinary": OrdinaryPipeline,
    "resident": ResidentPipeline,
    "prefetch": PrefetchPipeline,
    "static": StaticPipeline,
    "lru": LruPipeline,
    "lfu": LfuPipeline,
}
