"""What connects the tracker's banks with the rest of the core. Plain functions that add to the core's module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value

from hotline_hw.core.bank.bank import PopularityBank
from hotline_hw.core.bank.working import LIST_DOMAIN
from hotline_hw.core.input.front import FrontTable
from hotline_hw.core.input.scatter import BankScatter
from hotline_hw.core.output.gather import BankGather
from hotline_hw.core.output.updates import UpdateScatter
from hotline_hw.lib.blocks import place
from hotline_hw.lib.csr import CsrBank
from hotline_hw.lib.pipelines import sum_tree
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import register

from .control import TrackerControl
from .layouts import row_parts
from .selector import HotSetSelector

if TYPE_CHECKING:
    from .core import HotlineCore

__all__ = ["connect_front", "connect_lists", "connect_selector", "connect_updates", "count_events", "place_banks"]

_EVENTS = {"inserts": "inserted", "evictions": "evicted", "revivals": "revived", "returns": "returned"}
"""For each counter, the event pulse of a bank that it counts."""


def place_banks(
    m: Module, platform: object, g: Geometry, scatter: BankScatter, gather: BankGather, control: TrackerControl
) -> list[PopularityBank]:
    """Places the banks between scatter and gather."""
    banks = []
    for number in range(g.banks):
        bank = PopularityBank(g)
        banks.append(bank)
        place(m, platform, f"bank{number}", bank, "popularity_bank", (LIST_DOMAIN,) if g.working_rows else ())
        m.d.comb += [
            bank.bank.eq(number),
            bank.scatter.eq(scatter.to_bank[number]),
            *(there.eq(here) for there, here in zip(bank.rank_is, scatter.rank_is, strict=True)),
            *(there.eq(here) for there, here in zip(bank.tags, scatter.tags, strict=True)),
            bank.pass_load.eq(scatter.load),
            scatter.asked[number].eq(bank.asked),
            scatter.room[number].eq(bank.room),
            bank.take.eq(scatter.fire),
            bank.awaited.eq(gather.awaited[number]),
            bank.advance.eq(gather.advance),
            gather.ready[number].eq(bank.ready),
            bank.fetch.eq(gather.fetch),
            gather.heads[number].eq(bank.heads),
            bank.budget.eq(control.budget),
            bank.row_write.eq(control.row_write[number]),
            bank.clear.eq(control.clear),
        ]
        for there, here in (
            *zip(row_parts(bank.row_in), row_parts(control.row_in), strict=True),
            *zip(row_parts(control.row_out[number]), row_parts(bank.row_out), strict=True),
        ):
            m.d.comb += there.eq(here)
    return banks


def count_events(m: Module, banks: list[PopularityBank]) -> dict[str, Signal]:
    """Counts the events of all banks in a cycle. Returns the numbers, by counter, a few cycles later."""
    counts = {}
    for counter, pulse in _EVENTS.items():
        counts[counter], _ = sum_tree(m, f"{pulse}_count", [getattr(bank, pulse) for bank in banks])
    return counts


def connect_updates(m: Module, updates: UpdateScatter, banks: list[PopularityBank], csr: CsrBank) -> Value:
    """Takes verdicts back to the banks. Returns whether an update is under way."""
    for index in range(len(updates.weights)):
        group = register(f"WEIGHTS_{index // 4}")
        field = group.field(f"weight_{index}")
        m.d.comb += updates.weights[index].eq(getattr(csr, group.name.lower())[field.low : field.low + field.width])
    for number, bank in enumerate(banks):
        m.d.comb += [
            bank.update.eq(updates.to_bank[number]),
            *(there.eq(here) for there, here in zip(bank.update_rank_is, updates.rank_is, strict=True)),
            *(there.eq(here) for there, here in zip(bank.update_tags, updates.tags, strict=True)),
            *(there.eq(here) for there, here in zip(bank.update_weights, updates.lane_weights, strict=True)),
            *(there.eq(here) for there, here in zip(bank.update_hot, updates.hot, strict=True)),
            bank.update_load.eq(updates.load),
            bank.update_take.eq(updates.fire),
            updates.room[number].eq(bank.update_room),
            bank.age_period.eq(csr.age_period),
        ]
    # A beat is in the scatter or in the banks from the cycle after it was taken. Its packets have not left in that
    # cycle.
    updating = Signal()
    m.d.sync += updating.eq(updates.busy | Cat(bank.updating for bank in banks).any())
    return updating | updates.busy


def connect_front(
    m: Module, front: FrontTable, gather: BankGather, updates: UpdateScatter, control: TrackerControl,
    selector: HotSetSelector,
) -> None:  # fmt: skip
    """Connects the front table with those that know slots, that keep gains, and that change what is hot."""
    m.d.comb += [
        *(there.eq(here) for there, here in zip(gather.slots, front.slots, strict=True)),
        *(there.eq(here) for there, here in zip(updates.keys, front.keys, strict=True)),
        front.answer_valid.eq(gather.answer_valid),
        front.answer_front.eq(gather.answer_front),
        front.answer_slot.eq(gather.answer_slot),
        front.clear.eq(control.clear | control.restore_start),
        front.forget.eq(selector.running),
    ]
    m.d.sync += front.over.eq(updates.over)


def connect_selector(
    m: Module, selector: HotSetSelector, banks: list[PopularityBank], control: TrackerControl, csr: CsrBank
) -> None:
    """Connects the banks' sets. The selector uses them while it runs, the control at all other times."""
    m.d.comb += [
        selector.start.eq(control.select),
        control.selecting.eq(selector.running),
        selector.hot_rows.eq(control.hot_rows),
        selector.set_mask.eq(control.budget.set_mask),
        selector.hysteresis.eq(csr.hysteresis),
        selector.move_limit.eq(csr.move_limit),
        selector.select_start.eq(csr.select_start),
        selector.clear.eq(control.clear | control.restore_start),
        selector.restored.eq(control.restored),
    ]
    running = selector.running
    for number, bank in enumerate(banks):
        m.d.comb += [
            bank.row_access.eq(running | control.row_access),
            bank.row_set.eq(Mux(running, selector.row_set, control.row_set)),
            bank.row_way.eq(Mux(running, selector.row_way, control.row_way)),
            bank.entry_write.eq(selector.take[number] | control.entry_write[number]),
            bank.tag_in.eq(Mux(running, selector.tag_in, control.tag_in)),
            bank.make_hot.eq(Mux(running, selector.make_hot, control.make_hot)),
            bank.slot_in.eq(Mux(running, selector.slot_in, control.slot_in)),
            control.hot_out[number].eq(bank.hot_out),
            *(owner.tag_out[number].eq(bank.tag_out) for owner in (control, selector)),
            *(owner.slot_out[number].eq(bank.slot_out) for owner in (control, selector)),
            bank.level.eq(selector.level),
            bank.wanted.eq(selector.wanted),
            bank.load.eq(selector.load),
            selector.eligible[number].eq(bank.eligible),
            selector.any_left[number].eq(bank.any_left),
            selector.pick_way[number].eq(bank.pick_way),
        ]


def connect_lists(m: Module, core: HotlineCore, banks: list[PopularityBank]) -> None:
    """Connects the banks' lists of unique cold rows, so that one address reaches them all."""
    # The shell's signals are registered before they fan out. So nothing in a bank changes while the core's clock
    # stands, and no simulator has to look at it.
    start = Signal()
    enable = Signal()
    all_ready = Signal()  # in the cycle before, and `start` was low
    m.d.sync += [
        start.eq(core.working_start), enable.eq(core.working_enable),
        all_ready.eq(~start & Cat(bank.working_ready for bank in banks).all()),
    ]  # fmt: skip
    m.d.comb += [
        core.working_ready.eq(~start & all_ready),
        core.working_full.eq(Cat(bank.working_full for bank in banks).any()),
    ]
    for bank in banks:
        m.d.comb += [
            bank.working_start.eq(start), bank.working_enable.eq(enable),
            bank.list_held.eq(core.list_held), bank.list_number.eq(core.list_number),
        ]  # fmt: skip
    read_bank = Signal(range(len(banks)))
    m.d[LIST_DOMAIN] += [
        core.list_count.eq(Array(Mux(core.list_held, bank.held_count, bank.count) for bank in banks)[core.list_bank]),
        read_bank.eq(core.list_bank),
        core.list_key.eq(Cat(read_bank, Array(bank.list_tag for bank in banks)[read_bank])),
    ]
