"""What tests of a device's registers and ports share."""

from __future__ import annotations

import numpy as np

from hotline_hw.regmap import Error, Irq, counter_offset, register
from hotline_sim.model_sample_aware import Policy
from hotline_sim.stream_core import Results, StreamCore


class Registers:
    """Registers by name."""

    def __init__(self, device: StreamCore) -> None:
        self.device = device

    def __getitem__(self, name: str) -> int:
        return self.device.read(register(name).offset)

    def __setitem__(self, name: str, value: int) -> None:
        self.device.write(register(name).offset, value)

    def counter(self, name: str) -> int:
        """A counter's snapshot, 64 bits."""
        low = counter_offset(name)
        return self.device.read(low) | self.device.read(low + 4) << 32

    def status(self) -> dict[str, int]:
        return register("STATUS").unpack(self["STATUS"])

    def irq(self) -> Irq:
        """Interrupt causes, cleared."""
        causes = self["IRQ_STATUS"]
        self["IRQ_STATUS"] = causes
        return Irq(causes)

    def errors(self) -> Error:
        """Errors, cleared, and the interrupt cause with them."""
        errors = self["ERROR"]
        self["ERROR"] = errors
        self["IRQ_STATUS"] = int(Irq.ERROR)
        return Error(errors)


def policy_values(policy: Policy) -> dict[str, int]:
    """The registers that hold a policy, by name."""
    return {
        "AGE_PERIOD": policy.age_period, "HYSTERESIS": policy.hysteresis, "MOVE_LIMIT": policy.move_limit,
        "SELECT_START": policy.select_start,
    } | {
        f"WEIGHTS_{index}": sum(weight << 8 * place for place, weight in enumerate(policy.weights[4 * index :][:4]))
        for index in range(4)
    }  # fmt: skip


def until_idle(csr: Registers) -> None:
    while csr.status()["busy"]:
        pass


def send(device: StreamCore, batches: list[np.ndarray]) -> Results:
    return device.stream(np.concatenate(batches), np.cumsum([len(batch) for batch in batches]))
