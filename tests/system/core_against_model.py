"""Compares the Verilated core with the golden model on a long random stream.

As a program (`python -m tests.system.core_against_model`, with a geometry's parameters in JSON as its argument) it
exits with EQUAL or DIFFERENT, and prints what differs. Any other status means that it could not find out.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from hotline_device.device import DeviceError
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.policy import pack_policy
from hotline_hw.spec.regmap import WEIGHTS, Command, Error, Phase, counter_offset, register
from hotline_sim.bench.stimulus import crowded_keys, key_words, random_batches, random_front
from hotline_sim.model.core import GoldenCore
from hotline_sim.stream_core import StreamCore
from hotline_sim.verilated import VerilatedCore

EQUAL, DIFFERENT = 0, 3
# No stalls; stalls everywhere; and outputs so slow that everything before them fills up.
_STALLS = (0.0, 0.4, {"m_axis_popular": 0.9, "m_axis_nonpopular": 0.9})
_PARTS = 12  # a part is learned, classified, or both; a SELECT mostly follows
_BATCHES = 25  # mini-batches in a part
_RUN = 5  # mini-batches between two changes of the front table, which mostly happen


def difference(geometry: Geometry, seed: int) -> str | None:
    """The first difference between core and model, None if there is none.

    There are three budgets: all rows that can be hot, some with more ways in some sets than in others, and a few. Under
    each, mini-batches are learned, classified or relearned. Streams are never held back, or some of them often.

    Raises:
        DeviceError: the library cannot be built.
    """
    most = geometry.hot_capacity
    for stalls in _STALLS:
        device = VerilatedCore(geometry, stall_seed=seed, stall_probability=stalls)
        model = GoldenCore(geometry)
        rng = np.random.default_rng(seed)
        with device:
            for hot_rows in (most, 5 * most // 8 + 1, geometry.banks + 1):
                where = f"stalls {stalls}, {hot_rows} hot rows"
                try:
                    found = _Comparison(device, model, rng).run(hot_rows)
                except DeviceError as error:  # the core hangs, or sends more than it was asked for
                    found = str(error)
                if found:
                    return f"{where}: {found}"
    return None


class _Comparison:
    """A core and a model that get the same requests. Each method returns what differs, None if nothing does."""

    def __init__(self, device: StreamCore, model: GoldenCore, rng: np.random.Generator) -> None:
        self.device, self.model, self.rng = device, model, rng

    def run(self, hot_rows: int) -> str | None:
        """Sets a budget and runs mini-batches under it."""
        geometry, rng = self.model.geometry, self.rng
        self.write("HOT_ROWS", hot_rows)
        self.model.set_hot_rows(hot_rows)
        hot_keys = max(16, hot_rows)
        stream = random_batches(
            rng, geometry, _PARTS * _BATCHES, hot_keys=hot_keys, burst_share=0.3, index_errors=0.01, long_errors=0.01
        )
        for part in range(_PARTS):
            phase = (Phase.LEARN, Phase.RELEARN, Phase.RELEARN, Phase.CLASSIFY)[part % 4]
            self.choose_policy()
            batches = [*stream[part * _BATCHES : (part + 1) * _BATCHES], self.long_sample()]
            found = self.runs(phase, batches)
            if found is None and part % 4 < 3:
                found = self.select()
            if found is None and part % 4 == 3:
                found = self.dump()
            if found:
                return f"part {part}, {phase.name}: {found}"
        return self.counters()

    def runs(self, phase: Phase, batches: list[np.ndarray]) -> str | None:
        """Runs of mini-batches. The first is mostly under the front table that SELECT, or a new budget, has left."""
        for first in range(0, len(batches), _RUN):
            run = batches[first : first + _RUN]
            chance = 0.7 if first else 0.3
            found = (self.choose_front(run) if self.rng.random() < chance else None) or self.stream(phase, run)
            if found:
                return found
        return None

    def long_sample(self) -> np.ndarray:
        """A mini-batch of one sample, all for one bank. Its learning goes on after its packets are gone."""
        geometry = self.model.geometry
        shared = int(self.rng.choice([geometry.bank_bits, geometry.index_bits]))
        keys = crowded_keys(
            self.rng, geometry, geometry.max_lookups, shared_bits=shared, different=geometry.max_lookups
        )
        words = key_words(geometry, keys, last=False)
        words[-1] |= np.uint64(1 << 63)
        return words

    def choose_front(self, batches: list[np.ndarray]) -> str | None:
        """Puts rows into the front table that the mini-batches look up."""
        return self.stream(Phase.FRONT, [random_front(self.rng, self.model.geometry, np.concatenate(batches), least=1)])

    def write(self, name: str, value: int) -> None:
        """Writes a register once the core is idle."""
        while register("STATUS").unpack(self.device.read(register("STATUS").offset))["busy"]:
            pass
        self.device.write(register(name).offset, value)

    def choose_policy(self) -> None:
        policy, rng = self.model.policy, self.rng
        policy.weights = (
            WEIGHTS if rng.random() < 0.7 else (rng.integers(32, size=16) * (rng.random(16) < 0.9)).tolist()
        )
        policy.age_period = int(rng.choice([0, 2, 5, 32]))
        policy.hysteresis = int(rng.choice([0, 1, 2, 3, 15]))
        policy.move_limit = int(rng.choice([1, 3, 0xFFFF_FFFF]))
        policy.select_start = int(rng.integers(2 * self.model.geometry.sets))
        for name, value in pack_policy(policy).items():
            self.write(name, value)

    def stream(self, phase: Phase, batches: list[np.ndarray]) -> str | None:
        self.write("CONTROL", phase)
        results = self.device.stream(np.concatenate(batches), np.cumsum([len(batch) for batch in batches]))
        want = [self.model.run_batch(batch, phase) for batch in batches]
        for side, words, ends, expected in (
            ("popular", results.popular, results.popular_ends, [popular for popular, _ in want]),
            ("nonpopular", results.nonpopular, results.nonpopular_ends, [nonpopular for _, nonpopular in want]),
        ):
            if not np.array_equal(ends, np.cumsum([len(packet) for packet in expected])):
                return f"the {side} packets end elsewhere"
            if not np.array_equal(words, np.concatenate(expected)):
                return f"the {side} words differ"
        return None

    def select(self) -> str | None:
        geometry = self.model.geometry
        self.write("COMMAND", Command.SELECT)
        events, want = self.device.receive_events(geometry.max_moves + 1, geometry.ways), self.model.select()
        if not np.array_equal(events, want):
            return "SELECT answers otherwise"
        for name, value in (("HOT_COUNT", self.model.hot_count), ("THRESHOLD", self.model.threshold)):
            if (found := self.device.read(register(name).offset)) != value:
                return f"{name} is {found}, not {value}"
        return None

    def dump(self) -> str | None:
        geometry = self.model.geometry
        self.write("COMMAND", Command.DUMP)
        rows = geometry.state_rows_per_set << self.model.index_bits
        same = np.array_equal(self.device.receive_state(rows, geometry.ways), self.model.dump())
        return None if same else "the tracker's contents differ"

    def counters(self) -> str | None:
        """Compares the counters and ERROR."""
        self.write("COMMAND", Command.SNAPSHOT)
        for name, count in self.model.counters.items():
            if self.device.read(counter_offset(name)) != count:
                return f"counter {name} differs"
        errors = Error(self.device.read(register("ERROR").offset))
        return None if errors == self.model.errors else f"ERROR is {errors!r}, not {self.model.errors!r}"


if __name__ == "__main__":
    found = difference(Geometry(**json.loads(sys.argv[1])), seed=1)
    print(found or "equal")
    sys.exit(DIFFERENT if found else EQUAL)
