"""The queues on the two sides of a tracker bank. One has several inputs and one output, the other the reverse.

Both are built of `ports` small memories that are used in turn, so that each takes one access a cycle. The i-th item
ever pushed lives in memory i % ports.
"""

from __future__ import annotations

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["MultiPopQueue", "MultiPushQueue"]


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
        push_count: how many of them are taken, counted from the first.
        head: the oldest item.
        head_valid: there is an item.
        pop: removes the oldest item. It is ignored when there is none.
    """

    def __init__(self, *, width: int, depth: int, ports: int) -> None:
        signature = {
            "push": In(width).array(ports),
            "push_count": In(range(ports + 1)),
            "head": Out(width),
            "head_valid": Out(1),
            "pop": In(1),
        }
        super().__init__(signature, width, depth, ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        writes, reads = self._memories(m)
        write_pointer = Signal(range(self.depth))
        read_pointer = Signal(range(self.depth))
        level = Signal(range(self.depth + 1))
        popped = Signal()
        m.d.comb += [self.head_valid.eq(level != 0), popped.eq(self.pop & self.head_valid)]

        for index, (port, address) in enumerate(zip(writes, self._addresses(write_pointer), strict=True)):
            position = Signal(max(1, self._port_bits))
            m.d.comb += position.eq(index - write_pointer[: self._port_bits] if self.ports > 1 else 0)
            m.d.comb += [
                port.addr.eq(address),
                port.data.eq(Array(self.push)[position] if self.ports > 1 else self.push[0]),
                port.en.eq(position < self.push_count),
            ]
        for port in reads:
            m.d.comb += port.addr.eq(read_pointer[self._port_bits :])
        m.d.comb += self.head.eq(
            Array([port.data for port in reads])[read_pointer[: self._port_bits]] if self.ports > 1 else reads[0].data
        )

        m.d.sync += [
            write_pointer.eq(write_pointer + self.push_count),
            read_pointer.eq(read_pointer + popped),
            level.eq(level + self.push_count - popped),
        ]
        return m


class MultiPopQueue(_LanedQueue):
    """First in, first out. One item is pushed and up to `ports` are popped in a cycle.

    Contract: the user pushes only into a free place and pops only what is there (`level`). An item can be seen in the
    cycle after its push.

    Ports:
        push: the item to take.
        push_valid: it is taken.
        heads: the oldest `ports` items, oldest first. Only the first `level` of them have a meaning.
        level: items held.
        pop_count: how many of the oldest to remove.
    """

    def __init__(self, *, width: int, depth: int, ports: int) -> None:
        signature = {
            "push": In(width),
            "push_valid": In(1),
            "heads": Out(width).array(ports),
            "level": Out(range(depth + 1)),
            "pop_count": In(range(ports + 1)),
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

        m.d.sync += [
            write_pointer.eq(write_pointer + self.push_valid),
            read_pointer.eq(read_pointer + self.pop_count),
            self.level.eq(self.level + self.push_valid - self.pop_count),
        ]
        return m
