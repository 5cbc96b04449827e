"""The random number generators that a training loop may draw from, of every rank."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import torch

from hotline_host.training.ranks import Ranks

__all__ = ["random_states", "set_random_state"]


def random_states(ranks: Ranks) -> list[dict[str, Any]]:
    """The states of each rank's generators, as plain data: Python's, NumPy's and torch's own."""
    version, words, gauss = random.getstate()
    kind, keys, *more = np.random.get_state(legacy=True)  # noqa: NPY002  # loaders still draw from it
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    own = {
        "python": [version, [*words], gauss], "numpy": [kind, np.asarray(keys).tolist(), *more],
        "torch": torch.get_rng_state().tolist(), "cuda": [state.tolist() for state in on_gpus],
    }  # fmt: skip
    if ranks.count == 1:
        return [own]
    text = json.dumps(own).encode()
    longest = int(ranks.agree([len(text)]).max())
    every = ranks.agree([*text.ljust(longest)])
    return [json.loads(bytes(each.astype(np.uint8))) for each in every]


def set_random_state(states: list[dict[str, Any]], ranks: Ranks) -> None:
    """Goes on from what `random_states` gave. A rank that was not there then keeps its own."""
    if ranks.number >= len(states):
        return
    own = states[ranks.number]
    version, words, gauss = own["python"]
    random.setstate((version, tuple(words), gauss))
    kind, words, *more = own["numpy"]
    np.random.set_state((kind, np.array(words, np.uint32), *more))  # noqa: NPY002
    torch.set_rng_state(torch.tensor(own["torch"], dtype=torch.uint8))
    for number, state in enumerate(own["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(torch.tensor(state, dtype=torch.uint8), number)
