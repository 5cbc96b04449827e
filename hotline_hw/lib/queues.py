"""Queues whose ends cut paths: a FIFO of streams, and the queues on the two sides of a tracker bank.

One of the latter has several inputs and one output, the other the reverse. Both are built of `ports` small memories
that are used in turn, so that each takes one access a cycle. The i-th item ever pushed lives in memory i % ports.

Whether something is in a queue is told by comparing its pointers, which are registers. So what comes late (that an item
is pushed, or popped) only enables registers.
"""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal, signed
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.memories import UNCHECKED

__all__ = ["MultiPopQueue", "MultiPushQueue", "StreamQueue"]


class StreamQueue(wiring.Component):
    """First in, first out, in memory that is read with the clock. `input.ready` and `output` come from registers.

    Args:
        shape: of the items.
        depth: items for which there is room for certain. There is one place more, in the output register.

    Ports:
        input, output: Streams of `shape`.

    Throughput: an item a cycle. Latency: two cycles.
    """

    def __init__(self, shape: object, *, depth: int) -> None:
        self.shape = shape
        self.depth = depth
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = (self.depth - 1).bit_length()
        m.submodules.storage = store = memory.Memory(shape=self.shape, depth=1 << bits, init=[], attrs=UNCHECKED)
        write = store.write_port()
        read = store.read_port()
        write_pointer = Signal(bits + 1)
        read_pointer = Signal(bits + 1)
        # Free places, less one: the sign tells whether there is one. A place that is read is free two cycles later.
        spare = Signal(signed(bits + 2), init=self.depth - 1)
        taken = Signal()
        fetched = Signal()
        freed = Signal()
        m.d.comb += [
            self.input.ready.eq(spare >= 0),
            taken.eq(self.input.valid & self.input.ready),
            write.addr.eq(write_pointer), write.data.eq(self.input.payload), write.en.eq(taken),
            fetched.eq((write_pointer != read_pointer) & (~self.output.valid | self.output.ready)),
            read.addr.eq(read_pointer), read.en.eq(fetched), self.output.payload.eq(read.data),
        ]  # fmt: skip
        m.d.sync += [freed.eq(fetched), spare.eq(Mux(taken, spare + freed - 1, spare + freed))]
        with m.If(taken):
            m.d.sync += write_pointer.eq(write_pointer + 1)
        with m.If(fetched):
            m.d.sync += [read_pointer.eq(read_pointer + 1), self.output.valid.eq(1)]
        with m.Elif(self.output.ready):
            m.d.sync += self.output.valid.eq(0)
        return m


class _LanedQueue(wiring.Component):
    """What both queues share: `ports` memories, and a pointer for either end."""

    def __init__(self, signature: dict[str, wiring.Member], width: int, depth: int, ports: int) -> None:
        if depth % ports or depth // ports < 2 or depth & (depth - 1) or ports & (ports - 1):
            raise ValueError(f"depth={depth} and ports={ports} must be powers of two, depth at least 2*ports")
        self.width = width
        self.depth = depth
        self.ports = ports
        super().__init__(signature)

    @property
    def _port_bits(self) -> int:
        return (self.ports - 1).bit_length()

    def _memories(self, m: Module) -> tuple[list[memory.WritePort], list[memory.ReadPort]]:
        """The memories' ports: synchronous write, asynchronous read (LUT RAM)."""
        writes, reads = [], []
        for index in range(self.ports):
            store = memory.Memory(shape=self.width, depth=self.depth // self.ports, init=[])
            m.submodules[f"lane{index}"] = store
            writes.append(store.write_port())
            reads.append(store.read_port(domain="comb"))
        return writes, reads

    def _addresses(self, pointer: Signal) -> list:
        """For each memory, the address of its first item at or after `pointer`."""
        low, high = pointer[: self._port_bits], pointer[self._port_bits :]
        return [high + (index < low) if self.ports > 1 else high for index in range(self.ports)]


class MultiPushQueue(_LanedQueue):
    """First in, first out. Up to `ports` items are pushed and one is popped in a cycle.

    Contract: the items of one push enter in port order. There is no ready. The user pushes only into free places, and
    holds a credit for each. An item can be popped in the cycle after its push.

    Ports:
        push: `ports` items.
        push_count: how many of them there are, counted from the first.
        push_valid: they are taken. It may come late in the cycle.
        head: the oldest item.
        head_valid: there is an item.
        pop: removes the oldest item. It is ignored when there is none.
    """

    def __init__(self, *, width: int, depth: int, ports: int) -> None:
        signature = {
            "push": In(width).array(ports),
            "push_count": In(range(ports + 1)),
            "push_valid": In(1),
            "head": Out(width),
            "head_valid": Out(1),
            "pop": In(1),
        }
        super().__init__(signature, width, depth, ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        writes, reads = self._memories(m)
        write_pointer = Signal(self.depth.bit_length())  # a bit more than an address has
        read_pointer = Signal(self.depth.bit_length())
        m.d.comb += self.head_valid.eq(write_pointer != read_pointer)

        for index, (port, address) in enumerate(zip(writes, self._addresses(write_pointer), strict=True)):
            position = Signal(max(1, self._port_bits))
            m.d.comb += position.eq(index - write_pointer[: self._port_bits] if self.ports > 1 else 0)
            m.d.comb += [
                port.addr.eq(address),
                port.data.eq(Array(self.push)[position] if self.ports > 1 else self.push[0]),
                port.en.eq(self.push_valid & (position < self.push_count)),
            ]
        for port in reads:
            m.d.comb += port.addr.eq(read_pointer[self._port_bits :])
        m.d.comb += self.head.eq(
            Array([port.data for port in reads])[read_pointer[: self._port_bits]] if self.ports > 1 else reads[0].data
        )

        with m.If(self.push_valid):
            m.d.sync += write_pointer.eq(write_pointer + self.push_count)
        with m.If(self.pop & self.head_valid):
            m.d.sync += read_pointer.eq(read_pointer + 1)
        return m


class MultiPopQueue(_LanedQueue):
    """First in, first out. One item is pushed and up to `ports` are popped in a cycle.

    Contract: the user pushes only into a free place and pops only what is there, so it counts the items. An item can be
    seen in the cycle after its push.

    Ports:
        push: the item to take.
        push_valid: it is taken.
        heads: the oldest `ports` items, oldest first. Only as many as there are have a meaning.
        pop_count: how many of the oldest to remove.
        pop: they are removed. It may come late in the cycle.
    """

    def __init__(self, *, width: int, depth: int, ports: int) -> None:
        signature = {
            "push": In(width),
            "push_valid": In(1),
            "heads": Out(width).array(ports),
            "pop_count": In(range(ports + 1)),
            "pop": In(1),
        }
        super().__init__(signature, width, depth, ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        writes, reads = self._memories(m)
        write_pointer = Signal(range(self.depth))
        read_pointer = Signal(range(self.depth))

        for index, port in enumerate(writes):
            m.d.comb += [
                port.addr.eq(write_pointer[self._port_bits :]),
                port.data.eq(self.push),
                port.en.eq(self.push_valid & ((write_pointer[: self._port_bits] == index) if self.ports > 1 else 1)),
            ]
        for port, address in zip(reads, self._addresses(read_pointer), strict=True):
            m.d.comb += port.addr.eq(address)
        by_lane = Array([port.data for port in reads])
        for index, head in enumerate(self.heads):
            lane = (read_pointer + index)[: self._port_bits]
            m.d.comb += head.eq(by_lane[lane] if self.ports > 1 else reads[0].data)

        with m.If(self.push_valid):
            m.d.sync += write_pointer.eq(write_pointer + 1)
        with m.If(self.pop):
            m.d.sync += read_pointer.eq(read_pointer + self.pop_count)
        return m
