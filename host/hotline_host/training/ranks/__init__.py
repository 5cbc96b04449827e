"""Who trains: this process alone, or several together."""

from .launch import launched_device, launched_ranks
from .ranks import Alone, Ranks, SharedBatch
from .together import Together

__all__ = ["Alone", "Ranks", "SharedBatch", "Together", "launched_device", "launched_ranks"]
