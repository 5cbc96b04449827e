"""The planner's loops over rows and lookups, compiled."""

from __future__ import annotations

import numpy as np

from hotline_device.compiled import compiled

__all__ = ["COLD", "HOT", "arrange", "not_cold", "translate"]

COLD, HOT, LISTED = range(3)
"""What the owner of a row is: host memory, a slot, or, while a list is checked, a place in it already."""

# The map of keys is open addressing with linear probing; -1 marks a free cell.


@compiled()
def _find(keys: np.ndarray, key: int) -> int:
    """The cell of a key, or the free cell where it would be."""
    mask = len(keys) - 1
    cell = (key * 0x9E3779B1 >> 7) & mask
    while keys[cell] != -1 and keys[cell] != key:
        cell = (cell + 1) & mask
    return cell


@compiled()
def not_cold(listed, owner):
    """The first listed row that is hot, or listed before; -1 if there is none. Leaves `owner` as it was."""
    wrong = -1
    for i in range(len(listed)):
        if owner[listed[i]] != COLD:
            wrong = i
            break
        owner[listed[i]] = LISTED
    for i in range(len(listed) if wrong < 0 else wrong):
        owner[listed[i]] = COLD
    return wrong


@compiled()
def arrange(
    old, old_begin, listed, free, slots, comes, leaves, begin, map_keys, map_places, source, target, place_of, new_keys,
    fetched, back,
):  # fmt: skip
    """Gives every row its place. Returns the numbers of moves, fetched rows, rows to go back, places, and held rows."""
    map_keys[:] = -1
    for place in range(len(old)):  # where rows are now: in the half before, ...
        if old[place] >= 0:
            cell = _find(map_keys, old[place])
            map_keys[cell] = old[place]
            map_places[cell] = old_begin + place
    for move in range(len(leaves)):  # ... or in a slot that they leave
        if leaves[move] >= 0:
            cell = _find(map_keys, leaves[move])
            map_keys[cell] = leaves[move]
            map_places[cell] = slots[move]

    moved = got = 0
    for i in range(free):  # gathered by the splitter; where that reads host memory in vain, the row in the pool counts
        place_of[i] = i
        new_keys[i] = listed[i]
        cell = _find(map_keys, listed[i])
        if map_keys[cell] == listed[i]:
            source[moved], target[moved] = map_places[cell], begin + i
            map_places[cell] = -1 - map_places[cell]  # found
            moved += 1
    for i in range(free, len(listed)):
        cell = _find(map_keys, listed[i])
        if map_keys[cell] != listed[i]:
            place_of[i] = free + got
            new_keys[free + got] = listed[i]
            fetched[got] = listed[i]
            got += 1
    for move in range(len(comes)):
        cell = _find(map_keys, comes[move])
        if map_keys[cell] == comes[move]:
            source[moved], target[moved] = map_places[cell], slots[move]
            map_places[cell] = -1 - map_places[cell]
        else:
            source[moved], target[moved] = begin + free + got, slots[move]
            new_keys[free + got] = -1
            fetched[got] = comes[move]
            got += 1
        moved += 1
    placed = free + got
    held = 0
    for i in range(free, len(listed)):
        cell = _find(map_keys, listed[i])
        if map_keys[cell] == listed[i]:
            place_of[i] = placed
            new_keys[placed] = listed[i]
            source[moved], target[moved] = map_places[cell], begin + placed
            map_places[cell] = -1 - map_places[cell]
            moved, placed, held = moved + 1, placed + 1, held + 1
    for move in range(len(leaves)):
        if leaves[move] >= 0:
            cell = _find(map_keys, leaves[move])
            if map_places[cell] >= 0:
                new_keys[placed] = leaves[move]
                source[moved], target[moved] = slots[move], begin + placed
                moved, placed = moved + 1, placed + 1
    returned = 0
    for place in range(len(old)):
        if old[place] >= 0 and map_places[_find(map_keys, old[place])] >= 0:
            back[returned] = place
            returned += 1
    return moved, got, returned, placed, held


@compiled()
def translate(slot_of, places, place_of, keys, new_keys, key_at, slots, comes, begin, ids):
    """Fills `ids`. Returns the first lookup whose row is not where it is said to be, else -1."""
    hot = len(key_at)
    for move in range(len(slots)):  # for now, so that hot lookups are checked against the slots after the moves
        comes[move], key_at[slots[move]] = key_at[slots[move]], comes[move]
    wrong = -1
    for i in range(len(ids)):
        slot = slot_of[i]
        if slot >= 0:
            if slot >= hot or key_at[slot] != keys[i]:
                wrong = i
                break
            ids[i] = slot
        else:
            place = places[i]
            if place < 0 or place >= len(place_of) or new_keys[place_of[place]] != keys[i]:
                wrong = i
                break
            ids[i] = begin + place_of[place]
    for move in range(len(slots)):
        comes[move], key_at[slots[move]] = key_at[slots[move]], comes[move]
    return wrong
