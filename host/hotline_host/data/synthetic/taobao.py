"""Draws a log in which recency matters most, after Alibaba's UserBehavior: user, item, category, behaviour.

    sample --> lane, one of many sessions at a time --> session --> user
                                                           |
    popularity of places --> place <-- one of the session's favourites
                               |
    sample's number -----------+--> the place's present item --> category

The shop has a fixed number of places. An item takes a place and lives there for a while. Younger items get more
lookups. Then the next item replaces it, and its row comes back only when the place has used all its rows, 127 lives
later. A life is 2,000 to 100,000 samples, uniform on a logarithmic scale and fixed for each place.

The constants are set by hand so that, in 100,000 samples, the hottest tenth of the rows serves .62 of the lookups, and
.06 of the samples look up only those rows, as in UserBehavior.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hotline_device.compiled import compiled

from .random import STEP, U, child, derive, mix, unit
from .shapes import Shape

__all__ = ["LONGEST_LIFE", "SHORTEST_LIFE", "Taobao"]

SHORTEST_LIFE, LONGEST_LIFE = 2_000, 100_000
"""Samples from an item's birth to its death."""

_LANES = 4096  # sessions at a time
_SESSION = 4  # mean samples of a session
_PLACES = 32_768
_PLACE_SLOPE, _PLACE_SHIFT = 0.6, 5.0  # Zipf-Mandelbrot popularity of places
_USER_SLOPE = 0.3
_CATEGORY_SLOPE = 0.9
_FAVOURITES = 3
_FAITHFUL = 0.3  # chance that a lookup is one of the session's favourites
_BEHAVIOURS = (0.896, 0.951, 0.980)  # cumulative: views, carts, favourites; the rest buys (UserBehavior)


class Taobao:
    """Draws lookups of any stretch of a log.

    Args:
        shape: of the log.
        seed: of the log.
        independent: draw each column from separate sessions: the same rows at the same time, but not together.
    """

    def __init__(self, shape: Shape, seed: int, *, independent: bool) -> None:
        key = derive(U(seed), 3)
        users, items, categories, _ = shape.rows
        self._model = _Model(
            keys=np.array([derive(key, 1 + column if independent else 1) for column in range(4)], np.uint64),
            shop_key=derive(key, 0),
            users=users,
            items=items // _PLACES,
            categories=categories,
        )

    def draw(self, start: int, indices: np.ndarray, dense: np.ndarray) -> None:
        """Fills indices int64 [n, 4] with raw rows of samples `start` to `start + n`; there are no dense features."""
        _draw(self._model, start, indices)


class _Model(NamedTuple):
    keys: np.ndarray  # uint64 [4], keys of the sessions of each column
    shop_key: np.uint64
    users: int
    items: int  # rows of one place
    categories: int


@compiled(inline="always")
def _zipf(share, slope, shift, rows):
    """The rank, 0 to `rows` - 1, with a `share` of the distribution below it."""
    power, scale = 1 - slope, 1 + shift
    span = (1 + rows / scale) ** power - 1
    return min(int(((1 + share * span) ** (1 / power) - 1) * scale), rows - 1)


@compiled()
def _session(key, sample):
    """The key of the session that a sample belongs to."""
    lane, at = sample % _LANES, sample // _LANES
    lane_key = child(key, lane)
    while at > 0 and unit(child(lane_key, at)) >= 1 / _SESSION:
        at -= 1
    return child(lane_key, at)


@compiled()
def _item(model, key, sample):
    """Raw row of the item of a sample."""
    session = _session(key, sample)
    word = child(child(key, _LANES), sample)
    if unit(word) < _FAITHFUL:
        favourite = int(unit(mix(word + STEP)) * _FAVOURITES)
        taste = child(session, 1 + favourite)
    else:
        taste = mix(word + U(2) * STEP)
    # Lookups favour young items: a place is kept with a chance that falls from 1 to 0 over its item's life.
    for attempt in range(8):
        place = _zipf(unit(child(taste, attempt)), _PLACE_SLOPE, _PLACE_SHIFT, _PLACES)
        place_key = child(model.shop_key, place)
        life = int(SHORTEST_LIFE * math.exp(unit(mix(place_key)) * math.log(LONGEST_LIFE / SHORTEST_LIFE)))
        age = sample + int(unit(mix(place_key + STEP)) * life)
        if unit(child(taste, 8 + attempt)) >= age % life / life:
            break
    return place + _PLACES * (age // life % model.items)


@compiled()
def _draw(model, start, indices):
    for at in range(indices.shape[0]):
        sample = start + at
        indices[at, 0] = _zipf(unit(mix(_session(model.keys[0], sample))), _USER_SLOPE, 0.0, model.users)
        item = _item(model, model.keys[1], sample)
        indices[at, 1] = item
        if model.keys[2] != model.keys[1]:
            item = _item(model, model.keys[2], sample)
        share = unit(child(model.shop_key, U(_PLACES) + U(item)))
        indices[at, 2] = _zipf(share, _CATEGORY_SLOPE, 0.0, model.categories)
        share = unit(child(child(model.keys[3], _LANES + 1), sample))
        behaviour = 0
        for edge in _BEHAVIOURS:
            if share >= edge:
                behaviour += 1
        indices[at, 3] = behaviour
