"""AxilCrossing between clocks of many ratios and phases: every access arrives once, in order, and is answered."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from hotline_hw.lib.axil_crossing import HOST_DOMAIN, AxilCrossing

ADDRESS_BITS = 13
ACCESSES = 40


@pytest.mark.parametrize("device_phase", [0.0, 0.31, 0.5])
@pytest.mark.parametrize(("host_ns", "device_ns"), [(4, 4), (10, 4), (4, 10), (8.1, 8), (50, 3), (3, 50)])
def test_accesses_arrive_once_and_are_answered(host_ns, device_ns, device_phase):
    dut, random_ = AxilCrossing(ADDRESS_BITS), random.Random(f"{host_ns} {device_ns} {device_phase}")
    near, far = dut.s_axil, dut.m_axil
    writes = [(random_.getrandbits(13), random_.getrandbits(32), random_.getrandbits(4)) for _ in range(ACCESSES)]
    reads = [random_.getrandbits(ADDRESS_BITS) for _ in range(ACCESSES)]
    written, seen, responses, data = [], [], [], []

    async def until(ctx, domain, ready, *values):
        """Waits for the edge at which `ready` is sampled high. Values of that edge."""
        while True:
            _, _, high, *rest = await ctx.tick(domain).sample(ready, *values)
            if high:
                return rest

    async def rest(ctx, domain):
        for _ in range(random_.choice((0, 0, 0, 1, 5))):
            await ctx.tick(domain)

    async def offer(ctx, domain, valid, ready, **payload):
        await rest(ctx, domain)
        for name, value in payload.items():
            ctx.set(getattr(near if domain == HOST_DOMAIN else far, name), value)
        ctx.set(valid, 1)
        await until(ctx, domain, ready)
        ctx.set(valid, 0)

    async def take(ctx, domain, valid, ready, *values):
        await rest(ctx, domain)
        ctx.set(ready, 1)
        found = await until(ctx, domain, valid, *values)
        ctx.set(ready, 0)
        return found

    async def write_addresses(ctx):
        for address, _, _ in writes:
            await offer(ctx, HOST_DOMAIN, near.awvalid, near.awready, awaddr=address)

    async def write_words(ctx):
        for _, word, strobes in writes:
            await offer(ctx, HOST_DOMAIN, near.wvalid, near.wready, wdata=word, wstrb=strobes)

    async def write_responses(ctx):
        for _ in writes:
            responses.extend(await take(ctx, HOST_DOMAIN, near.bvalid, near.bready, near.bresp))

    async def read_addresses(ctx):
        for address in reads:
            await offer(ctx, HOST_DOMAIN, near.arvalid, near.arready, araddr=address)

    async def read_data(ctx):
        for _ in reads:
            data.append(await take(ctx, HOST_DOMAIN, near.rvalid, near.rready, near.rdata, near.rresp))

    async def subordinate_writes(ctx):
        while True:
            (address,) = await take(ctx, "sync", far.awvalid, far.awready, far.awaddr)
            written.append((address, *await take(ctx, "sync", far.wvalid, far.wready, far.wdata, far.wstrb)))
            await offer(ctx, "sync", far.bvalid, far.bready, bresp=address % 4)

    async def subordinate_reads(ctx):
        while True:
            (address,) = await take(ctx, "sync", far.arvalid, far.arready, far.araddr)
            seen.append(address)
            await offer(ctx, "sync", far.rvalid, far.rready, rdata=address * 77777, rresp=address % 4)

    top = Module()
    top.submodules.dut = dut
    simulator = Simulator(top)
    simulator.add_clock(host_ns * 1e-9, domain=HOST_DOMAIN)
    simulator.add_clock(device_ns * 1e-9, phase=device_ns * 1e-9 * device_phase)
    for process in (write_addresses, write_words, write_responses, read_addresses, read_data):
        simulator.add_testbench(process)
    for process in (subordinate_writes, subordinate_reads):
        simulator.add_testbench(process, background=True)
    simulator.run()

    assert written == writes
    assert seen == reads
    assert responses == [address % 4 for address, _, _ in writes]
    assert data == [[address * 77777 % 2**32, address % 4] for address in reads]
