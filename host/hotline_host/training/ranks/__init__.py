"""Who trains: this process alone, or several together."""

from .ranks import Alone, Ranks, SharedBatch
from .together import Together

__all__ = ["Alone", "Ranks", "SharedBatch", "Together"]
