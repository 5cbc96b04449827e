"""Hotline for your own model: embedding tables as a module, with hot rows on the device and cold rows in host memory.

    emb = hotline.EmbeddingBagCollection(tables, optimizer=hotline.RowwiseAdagrad(0.02), accelerator="model")
    for batch in hotline.prefetch(loader, emb, key=lambda batch: batch.sparse):
        pooled = emb(batch.sparse)
        ...
        loss.backward()      # updates the rows

docs/guide/adopt.md shows how to change a model that has `nn.EmbeddingBag`.
"""

from hotline_host.driver.follow import FollowOptions
from hotline_host.errors import HotlineError, RanksError
from hotline_host.training.optim import SGD, Adagrad, Adam, RowwiseAdagrad
from hotline_host.training.ranks import Alone, Together

from .checkpoints import load, save
from .collection import EmbeddingBagCollection
from .jagged import JaggedTensor, KeyedJaggedTensor, KeyedTensor
from .prefetching import prefetch
from .tables import EmbeddingBagConfig
from .training_step import OrderError

__all__ = [
    "EmbeddingBagCollection", "EmbeddingBagConfig", "load", "prefetch", "save",
    "KeyedJaggedTensor", "KeyedTensor", "JaggedTensor",
    "SGD", "Adagrad", "Adam", "RowwiseAdagrad",
    "Alone", "Together",
    "FollowOptions", "HotlineError", "OrderError", "RanksError",
]  # fmt: skip
