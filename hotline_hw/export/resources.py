"""The cost of a core: bits of SRAM by their content, and the cells that Yosys makes of it for an FPGA."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from hotline_hw.core.bank.working import answer_bits, table_bits
from hotline_hw.core.input.key_hash import LookupHasher
from hotline_hw.core.layouts import lookup_beat, pass_beat, verdict_beat, verdict_depth
from hotline_hw.shell.layouts import CHANNELS, table_entry
from hotline_hw.shell.rows.names import LIST_WORDS
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import AGE_FIELD, TABLE_FIELD, WORD_BITS

from .generate import generate_verilog

__all__ = ["fpga_cells", "shell_bits", "sram_bits"]

_SYNTHESIS = """
read_verilog {source}
synth_ecp5 -top {top}
tee -q -o {target} stat -json
"""
_CELLS = {
    "LUT4": "LUT4",
    "CCU2C": "carry cells (2 LUT4 each)",
    "TRELLIS_FF": "flip-flops",
    "TRELLIS_DPR16X4": "distributed RAM (16 x 4)",
    "DP16KD": "block RAMs (18 kbit)",
}


def _rows(depth: int) -> int:
    """Rows of the memory of a `StreamQueue`."""
    return 1 << (depth - 1).bit_length()


def sram_bits(geometry: Geometry) -> dict[str, int]:
    """Bits of memory of the whole core, by content.

    First come those of the tracker, whose number grows with the entries. Then come those that do not grow with it.
    Divide by `geometry.hot_capacity` to get bits per hot row.
    """
    g = geometry
    lookup, answer, update = g.tag_bits, g.slot_bits + 1, g.tag_bits + g.weight_bits + 1
    return {
        "tags": g.entries * g.tag_bits,
        "valid bits": g.entries,
        "counters": g.entries * g.counter_bits,
        "referenced bits": g.entries,
        "ages": g.banks * g.sets * AGE_FIELD.width,
        "hot bits": g.entries,
        "slots": g.banks * (g.sets << g.way_bits) * g.slot_bits,
        "slots that SELECT vacates": g.max_moves * (g.slot_bits + g.key_bits),
        "bank queues": g.banks * g.queue_depth * (lookup + answer + update),
        "beats in flight": (
            _rows(LookupHasher.DEPTH) * (lookup_beat(g).size + g.lanes * g.key_bits)
            + _rows(g.beat_depth) * pass_beat(g).size
            + _rows(verdict_depth(g)) * verdict_beat(g).size
        ),
    }


def shell_bits(geometry: Geometry) -> dict[str, int]:
    """Bits of memory that the whole accelerator has in addition to its core's, by content."""
    g = geometry
    return {
        "unique cold rows: hash tables": g.banks * table_bits(g),
        "unique cold rows: lists": g.working_rows * g.tag_bits,
        "unique cold rows: queues": g.banks * g.queue_depth * (g.tag_bits + answer_bits(g) + 1),
        "reads in flight": g.read_beats * (g.axi_bits + 1),
        "writes in flight": CHANNELS * 2 * g.burst_beats * g.axi_bits,
        "embedding tables' places": table_entry().size << TABLE_FIELD.width,
        "list in memory": LIST_WORDS * WORD_BITS,
    }


def fpga_cells(geometry: Geometry, top: str = "hotline_core") -> dict[str, int]:
    """Cells that Yosys' `synth_ecp5` makes of one of `generate.TOPS`, before placement, by kind.

    It takes minutes for thousands of entries.

    Raises:
        RuntimeError: Yosys failed. The message has the end of its output.
    """
    with tempfile.TemporaryDirectory() as folder:  # where Yosys runs, as its scripts have no paths with spaces
        source, target, script = Path(folder, "core.v"), Path(folder, "stat.json"), Path(folder, "synth.ys")
        source.write_text(generate_verilog(geometry, top))
        script.write_text(_SYNTHESIS.format(source=source.name, target=target.name, top=top))
        # In a process of its own: Yosys ends the process it runs in when it meets an error.
        run = "import sys; from pyosys import libyosys; libyosys.run_pass(f'script {sys.argv[1]}', libyosys.Design())"
        done = subprocess.run([sys.executable, "-c", run, script.name], cwd=folder, capture_output=True, text=True)
        if done.returncode or not target.exists():
            raise RuntimeError(f"Yosys could not synthesize the design: {(done.stdout + done.stderr)[-2000:]}")
        text = target.read_text()
        cells = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
    return {meaning: int(cells.get(cell, 0)) for cell, meaning in _CELLS.items()}
