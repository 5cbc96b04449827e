"""HotlineDevice: the whole accelerator, the stream core in its DMA shell."""

from __future__ import annotations

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, DomainRenamer, Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.bank.working import LIST_DOMAIN
from hotline_hw.core.core import HotlineCore
from hotline_hw.lib.axi import axil_signature
from hotline_hw.lib.blocks import BlockLibrary
from hotline_hw.lib.interrupts import InterruptLine
from hotline_hw.lib.streams import SkidBuffer
from hotline_hw.shell.bus.ids import ReadIds
from hotline_hw.shell.bus.read import ReadEngine
from hotline_hw.shell.bus.windows import share_windows
from hotline_hw.shell.bus.write import WriteEngine
from hotline_hw.shell.rings.fetch import DescriptorFetch
from hotline_hw.shell.rings.sequencer import Sequencer
from hotline_hw.shell.rows.row_path import RowPath
from hotline_hw.shell.streams.stream_path import StreamPath
from hotline_hw.spec.descriptors import COUNTS, Opcode, Status
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.shell_registers import DEVICE_ADDRESS_BITS, DMA_COUNTERS

from .accounts import CycleAccounts
from .axil_split import AxilSplit
from .layouts import CHANNELS, Fault, ReadTarget, axi_signature, read_beat
from .registers import ShellRegisters

__all__ = ["HotlineDevice"]

_GATED_DOMAIN = "gated"  # its clock is core_clk
_DEVICE_DOMAIN = "device"  # its clock is clk; RESET resets it too
_RESETTING = 8  # cycles of a RESET
_AWAKE = 32  # cycles for which the core's clock runs on after the core had something to do


class HotlineDevice(wiring.Component):
    """Rings, data movers and the stream core between AXI4-Lite and an AXI4 manager.

        s_axil -> AxilSplit -> HotlineCore, ShellRegisters (rings, windows, tables, counters)
                                                                        |
        m_axi ar, r <-> ReadEngine -> DescriptorFetch ----------> Sequencer -> completion, irq
                           |                                            |
                           |----> StreamPath (lookups, state) <--> HotlineCore
                           |           | results, state, events         | lists of cold rows
                           '--> RowPath (rows of a GATHER) <------------'
                                       | rows, keys
        m_axi aw, w, b <-> WriteEngine <

    `core_clk` is the stream core's clock. It is the same as `clk`, or `clk` gated by `core_clk_enable`: an edge of clk
    at which the enable is high is one of core_clk. The enable is a register. It is low while the core has nothing to
    do, and what goes into the core waits until it is high.

    `rst` resets the device, but not the bursts that memory knows of: the engines end them by AXI's rules. `bus_rst`
    says that what is behind `m_axi` is reset too, so that nothing is outstanding. It is high only together with `rst`.
    DMA_COMMAND's RESET does what `rst` does, but for the AXI4-Lite port, which keeps the accesses that come meanwhile.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "irq": Out(1),
                "core_clk": In(1),
                "core_clk_enable": Out(1, init=1),
                "bus_rst": In(1),
                "s_axil": In(axil_signature(DEVICE_ADDRESS_BITS)),
                "m_axi": Out(axi_signature(geometry, geometry.id_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.domains += (gated := ClockDomain(_GATED_DOMAIN))
        # The enable may have been low at the only edge of a reset, so the core's reset is one cycle longer.
        was_reset = Signal(init=1)
        m.d.sync += was_reset.eq(0)
        m.domains += (device := ClockDomain(_DEVICE_DOMAIN))
        in_device = DomainRenamer(_DEVICE_DOMAIN)
        resetting = Signal()
        m.d.comb += [
            device.clk.eq(ClockSignal()), device.rst.eq(ResetSignal() | resetting),
            gated.clk.eq(self.core_clk), gated.rst.eq(ResetSignal() | was_reset | resetting),
        ]  # fmt: skip
        core = HotlineCore(g, shell=True)
        if isinstance(platform, BlockLibrary):
            m.submodules.core = platform.instance(
                core,
                "hotline_stream_core",
                {"sync": ClockSignal(_GATED_DOMAIN), LIST_DOMAIN: ClockSignal()},
                ResetSignal(_GATED_DOMAIN),
            )
        else:
            m.submodules.core = DomainRenamer({"sync": _GATED_DOMAIN, LIST_DOMAIN: _DEVICE_DOMAIN})(core)
        m.submodules.split = split = AxilSplit()
        core_busy = Signal(init=1)  # a cycle late
        m.d.sync += core_busy.eq(core.busy)
        registers = ShellRegisters(g)
        m.submodules.registers = in_device(registers)
        fetch = DescriptorFetch(g)
        m.submodules.fetch = in_device(fetch)
        sequencer = Sequencer(g)
        m.submodules.sequencer = in_device(sequencer)
        read = ReadEngine(g)
        m.submodules.read = in_device(read)
        write = WriteEngine(g, CHANNELS)
        m.submodules.write = in_device(write)
        streams = StreamPath(g)
        m.submodules.streams = in_device(streams)
        rows = RowPath(g)
        m.submodules.rows = in_device(rows)
        wiring.connect(m, wiring.flipped(self.s_axil), split.bus)
        wiring.connect(m, split.upper, registers.bus)
        m.submodules.ids = ids = ReadIds(g)
        m.d.comb += [
            ids.tag.eq(read.arid), ids.sent.eq(self.m_axi.arvalid & self.m_axi.arready), self.m_axi.arid.eq(ids.id),
            ids.rid.eq(self.m_axi.rid), ids.rvalid.eq(self.m_axi.rvalid), ids.rlast.eq(self.m_axi.rlast),
            read.rid.eq(ids.back), ids.bus_rst.eq(self.bus_rst),
        ]  # fmt: skip
        fixed = {"cache": g.axi_cache, "prot": g.axi_prot, "qos": g.axi_qos}
        for name in axi_signature(g).members:
            if name[2:] in fixed:
                m.d.comb += getattr(self.m_axi, name).eq(fixed[name[2:]])
                continue
            if name in ("arid", "rid"):
                continue
            engine = read if name.startswith(("ar", "r")) else write
            ours, theirs = getattr(self.m_axi, name), getattr(engine, name)
            m.d.comb += ours.eq(theirs) if engine.signature.members[name].flow == Out else theirs.eq(ours)
        gathers = Signal()  # it is right long before it counts
        m.d.sync += gathers.eq(sequencer.it.opcode == Opcode.GATHER)
        m.d.comb += [
            read.bus_rst.eq(self.bus_rst), write.bus_rst.eq(self.bus_rst),
            read.abort.eq(sequencer.abort), write.abort.eq(sequencer.abort),
            streams.it.eq(sequencer.it), streams.begin.eq(sequencer.begin), streams.flush.eq(sequencer.flush),
            rows.it.eq(sequencer.it), rows.stop.eq(sequencer.abort),
            rows.start.eq(sequencer.begin & gathers),
            rows.table_write.eq(registers.table_write), rows.table_index.eq(registers.table_index),
            rows.table.eq(registers.table),
        ]  # fmt: skip

        self._rings(m, registers, fetch, sequencer, read, write)
        self._core(m, core, core_busy, split, sequencer, streams, rows)
        data = self._reads(m, read, sequencer, fetch, streams, rows)
        self._writes(m, write, sequencer, streams, rows)
        m.d.comb += [
            sequencer.moved.eq(Mux(gathers, rows.done, streams.done)),
            sequencer.unknown_table.eq(rows.unknown_table & gathers),
            sequencer.beyond_table.eq(rows.beyond_table & gathers),
            *(getattr(sequencer, name).eq(getattr(streams, name)) for name in COUNTS),
        ]  # fmt: skip
        self._reset(m, split, registers, rows, resetting)
        self._counters(m, registers, core_busy, sequencer, fetch, read, write, streams, rows, data)
        self._clock(m, core, core_busy, split, sequencer, streams, rows, resetting)
        interrupt = InterruptLine()
        m.submodules.interrupt = in_device(interrupt)
        m.d.comb += [
            interrupt.causes.eq(core.irq | registers.causes),
            interrupt.acknowledged.eq(core.acknowledged | registers.acknowledged), self.irq.eq(interrupt.irq),
        ]  # fmt: skip
        return m

    def _rings(self, m, registers, fetch, sequencer, read, write) -> None:
        """Connects the windows, the path of descriptors to the Sequencer, and the register values for it."""
        for user in (sequencer, read, write):
            share_windows(m, registers.windows, user.windows)
        m.d.comb += [
            fetch.enable.eq(registers.enable), fetch.base.eq(registers.ring_base), fetch.entry.eq(registers.entry),
            fetch.available.eq(registers.available), registers.fetched.eq(fetch.fetched),
            sequencer.enable.eq(registers.enable), sequencer.room.eq(registers.room),
            sequencer.cpl_base.eq(registers.cpl_base), sequencer.cpl_entry.eq(registers.cpl_entry),
            sequencer.generation.eq(registers.generation), registers.completed.eq(sequencer.completed),
            registers.urgent.eq(sequencer.urgent), registers.running.eq(sequencer.running),
            registers.fetching.eq(fetch.busy), registers.reading.eq(read.outstanding),
            registers.writing.eq(write.outstanding),
            registers.quiescing.eq(read.quiescing | write.quiescing), registers.waits.eq(sequencer.waits),
            registers.failed.eq(fetch.failed), registers.lost.eq(sequencer.lost),
        ]  # fmt: skip
        wiring.connect(m, fetch.output, sequencer.descriptors)

    def _core(self, m, core, core_busy, split, sequencer, streams, rows) -> None:
        """Connects the stream core: its controls, its lists, and its streams with StreamPath."""
        g = self.geometry
        lists = sequencer.lists
        was_written = Signal()  # `core_busy` is as late, and low in the cycle of a write
        m.d.sync += was_written.eq(split.lower_writing)
        m.d.comb += [
            core.phase.eq(sequencer.phase), core.command.eq(sequencer.command),
            core.command_write.eq(sequencer.command_write), sequencer.core_access.eq(split.lower_writing | was_written),
            core.working_start.eq(sequencer.working_start),
            core.working_enable.eq(sequencer.working_enable), sequencer.working_ready.eq(core.working_ready),
            sequencer.working_full.eq(core.working_full), sequencer.core_busy.eq(core_busy),
            sequencer.core_errors.eq(core.errors),
            sequencer.state_rows.eq(Const(g.state_rows_per_set, 32) << core.index_bits),
            core.list_bank.eq(Mux(lists.ask, lists.bank, rows.list_bank)),
            core.list_held.eq(Mux(lists.ask, lists.held, rows.list_held)),
            core.list_number.eq(rows.list_number),
            rows.list_count.eq(core.list_count), rows.list_key.eq(core.list_key),
            streams.list_count.eq(core.list_count), streams.list_held.eq(lists.held),
            streams.list_push.eq(lists.push), streams.list_last.eq(lists.last),
            lists.ready.eq(streams.list_ready),
            streams.finished.eq(core.finished), streams.command_done.eq(core.command_done),
        ]  # fmt: skip
        self._into_core(m, core, split, streams)
        for name in ("m_axis_popular", "m_axis_nonpopular", "m_axis_state", "verdicts"):
            wiring.connect(m, getattr(core, name), getattr(streams, name))

    def _into_core(self, m, core, split, streams) -> None:
        """Connects what goes into the core. A transfer waits until the core has a clock edge for it."""
        awake = self.core_clk_enable
        for ours, theirs in (
            (streams.s_axis_lookup, core.s_axis_lookup), (streams.s_axis_state, core.s_axis_state),
            (split.lower, core.s_axil),
        ):  # fmt: skip
            for name, member in ours.signature.members.items():
                source, sink = getattr(ours, name), getattr(theirs, name)
                if member.flow == In:
                    source, sink = sink, source
                held = name.endswith(("valid", "ready"))
                m.d.comb += sink.eq(source & awake if held else source)

    def _reads(self, m, read, sequencer, fetch, streams, rows):
        """Passes requests on by priority, and their data by target. Returns the stream of data."""
        request = read.request
        earlier = Const(0)
        for source in (fetch.request, rows.list_request, sequencer.request, rows.row_request):
            chosen = source.valid & ~earlier
            m.d.comb += source.ready.eq(request.ready & ~earlier)
            with m.If(chosen):
                m.d.comb += [request.payload.eq(source.payload), request.valid.eq(1)]
            earlier = earlier | source.valid
        targets = {
            ReadTarget.DESCRIPTOR: fetch.data,
            ReadTarget.STREAM: streams.data,
            ReadTarget.LIST: rows.list_data,
            ReadTarget.ROW: rows.rows,
        }
        beats = SkidBuffer(read_beat(self.geometry))
        m.submodules.read_slice = DomainRenamer(_DEVICE_DOMAIN)(beats)
        wiring.connect(m, read.data, beats.input)
        data = beats.output
        with m.Switch(data.payload.target):
            for target, sink in targets.items():
                m.d.comb += sink.payload.eq(data.payload)
                with m.Case(target):
                    m.d.comb += [sink.valid.eq(data.valid), data.ready.eq(sink.ready)]
        # The faults of a descriptor that is read ahead do not count for the one under way.
        kind = Signal(Fault, name="read_fault_kind")
        address = Signal(64, name="read_fault_address")
        m.d.sync += [
            kind.eq(read.fault.kind), address.eq(read.fault.address),
            sequencer.read_fault.kind.eq(Mux(fetch.asked & (address == fetch.address), Fault.NONE, kind)),
            sequencer.read_fault.address.eq(address), sequencer.read_fault.known.eq(1),
        ]  # fmt: skip
        return data

    def _writes(self, m, write, sequencer, streams, rows) -> None:
        wiring.connect(m, rows.output, streams.rows)
        wiring.connect(m, rows.keys, streams.keys)
        wiring.connect(m, sequencer.completion_words, streams.completion_words)
        for number, channel in enumerate(write.channels):
            source = streams.channels[number]
            m.d.comb += [
                channel.load.eq(sequencer.load[number]), channel.target.eq(sequencer.targets[number]),
                channel.beats.payload.eq(source.payload), channel.beats.valid.eq(source.valid),
                source.ready.eq(channel.beats.ready),
            ]  # fmt: skip
        m.d.sync += sequencer.channel_idle.eq(write.channel_idle)  # it is waited for, and never asked for at once
        m.d.comb += [
            sequencer.write_fault.kind.eq(write.fault.kind),
            sequencer.write_fault.address.eq(write.fault.address),
            sequencer.write_fault.known.eq(write.fault.known),
        ]

    def _counters(self, m, registers, core_busy, sequencer, fetch, read, write, streams, rows, data) -> None:
        accounts = CycleAccounts()
        m.submodules.accounts = DomainRenamer(_DEVICE_DOMAIN)(accounts)
        axi = self.m_axi
        due = data.valid & (data.payload.target != ReadTarget.DESCRIPTOR)
        moved = Signal()
        m.d.comb += accounts.useful.eq(moved | streams.state_moved)
        m.d.sync += [  # `state_moved` is as late
            accounts.busy.eq(sequencer.running | fetch.busy | registers.available),
            moved.eq(due & data.ready),
            accounts.write.eq(
                Cat(channel.beats.valid & ~channel.beats.ready for channel in write.channels).any()
                | (write.outstanding & read.idle & ~core_busy)
            ),
            accounts.core.eq(sequencer.working & (due | (core_busy & read.idle))),
            accounts.read.eq(~read.idle),
        ]
        events = {
            "descriptors": sequencer.completed,
            "failed_descriptors": sequencer.completed & (sequencer.status != Status.OK),
            "rows_gathered": rows.row_came,
            "bytes_read": Mux(axi.rvalid & axi.rready, self.geometry.axi_bytes, 0),
            "bytes_written": Mux(axi.wvalid & axi.wready, self.geometry.axi_bytes, 0),
            **{c.name: getattr(accounts, c.name) for c in DMA_COUNTERS if c.name.startswith("dma_")},
        }
        # A cycle later: what happens far apart is counted without a path from there.
        m.d.sync += [getattr(registers, f"event_{name}").eq(event) for name, event in events.items()]

    def _reset(self, m, split, registers, rows, resetting) -> None:
        """Carries out RESET, between two accesses to registers. The next access waits until no table is known."""
        wanted = Signal()
        left = Signal(range(_RESETTING))
        m.d.comb += split.hold.eq(resetting | rows.clearing)
        with m.If(registers.reset):
            m.d.sync += wanted.eq(1)
        with m.If(wanted & ~split.busy):
            m.d.sync += [wanted.eq(0), resetting.eq(1), left.eq(_RESETTING - 1)]
        with m.Elif(resetting):
            m.d.sync += [left.eq(left - 1), resetting.eq(left != 0)]

    def _clock(self, m, core, core_busy, split, sequencer, streams, rows, resetting) -> None:
        """Enables the core's clock while something enters, leaves or is at work in the core, and a while after."""
        active = Signal()
        idle_for = Signal(range(_AWAKE + 1))
        outputs = (core.m_axis_popular, core.m_axis_nonpopular, core.m_axis_state)
        m.d.comb += [
            active.eq(
                split.lower_busy | sequencer.command_write | sequencer.working_start
                | streams.s_axis_lookup.tvalid | streams.s_axis_state.tvalid | core_busy
                | ~core.working_ready | core.verdicts.valid
                | Cat(output.tvalid for output in outputs).any()
                # A descriptor's first command or beat comes two cycles after this or more. A GATHER leaves the core
                # alone.
                | (sequencer.running & (sequencer.it.opcode != Opcode.GATHER))
            ),
        ]  # fmt: skip
        m.d.sync += self.core_clk_enable.eq(active | resetting | (idle_for != _AWAKE))
        with m.If(active):
            m.d.sync += idle_for.eq(0)
        with m.Elif(idle_for != _AWAKE):
            m.d.sync += idle_for.eq(idle_for + 1)
