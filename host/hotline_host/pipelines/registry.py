"""The pipelines by name. One more pipeline is one more entry."""

from __future__ import annotations

from .hotline import HotlinePipeline
from .ordinary import OrdinaryPipeline
from .pipeline import Pipeline

__all__ = ["PIPELINES"]

PIPELINES: dict[str, type[Pipeline]] = {"hotline": HotlinePipeline, "ordinary": OrdinaryPipeline}
