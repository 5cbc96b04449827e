"""Each tracker of the popularity study equals a plain one, which is written here only from its description."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hotline_host.data.log import ClickLog
from hotline_host.errors import SettingsError
from hotline_host.popularity import stream as stream_module
from hotline_host.popularity.hindsight import peel
from hotline_host.popularity.judging import Trial
from hotline_host.popularity.ours import Design, SampleAware
from hotline_host.popularity.stream import Stream
from hotline_host.popularity.trackers import TRACKERS
from hotline_hw.spec.feistel import mix

Key = tuple[int, int]
"""Table and row."""

Sample = list[list[Key]]
"""The bag of each table."""


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    """Cuts logs of these tests into several chunks too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "_CHUNK_LOOKUPS", 40)
        yield


@st.composite
def logs(draw: st.DrawFn) -> ClickLog:
    """Small, skewed logs: one lookup a bag, or up to three, with empty bags and empty samples."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size, tables = draw(st.integers(2, 60)), draw(st.integers(1, 4))
    if draw(st.booleans()):
        lengths = np.broadcast_to(np.int64(1), (size, tables))
    else:
        lengths = rng.integers(0, 4, (size, tables)) * rng.integers(0, 2, (size, 1))
    rows = rng.integers(1, 40, tables)
    bound = np.repeat(np.tile(rows, size), lengths.ravel())
    indices = (bound * rng.random(len(bound)) ** draw(st.sampled_from([1, 3]))).astype(np.int64)
    return made(indices, lengths, rows)


def made(indices: np.ndarray, lengths: np.ndarray, rows: np.ndarray) -> ClickLog:
    size, tables = lengths.shape
    names = tuple(f"t{table}" for table in range(tables))
    dense, label = np.zeros((size, 0), np.float32), np.zeros(size, np.float32)
    return ClickLog("made", names, rows, indices, lengths, dense, label)


def samples_of(log: ClickLog) -> list[Sample]:
    values = iter(log.indices.tolist())
    return [
        [[(table, next(values)) for _ in range(length)] for table, length in enumerate(lengths)]
        for lengths in log.lengths.tolist()
    ]


def flat(samples: list[Sample]) -> list[list[Key]]:
    return [list(chain(*sample)) for sample in samples]


class Plain:
    """A tracker that gets one lookup after the other."""

    def __init__(self, hot_rows: int) -> None:
        self.hot_rows = hot_rows
        self.now = 0

    def hot(self, key: Key) -> bool:
        raise NotImplementedError

    def learn(self, key: Key) -> None:
        raise NotImplementedError


class PlainLru(Plain):
    def __init__(self, hot_rows: int) -> None:
        super().__init__(hot_rows)
        self.cached: list[Key] = []  # oldest first

    def hot(self, key: Key) -> bool:
        return key in self.cached

    def learn(self, key: Key) -> None:
        self.cached = [*(other for other in self.cached if other != key), key][-self.hot_rows :]


class PlainLfu(Plain):
    def __init__(self, hot_rows: int) -> None:
        super().__init__(hot_rows)
        self.cached: dict[Key, tuple[int, int]] = {}  # count, moment of the latest lookup

    def hot(self, key: Key) -> bool:
        return key in self.cached

    def learn(self, key: Key) -> None:
        self.now += 1
        if key not in self.cached and len(self.cached) == self.hot_rows:
            del self.cached[min(self.cached, key=lambda other: self.cached[other])]
        count, _ = self.cached.get(key, (0, 0))
        self.cached[key] = (count + 1, self.now)


class PlainSets(Plain):
    """A cache's sets. Their number is the least power of two, from 2, that holds N rows. Ways differ by one at most."""

    def __init__(self, ways: int, hot_rows: int) -> None:
        super().__init__(hot_rows)
        sets = 2
        while sets * ways < hot_rows:
            sets *= 2
        self.quota = [hot_rows // sets + (number < hot_rows % sets) for number in range(sets)]
        self.sets: list[dict[Key, int]] = [{} for _ in range(sets)]

    def number(self, key: Key) -> int:
        return int(mix(key[0] << 32 | key[1], 40)) % len(self.sets)

    def hot(self, key: Key) -> bool:
        return key in self.sets[self.number(key)]


class PlainSetLru(PlainSets):
    def learn(self, key: Key) -> None:
        self.now += 1
        number = self.number(key)
        cached = self.sets[number]
        if key not in cached and cached and len(cached) == self.quota[number]:
            del cached[min(cached, key=lambda other: cached[other])]
        if self.quota[number]:
            cached[key] = self.now


class PlainSetLfu(PlainSets):
    def __init__(self, ways: int, hot_rows: int) -> None:
        super().__init__(ways, hot_rows)
        self.counts: Counter[Key] = Counter()

    def learn(self, key: Key) -> None:
        self.now += 1
        self.counts[key] += 1
        number = self.number(key)
        cached = self.sets[number]
        if key not in cached and len(cached) == self.quota[number]:
            if not cached:
                return
            victim = min(cached, key=lambda other: (self.counts[other], cached[other]))
            if self.counts[victim] > self.counts[key]:
                return
            del cached[victim]
        cached[key] = self.now


class PlainSrrip(PlainSets):
    """As in the paper: age all until one is distant, and replace the first distant one."""

    def __init__(self, ways: int, hot_rows: int) -> None:
        super().__init__(ways, hot_rows)
        self.ways: list[list[tuple[Key, int] | None]] = [[None] * quota for quota in self.quota]

    def hot(self, key: Key) -> bool:
        return any(entry is not None and entry[0] == key for entry in self.ways[self.number(key)])

    def learn(self, key: Key) -> None:
        entries = self.ways[self.number(key)]
        for way, entry in enumerate(entries):
            if entry is not None and entry[0] == key:
                entries[way] = (key, 0)
                return
        if None in entries:
            entries[entries.index(None)] = (key, 2)
            return
        while entries:
            for way, entry in enumerate(entries):
                if entry is not None and entry[1] == 3:
                    entries[way] = (key, 2)
                    return
            entries[:] = [entry and (entry[0], entry[1] + 1) for entry in entries]


def judged(samples: list[Sample], learned: int, is_hot: Callable[[int], Callable[[Key], bool]]) -> tuple[int, int, int]:
    """Popular samples, lookups and bags that hit, by what `is_hot(sample)` says at each lookup in order."""
    popular = hits = bags = 0
    for number, sample in enumerate(samples):
        ask = is_hot(number)
        found = [[ask(key) for key in bag] for bag in sample]
        if number >= learned:
            popular += all(map(all, found))
            hits += sum(map(sum, found))
            bags += sum(bool(bag) and all(bag) for bag in found)
    return popular, hits, bags


def cache(make: Callable[[int], Plain]):
    def run(samples: list[Sample], hot_rows: int, trial: Trial) -> tuple[int, int, int]:
        tracker = make(hot_rows)

        def is_hot(number: int) -> Callable[[Key], bool]:
            def ask(key: Key) -> bool:
                answer = tracker.hot(key)
                if number < trial.learned or not trial.freeze:
                    tracker.learn(key)
                return answer

            return ask

        return judged(samples, trial.learned, is_hot)

    return run


def held(samples: list[Sample], hot_rows: int, trial: Trial) -> tuple[int, int, int]:
    """SRRIP whose rows move only between mini-batches. A mini-batch ends where judging begins."""
    tracker = PlainSrrip(16, hot_rows)
    starts = {*range(0, trial.learned, trial.select_every), *range(trial.learned, len(samples), trial.select_every)}
    waiting: list[Key] = []  # lookups that are learned when the next mini-batch begins

    def is_hot(number: int) -> Callable[[Key], bool]:
        if number in starts:
            for key in waiting:
                tracker.learn(key)
            waiting.clear()
        if number < trial.learned or not trial.freeze:
            waiting.extend(chain(*samples[number]))
        return tracker.hot

    return judged(samples, trial.learned, is_hot)


def exact(samples: list[Sample], hot_rows: int, trial: Trial) -> tuple[int, int, int]:
    def chosen(number: int) -> set[Key]:
        """Hot rows for a sample: those of the last choice before it."""
        splits = [trial.learned] if trial.learned else []
        moments = [m for m in [*range(trial.select_every, len(samples), trial.select_every), *splits] if m <= number]
        if trial.freeze:
            moments = [moment for moment in moments if moment <= trial.learned]
        counts = Counter(chain(*flat(samples)[: max(moments, default=0)]))
        return {key for key, _ in counts.most_common(hot_rows)}  # most_common keeps the order of ties

    return judged(samples, trial.learned, lambda number: chosen(number).__contains__)


def by_frequency(samples: list[Sample], hot_rows: int, trial: Trial) -> tuple[int, int, int]:
    order = list(dict.fromkeys(chain(*flat(samples))))
    counts = Counter(chain(*flat(samples)[trial.learned :]))
    hot = sorted(counts, key=lambda key: (-counts[key], order.index(key)))[:hot_rows]
    return judged(samples, trial.learned, lambda _: hot.__contains__)


def by_sample(samples: list[Sample], hot_rows: int, trial: Trial) -> tuple[int, int, int]:
    rows = list(dict.fromkeys(chain(*flat(samples))))
    hot = plain_peel(flat(samples)[trial.learned :], rows, hot_rows)
    return judged(samples, trial.learned, lambda _: hot.__contains__)


def plain_peel(samples: list[list], rows: list, hot_rows: int) -> set:
    """The rows of `rows` that remain, in order of first appearance."""
    left = list(rows)
    while len(left) > hot_rows:
        complete = [set(sample) for sample in samples if set(sample) <= set(left)]
        degrees = {row: sum(row in sample for sample in complete) for row in left}
        least = min(degrees.values())
        left.remove([row for row in left if degrees[row] == least][-1])
    return set(left)


PLAIN = {
    "hindsight_frequency": by_frequency,
    "hindsight_sample": by_sample,
    "exact_top_n": exact,
    "lru": cache(PlainLru),
    "lfu": cache(PlainLfu),
    "srrip_4way": cache(lambda hot_rows: PlainSrrip(4, hot_rows)),
    "srrip_16way": cache(lambda hot_rows: PlainSrrip(16, hot_rows)),
    "srrip_16way_held": held,
    "lru_32way": cache(lambda hot_rows: PlainSetLru(32, hot_rows)),
    "lfu_32way": cache(lambda hot_rows: PlainSetLfu(32, hot_rows)),
}


@pytest.mark.parametrize("name", PLAIN)
@hypothesis_settings(deadline=None, max_examples=60)
@given(data=st.data(), log=logs())
def test_equals_the_plain_one(name: str, data: st.DataObject, log: ClickLog) -> None:
    stream = Stream.of(log)
    hot_rows = data.draw(st.integers(1, stream.distinct + 3))
    trial = Trial(
        learned=data.draw(st.integers(0, log.size - 1)),
        freeze=data.draw(st.booleans()),
        select_every=data.draw(st.integers(1, 20)),
    )
    assert tuple(TRACKERS[name](stream, hot_rows, trial)) == PLAIN[name](samples_of(log), hot_rows, trial)


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 14), max_size=5), max_size=40),
    st.integers(0, 15),
)
def test_peeling_leaves_what_plain_peeling_leaves(samples: list[list[int]], hot_rows: int) -> None:
    rows = np.array(list(chain(*samples)), np.int32)
    offsets = np.cumsum([0, *map(len, samples)]).astype(np.int64)
    hot = peel(rows, offsets, 15, hot_rows)
    assert set(np.flatnonzero(hot).tolist()) == plain_peel(samples, list(range(15)), hot_rows)


def test_peeling_keeps_rows_that_complete_samples_where_frequency_keeps_others() -> None:
    """Rows 0 and 1 are frequent, but each time beside a row that never comes back. Rows 2 and 3 complete samples."""
    samples = [[0, 1, 4 + n] for n in range(6)] + [[2, 3]] * 4
    log = made(
        np.array(list(chain(*samples))), np.array([[len(sample)] for sample in samples], np.int64), np.array([10])
    )
    stream, trial = Stream.of(log), Trial(learned=0)
    assert TRACKERS["hindsight_frequency"](stream, 2, trial) == (0, 12, 0)
    assert TRACKERS["hindsight_sample"](stream, 2, trial) == (4, 8, 4)


# The stream


@pytest.mark.parametrize("limit", [1 << 31, 0], ids=["direct", "sorted"])
@hypothesis_settings(deadline=None, max_examples=30)
@given(log=logs())
def test_rows_are_numbered_as_they_appear(limit: int, log: ClickLog) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "_DIRECT_ROWS", limit)
        stream = Stream.of(log)
    samples = samples_of(log)
    lookups = list(chain(*flat(samples)))
    order = list(dict.fromkeys(lookups))
    assert stream.rows.dtype == np.int32 and stream.rows.tolist() == [order.index(key) for key in lookups]
    assert [(int(key) >> 32, int(key) & 0xFFFF_FFFF) for key in stream.keys] == order
    assert np.diff(stream.offsets).tolist() == [len(sample) for sample in flat(samples)]
    assert stream.longest == max(map(len, flat(samples)))
    assert stream.largest_count == max(Counter(lookups).values(), default=0)
    assert stream.bags(1, stream.size) == sum(map(bool, chain(*samples[1:])))


def test_a_table_of_four_billion_rows_takes_no_memory_for_them() -> None:
    log = made(np.array([2**32 - 1, 5, 2**32 - 1]), np.ones((3, 1), np.int64), np.array([2**32]))
    stream = Stream.of(log)
    assert stream.rows.tolist() == [0, 1, 0] and stream.keys.tolist() == [2**32 - 1, 5]


def test_a_sample_beyond_the_accelerator_is_refused() -> None:
    log = made(np.zeros(5000, np.int64), np.array([[5000]]), np.array([1]))
    with pytest.raises(SettingsError, match="a sample has 5000 lookups; the accelerator takes at most 4096"):
        SampleAware(Stream.of(log), 1, Design())
