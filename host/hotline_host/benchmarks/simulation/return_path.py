"""The return path: who applies the gradients of cold rows to host memory, the accelerator or the driver?

The accelerator would read, update and write every row over PCIe, with its gradient and its optimizer state. The host's
processor has the rows in its own memory. Both are measured: the traffic of a SCATTER on the memory model, for an ideal
engine (a burst a cycle on every channel, arithmetic in no time), and the driver's update on this machine.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np

from hotline_device.host_memory import HostMemory, Region
from hotline_sim.memory.model import MemoryModel
from hotline_sim.memory.timing import memory_timing

from .results import ReturnPathFigures

__all__ = ["compare", "scatter_cycles"]

_AXI_BITS = 512
_BEAT = _AXI_BITS // 8
_ID_BITS = 8
_FLOAT = 4
_TABLE_ROWS = 1 << 18


def scatter_cycles(rows: int, dimension: int, table_rows: int, timing: str, seed: int = 0) -> int:
    """The fewest clock cycles that the traffic of a SCATTER of `rows` random rows can take.

    It reads the gradients, which lie end to end, and each row with its row-wise Adagrad state beside it. It writes each
    row with its state, once both were read.
    """
    rng = np.random.default_rng(seed)
    memory = HostMemory()
    stride = -(-(dimension + 1) * _FLOAT // 16) * 16
    table = memory.allocate("table", table_rows * stride)
    gradients = memory.allocate("gradients", rows * dimension * _FLOAT + _BEAT)
    try:
        names = rng.choice(table_rows, rows, replace=False)
        reads = _bursts(gradients, np.array([0]), rows * dimension * _FLOAT)
        of_rows = _bursts(table, names * stride, (dimension + 1) * _FLOAT)
        model = MemoryModel(memory, axi_bits=_AXI_BITS, id_bits=_ID_BITS, timing=timing, seed=seed)
        return _run(model, reads + of_rows, of_rows)
    finally:
        memory.close()


def _bursts(region: Region, offsets: np.ndarray, size: int) -> list[tuple[int, int]]:
    """(address, beats) of the bursts that cover `size` bytes at each offset. None crosses a boundary of 16 beats."""
    bursts = []
    for offset in offsets.tolist():
        at, end = (region.address + offset) // _BEAT, -(-(region.address + offset + size) // _BEAT)
        while at < end:
            beats = min(end - at, 16 - at % 16)
            bursts.append((at * _BEAT, beats))
            at += beats
    return bursts


def _run(model: MemoryModel, reads: list[tuple[int, int]], writes: list[tuple[int, int]]) -> int:
    """Clock cycles until all are done. A write is issued once its own read, and all before that, came back."""
    pins = model.pins
    ids = 1 << _ID_BITS
    before = len(reads) - len(writes)
    asked = came = sent = answered = cycles = beat = 0
    addressed = 0
    pins.rready = pins.bready = 1
    pins.wstrb = (1 << _BEAT) - 1
    for channel in (pins.ar, pins.aw):
        channel.size, channel.burst = _BEAT.bit_length() - 1, 1
    while answered < len(writes):
        model.offer()
        if not pins.ar.valid and asked < len(reads) and asked - came < ids:
            pins.ar.addr, pins.ar.len, pins.ar.id = reads[asked][0], reads[asked][1] - 1, asked % ids
            pins.ar.valid = 1
        if not pins.aw.valid and addressed < len(writes) and before + addressed < came:
            pins.aw.addr, pins.aw.len, pins.aw.id = writes[addressed][0], writes[addressed][1] - 1, 0
            pins.aw.valid = 1
        if not pins.wvalid and sent < addressed + bool(pins.aw.valid):
            pins.wvalid, pins.wlast = 1, beat == writes[sent][1] - 1
        taken = (
            pins.ar.valid and pins.arready, pins.aw.valid and pins.awready, pins.wvalid and pins.wready,
            pins.rvalid and pins.rlast, bool(pins.bvalid),
        )  # fmt: skip
        model.sample()
        if taken[0]:
            pins.ar.valid, asked = 0, asked + 1
        if taken[1]:
            pins.aw.valid, addressed = 0, addressed + 1
        if taken[2]:
            pins.wvalid, beat = 0, beat + 1
            if beat == writes[sent][1]:
                sent, beat = sent + 1, 0
        came, answered, cycles = came + bool(taken[3]), answered + taken[4], cycles + 1
    model.check()
    return cycles


def compare(rows: int, dimension: int, timing: str, seed: int, repeats: int = 20) -> ReturnPathFigures:
    """One mini-batch's update with row-wise Adagrad, either way; the driver's is the median of `repeats`."""
    import torch

    from hotline_host.training.optim import row_optimizer

    table_rows = max(_TABLE_ROWS, 2 * rows)
    rng = np.random.default_rng(seed)
    optimizer = row_optimizer("adagrad", 0.01, 1e-3)
    table, accumulator = torch.zeros(table_rows, dimension), torch.zeros(table_rows)
    gradient = torch.from_numpy(rng.standard_normal((rows, dimension)).astype(np.float32))
    seconds = []
    for _ in range(repeats):
        names = torch.from_numpy(np.sort(rng.choice(table_rows, rows, replace=False)))
        start = perf_counter()
        optimizer.update(table, accumulator, names, gradient)
        seconds.append(perf_counter() - start)
    cycles = scatter_cycles(rows, dimension, table_rows, timing, seed)
    scatter = cycles / memory_timing(timing).clock_mhz / 1e6
    return ReturnPathFigures(rows, cycles, scatter, float(np.median(seconds)), torch.get_num_threads())
