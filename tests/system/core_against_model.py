"""The Verilated core against the golden model on a long random stream: whether anything differs.

As a program (`python -m tests.system.core_against_model`, a geometry's parameters in JSON as its argument) it exits
with EQUAL or DIFFERENT, and prints what differs; any other status means that it could not find out.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from hotline_hw.params import Geometry
from hotline_hw.regmap import Command, Error, Phase, counter_offset, register
from hotline_sim.device import Device, DeviceError
from hotline_sim.model import Accelerator
from hotline_sim.stimulus import random_batches
from hotline_sim.verilated import VerilatedDevice

EQUAL, DIFFERENT = 0, 3
# None; some everywhere; and outputs so slow that everything in front of them fills up.
_STALLS = (0.0, 0.4, {"m_axis_popular": 0.9, "m_axis_nonpopular": 0.9})
_BATCHES = 100


def difference(geometry: Geometry, seed: int) -> str | None:
    """What first differs between core and model, None if nothing does.

    Budgets of all entries, of some with more ways in some sets than in others, and of a few; each with mini-batches
    that are learned, then classified; streams never held back, or some of them often.

    Raises:
        DeviceError: the library cannot be built.
    """
    for stalls in _STALLS:
        device = VerilatedDevice(geometry, stall_seed=seed, stall_probability=stalls)
        model = Accelerator(geometry)
        rng = np.random.default_rng(seed)
        with device:
            for hot_rows in (geometry.entries, 5 * geometry.entries // 8 + 1, geometry.banks + 1):
                where = f"stalls {stalls}, {hot_rows} hot rows"
                try:
                    found = _difference(device, model, rng, hot_rows)
                except DeviceError as error:  # it hangs, or sends more than it was asked for
                    found = str(error)
                if found:
                    return f"{where}: {found}"
    return None


def _difference(device: Device, model: Accelerator, rng: np.random.Generator, hot_rows: int) -> str | None:
    geometry = model.geometry
    _until_idle(device)
    device.write(register("HOT_ROWS").offset, hot_rows)
    model.set_hot_rows(hot_rows)
    stream = random_batches(rng, geometry, 3 * _BATCHES, burst_share=0.3, index_errors=0.01, long_errors=0.01)
    for part, phase in enumerate((Phase.LEARN, Phase.CLASSIFY, Phase.LEARN)):
        batches = stream[part * _BATCHES : (part + 1) * _BATCHES]
        _until_idle(device)
        device.write(register("CONTROL").offset, phase)
        results = device.stream(np.concatenate(batches), np.cumsum([len(batch) for batch in batches]))
        want = [model.run_batch(batch, phase) for batch in batches]
        for side, words, ends, expected in (
            ("popular", results.popular, results.popular_ends, [popular for popular, _ in want]),
            ("nonpopular", results.nonpopular, results.nonpopular_ends, [nonpopular for _, nonpopular in want]),
        ):
            if not np.array_equal(ends, np.cumsum([len(packet) for packet in expected])):
                return f"{phase.name}: the {side} packets end elsewhere"
            if not np.array_equal(words, np.concatenate(expected)):
                return f"{phase.name}: the {side} words differ"

    _until_idle(device)
    device.write(register("COMMAND").offset, Command.DUMP)
    if not np.array_equal(device.receive_state(1 << model.index_bits, geometry.ways), model.dump()):
        return "the tracker's contents differ"
    _until_idle(device)
    device.write(register("COMMAND").offset, Command.SNAPSHOT)
    for name, count in model.counters.items():
        if device.read(counter_offset(name)) != count:
            return f"counter {name} differs"
    errors = Error(device.read(register("ERROR").offset))
    return None if errors == model.errors else f"ERROR is {errors!r}, not {model.errors!r}"


def _until_idle(device: Device) -> None:
    while register("STATUS").unpack(device.read(register("STATUS").offset))["busy"]:
        pass


if __name__ == "__main__":
    found = difference(Geometry(**json.loads(sys.argv[1])), seed=1)
    print(found or "equal")
    sys.exit(DIFFERENT if found else EQUAL)
