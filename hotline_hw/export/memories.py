"""Says in the Verilog which kind of memory each array is to become.

Tools choose by themselves, but not for the whole part: they put every tag of `kaggle` into block RAMs until there are
none left, beside hundreds of UltraRAMs. The attributes are those of Xilinx (`ram_style`), Lattice (`syn_ramstyle`) and
Intel (`ramstyle`). An array without one is left to the tool.

| array | where | why |
|---|---|---|
| read without a clock | LUTs | nothing else can |
| 4,096 words or more, or 2,048 of 144 bits or more | UltraRAM | it fills 4,096 words of 72 bits |
| tags of the first ways, where a set has 16 | UltraRAM | the rest of the tags then fit the block RAMs |
| 512 words or more | block RAM | |

Works on the text of RTLIL.
"""

from __future__ import annotations

import re

__all__ = ["ATTRIBUTES", "kind_of", "place_memories"]

ATTRIBUTES = {
    "ultra": {"ram_style": "ultra", "syn_ramstyle": "block_ram", "ramstyle": "M20K"},
    "block": {"ram_style": "block", "syn_ramstyle": "block_ram", "ramstyle": "M20K"},
    "distributed": {"ram_style": "distributed", "syn_ramstyle": "distributed", "ramstyle": "MLAB"},
}
"""What each vendor calls the kinds of memory."""

_MEMORY = re.compile(r"^  memory width (\d+) size (\d+) \\(\S+)\n", flags=re.MULTILINE)
_READ = re.compile(r"^  cell \$memrd_v2 .*?^  end\n", flags=re.MULTILINE | re.DOTALL)
_TAGS = re.compile(r"tags(\d+)")
_ULTRA_WAYS = 4


def kind_of(name: str, width: int, depth: int, clocked: bool) -> str | None:
    """The key of ATTRIBUTES for an array. None: as the tool likes."""
    if not clocked:
        return "distributed"
    tags = _TAGS.fullmatch(name)
    if depth >= 2048 and tags and int(tags[1]) < _ULTRA_WAYS:
        return "ultra"
    if depth >= 4096 or (depth >= 2048 and width >= 144):
        return "ultra"
    return "block" if depth >= 512 else None


def place_memories(rtlil_text: str) -> str:
    """One module with the attributes on its arrays."""
    unclocked = {
        found[1]
        for cell in _READ.findall(rtlil_text)
        if re.search(r"\\CLK_ENABLE (1')?0$", cell, flags=re.MULTILINE)
        and (found := re.search(r'\\MEMID "\\\\(\S+)"', cell))
    }

    def mark(memory: re.Match[str]) -> str:
        kind = kind_of(memory[3], int(memory[1]), int(memory[2]), memory[3] not in unclocked)
        attributes = ATTRIBUTES[kind].items() if kind else ()
        return "".join(f'  attribute \\{name} "{value}"\n' for name, value in attributes) + memory[0]

    return _MEMORY.sub(mark, rtlil_text)
