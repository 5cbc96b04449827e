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
from hotline_sim.model_sample_aware import Policy
from hotline_sim.stimulus import random_batches
from hotline_sim.verilated import VerilatedDevice
from tests.unit.registers import policy_values

EQUAL, DIFFERENT = 0, 3
# None; some everywhere; and outputs so slow that everything in front of them fills up.
_STALLS = (0.0, 0.4, {"m_axis_popular": 0.9, "m_axis_nonpopular": 0.9})
_BATCHES = 100
_POLICIES = (
    Policy(age_period=3, select_start=1),
    Policy(weights=[9, 0, *range(14, 0, -1)], age_period=1, hysteresis=0, move_limit=3, select_start=0xFFFF_FFFF),
    Policy(weights=[31] * 16, age_period=200, hysteresis=15, select_start=77),
    Policy(age_period=0, hysteresis=1, move_limit=1 << 20, select_start=2),
)


def difference(geometry: Geometry, seed: int) -> str | None:
    """What first differs between core and model, None if nothing does.

    Budgets of all that can be hot, of some with more ways in some sets than in others, and of a few; each with
    mini-batches that are learned, then classified; streams never held back, or some of them often. With the
    sample-aware tracker also relearned ones, and the hot rows chosen anew, under several policies, in between.

    Raises:
        DeviceError: the library cannot be built.
    """
    for stalls in _STALLS:
        device = VerilatedDevice(geometry, stall_seed=seed, stall_probability=stalls)
        model = Accelerator(geometry)
        rng = np.random.default_rng(seed)
        with device:
            for hot_rows in (geometry.hot_capacity, 5 * geometry.hot_capacity // 8 + 1, geometry.banks + 1):
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
    phases = [Phase.LEARN, Phase.CLASSIFY, Phase.LEARN]
    if geometry.sample_aware:
        phases = [Phase.LEARN, Phase.CLASSIFY, Phase.RELEARN, Phase.RELEARN, Phase.LEARN, Phase.CLASSIFY]
    length = 3 * _BATCHES // len(phases)
    stream = random_batches(rng, geometry, 3 * _BATCHES, burst_share=0.3, index_errors=0.01, long_errors=0.01)
    for part, phase in enumerate(phases):
        batches = stream[part * length : (part + 1) * length]
        _until_idle(device)
        if geometry.sample_aware and (found := _select(device, model, _POLICIES[part % len(_POLICIES)])):
            return f"before {phase.name}: {found}"
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
    expected = model.dump()
    if not np.array_equal(device.receive_state(len(expected), geometry.ways), expected):
        return "the tracker's contents differ"
    _until_idle(device)
    device.write(register("COMMAND").offset, Command.SNAPSHOT)
    for name, count in model.counters.items():
        if device.read(counter_offset(name)) != count:
            return f"counter {name} differs"
    errors = Error(device.read(register("ERROR").offset))
    return None if errors == model.errors else f"ERROR is {errors!r}, not {model.errors!r}"


def _select(device: Device, model: Accelerator, policy: Policy) -> str | None:
    """SELECT, with a policy that then holds for what is learned next."""
    for name, value in policy_values(policy).items():
        device.write(register(name).offset, value)
    model.policy.__dict__.update(vars(policy))
    device.write(register("COMMAND").offset, Command.SELECT)
    events = device.receive_events(model.geometry.max_moves + 1, model.geometry.ways)
    if not np.array_equal(events, model.select()):
        return "SELECT answers differently"
    _until_idle(device)
    for name, value in (("HOT_COUNT", model.hot_count), ("THRESHOLD", model.threshold)):
        if (found := device.read(register(name).offset)) != value:
            return f"{name} is {found}, not {value}"
    return None


def _until_idle(device: Device) -> None:
    while register("STATUS").unpack(device.read(register("STATUS").offset))["busy"]:
        pass


if __name__ == "__main__":
    found = difference(Geometry(**json.loads(sys.argv[1])), seed=1)
    print(found or "equal")
    sys.exit(DIFFERENT if found else EQUAL)
