"""The compiler does not change what simulators compute."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hotline_sim.build.tools import SAFE_OPTIMISATION, find_compiler
from tests.support.tools import needs

# What Verilator writes for a count of bits, here of lookups that go to a bank.
COUNT = """
#include <cstdint>
#include <cstdio>
struct Bank { uint8_t take, count, choice[4]; };
__attribute__((noinline)) void push(Bank& b) {
    const uint8_t* c = b.choice;
    b.count = b.take ? (7U & ((((0U != c[0]) + (0U != c[1])) + (0U != c[2])) + (0U != c[3]))) : 0U;
}
int main() {
    Bank bank = {1, 0, {8, 0x20, 0, 0}};
    push(bank);
    std::printf("%d", bank.count);
}
"""


@needs("g++")
@pytest.mark.parametrize("level", ["-O1", "-O2", "-O3"])
def test_a_sum_of_comparisons_is_right(tmp_path: Path, level: str) -> None:
    (tmp_path / "count.cpp").write_text(COUNT)
    command = [*find_compiler(), level, *SAFE_OPTIMISATION, tmp_path / "count.cpp", "-o", tmp_path / "count"]
    subprocess.run(command, check=True)
    assert subprocess.run([tmp_path / "count"], capture_output=True, text=True, check=True).stdout == "2"
