"""CsrBank: the register map of `regmap` on AXI4-Lite."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.regmap import ADDRESS_BITS, REGISTERS, Access, Register

from .axi import axil_signature
from .pipelines import follow

__all__ = ["CsrBank"]

_OKAY, _SLVERR = 0, 2
_GROUP = 8  # registers that are read through one gate


class CsrBank(wiring.Component):
    """Decodes AXI4-Lite into registers described as in `regmap`, one transaction at a time in each direction.

    Args:
        registers: the registers. The low ADDRESS_BITS of their offsets are decoded.

    Ports of each register (`name` is its name in lower case):
        RO   `name`: In. Its value.
        RW   `name`: Out. Its value, held here.
        RW, `external`   `name`: In. Its value, held by the user.
                         `name_write`: Out. A write strobe.
        W1C  `name`: Out. The sticky bits, held here.
             `name_set`: In. Bits to set. Setting wins over clearing.
             `name_write`: Out. A write strobe.
        WO   `name_write`: Out. A write strobe.

    Other ports:
        bus: AXI4-Lite.
        write_data: data of the strobed write.

    These accesses answer SLVERR and do nothing: an access to an address without a register, a write to a read-only
    register, and a write that does not strobe all bytes. Latency: a write is
    answered three cycles after its request, and a read four cycles after.
    """

    def __init__(self, registers: tuple[Register, ...] = REGISTERS) -> None:
        self.registers = registers
        members: dict[str, wiring.Member] = {"bus": In(axil_signature()), "write_data": Out(32)}
        for register in registers:
            name = register.name.lower()
            if register.access is Access.WO:
                members[f"{name}_write"] = Out(1)
            elif register.access is Access.W1C:
                members[name] = Out(32)
                members[f"{name}_set"] = In(len(register.fields))
                members[f"{name}_write"] = Out(1)
            elif register.access is Access.RW and not register.external:
                members[name] = Out(32, init=register.reset)
            else:
                members[name] = In(32)
                if register.external:
                    members[f"{name}_write"] = Out(1)
        super().__init__(members)

    def _fields_mask(self, register: Register) -> int:
        return sum(field.mask for field in register.fields)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _offset(self, register: Register) -> int:
        return register.offset % (1 << ADDRESS_BITS)

    def _write(self, m: Module) -> None:
        """Address and data are taken when they come. Once both are there, the register is found, and then written."""
        bus = self.bus
        address = Signal(ADDRESS_BITS)
        data = Signal(32)
        strobes = Signal(4)
        has_address = Signal()
        has_data = Signal()
        find = Signal()
        write = Signal()
        m.d.comb += [
            bus.awready.eq(~has_address),
            bus.wready.eq(~has_data),
            find.eq(has_address & has_data & ~bus.bvalid & ~write),
            self.write_data.eq(data),
        ]
        m.d.sync += write.eq(find)
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [address.eq(bus.awaddr), has_address.eq(1)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [data.eq(bus.wdata), strobes.eq(bus.wstrb), has_data.eq(1)]
        writable = [register for register in self.registers if register.access is not Access.RO]
        found = Signal(len(writable))  # high for the cycle of the write
        with m.If(write):
            m.d.sync += [has_address.eq(0), has_data.eq(0), bus.bvalid.eq(1)]
            m.d.sync += bus.bresp.eq(Mux(found.any(), _OKAY, _SLVERR))
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        for index, register in enumerate(writable):
            m.d.sync += found[index].eq(find & strobes.all() & (address == self._offset(register)))
            selected = Signal(name=f"select_{register.name.lower()}")
            m.d.comb += selected.eq(found[index])
            self._connect(m, register, selected, data)

    def _read(self, m: Module) -> None:
        """The register is found, then selected within a group of `_GROUP`, then the group is selected."""
        bus = self.bus
        address = Signal(ADDRESS_BITS)
        has_read = Signal()
        asked = Signal()
        begin = Signal()
        m.d.comb += [bus.arready.eq(~has_read), begin.eq(has_read & ~asked & ~bus.rvalid)]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [address.eq(bus.araddr), has_read.eq(1)]
        with m.If(begin):
            m.d.sync += asked.eq(1)
        done = follow(m, "reading", begin, 2)[-1]
        found = Signal(len(self.registers))
        words = []
        for index, register in enumerate(self.registers):
            m.d.sync += found[index].eq(address == self._offset(register))
            if register.access is not Access.WO:
                words.append(Mux(found[index], getattr(self, register.name.lower()), 0))
        groups = []
        for first in range(0, len(words), _GROUP):
            group = Signal(32, name=f"group{first // _GROUP}")
            m.d.sync += group.eq(reduce(or_, words[first : first + _GROUP]))
            groups.append(group)
        known = Signal()
        m.d.sync += known.eq(found.any())
        with m.If(done):
            m.d.sync += [
                has_read.eq(0), asked.eq(0), bus.rvalid.eq(1),
                bus.rdata.eq(reduce(or_, groups)), bus.rresp.eq(Mux(known, _OKAY, _SLVERR)),
            ]  # fmt: skip
        with m.Elif(bus.rready):
            m.d.sync += bus.rvalid.eq(0)

    def _connect(self, m: Module, register: Register, selected: Signal, data: Signal) -> None:
        """Connects what a write to `register` does."""
        name = register.name.lower()
        mask = Const(self._fields_mask(register), 32)
        if register.access is Access.WO or register.external:
            m.d.comb += getattr(self, f"{name}_write").eq(selected)
        elif register.access is Access.RW:
            with m.If(selected):
                m.d.sync += getattr(self, name).eq(data & mask)
        else:
            bits = getattr(self, name)
            added = Cat(getattr(self, f"{name}_set"), Const(0, 32 - len(register.fields)))
            m.d.sync += bits.eq(Mux(selected, bits & ~data, bits) | added)
            m.d.comb += getattr(self, f"{name}_write").eq(selected)
