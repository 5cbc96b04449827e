"""Mistakes in the small blocks of the DMA shell. `right` in the block's module becomes `wrong`, and the block's proof
catches each of them."""

from __future__ import annotations

__all__ = [
    "ACCOUNTS",
    "AXIL_CROSSING",
    "AXIL_SPLIT",
    "DISPATCH",
    "GRANULES",
    "RESULTS",
    "RINGS",
    "SETS",
    "TAP",
    "VERDICTS",
    "WALKER",
    "WORDS",
]

Mutants = dict[str, tuple[str, str]]

GRANULES: Mutants = {
    "what an end left over is forgotten": ("overflowed.eq(piece.end & (total > size))", "overflowed.eq(0)"),
    "an end comes before what it left over": ("out.end.eq(piece.end & (total <= size))", "out.end.eq(piece.end)"),
    "granules from the bottom of the beat": ("piece.data >> first * _BITS", "piece.data"),
    "the next packet begins behind the last": ("level.eq(Mux(piece.end, 0, total))", "level.eq(total)"),
    "a beat that waits is overwritten": ("free.eq(~self.output.valid | self.output.ready)", "free.eq(1)"),
    "not busy with a beat that waits": (
        "self.busy.eq(self.output.valid | overflowed | (level != 0))", "self.busy.eq(overflowed | (level != 0))",
    ),
}  # fmt: skip

WORDS: Mutants = {
    "a last place that stays free fills the beat": (
        "word.last | (word.some & (place == room - 1))", "word.last | (place == room - 1)",
    ),
    "the next packet begins behind the last": (
        "place.eq(Mux(word.last, 0, place + word.some))", "place.eq(place + word.some)",
    ),
    "an end without a word has one": (
        "out.words.eq((place + word.some) * (bits // 32))", "out.words.eq((place + 1) * (bits // 32))",
    ),
}  # fmt: skip

RESULTS: Mutants = {
    "a last beat is full": ("out.words.eq(place * lanes + beat.count)", "out.words.eq(place * lanes + lanes)"),
    "a packet that ends halfway stays": (
        "self.output.valid.eq(beat.last | (place == beats - 1))", "self.output.valid.eq(place == beats - 1)",
    ),
    "the next packet begins halfway": ("place.eq(Mux(beat.last, 0, place + 1))", "place.eq(place + 1)"),
}  # fmt: skip

SETS: Mutants = {
    "a set that is not whole": ("self.output.valid.eq(part == parts - 1)", "self.output.valid.eq(part == parts - 2)"),
    "parts in the wrong place": ("part.eq(Mux(part == parts - 1, 0, part + 1))", "part.eq(part - 1)"),
}

VERDICTS: Mutants = {
    "bits beyond the verdicts": ("((beat.bits & within) << level)", "(beat.bits << level)"),
    "what a word left over is lost": (
        "hold.eq(Mux(whole, merged[_BITS:], merged[:_BITS]))", "hold.eq(merged[:_BITS])",
    ),
    "an empty last word": ("out.some.eq(level != 0)", "out.some.eq(1)"),
    "the next mini-batch begins before the last one's end": (
        "self.input.ready.eq(free & ~ending)", "self.input.ready.eq(free)",
    ),
    "verdicts of the last mini-batch stay": ("ending.eq(0), hold.eq(0), level.eq(0)", "ending.eq(0), level.eq(0)"),
}  # fmt: skip

AXIL_CROSSING: Mutants = {
    "the answer of the request before": ("with m.Elif(~heard & ~finished)", "with m.Elif(~finished)"),
    "a request is asked again": ("with m.Elif(~heard & ~finished)", "with m.Elif(~heard)"),
    "an answer falls before its request": (
        "answered.eq(asking & (answered | self.done))", "answered.eq(asking & self.done)",
    ),
    "carried out again while the request falls": ("self.asked.eq(asking & ~answered)", "self.asked.eq(asking)"),
    "an address is sent twice": ("(address_sent | far.awready)", "far.awready"),
    "data is sent twice": ("(data_sent | far.wready)", "far.wready"),
    "a read is sent twice": ("(sent | far.arready)", "far.arready"),
    "a write goes without its data": ("write.wants.eq(has_address & has_data)", "write.wants.eq(has_address)"),
    "an address passes the register": ("far.awaddr.eq(address)", "far.awaddr.eq(near.awaddr)"),
    "the next read overtakes": ("near.arready.eq(~has_address)", "near.arready.eq(1)"),
    "the answer of the read before": ("near.rdata.eq(word)", "near.rdata.eq(near.rdata)"),
    "a response that is not kept": ("near.bresp.eq(response)", "near.bresp.eq(far.bresp)"),
}  # fmt: skip

AXIL_SPLIT: Mutants = {
    "an address is sent twice": ("address_sent.eq(address_sent | half.awready)", "address_sent.eq(address_sent)"),
    "data is sent twice": ("data_sent.eq(data_sent | half.wready)", "data_sent.eq(data_sent)"),
    "data goes before its address": (
        "writing.eq(has_address & has_data & ~self.hold)", "writing.eq(has_data & ~self.hold)",
    ),
    "writes begin while held": ("has_data & ~self.hold", "has_data"),
    "reads begin while held": ("has_read & ~self.hold", "has_read"),
    "a read is asked twice": ("asked.eq(asked | half.arready)", "asked.eq(asked)"),
    "a second read overtakes": ("bus.arready.eq(~has_read)", "bus.arready.eq(1)"),
    "reads of the upper half go to the lower": ("read_upper.eq(bus.araddr[-1])", "read_upper.eq(0)"),
    "protection of the next write": ("half.awprot.eq(protection)", "half.awprot.eq(bus.awprot)"),
    "reads do not count as access": (
        "self.lower_busy.eq(self.lower_writing | (reading & ~read_upper))", "self.lower_busy.eq(self.lower_writing)",
    ),
    "no turn between writes": ("bus.awready.eq(~has_address & ~rests)", "bus.awready.eq(~has_address)"),
    "a write counts before its data": (
        "self.lower_writing.eq(writing & ~to_upper)", "self.lower_writing.eq(has_address & ~to_upper)",
    ),
}  # fmt: skip

ACCOUNTS: Mutants = {
    "two causes": ("getattr(self, cause) & ~earlier)", "getattr(self, cause))"),
    "idle cycles count": ("self.dma_overhead.eq(self.busy & ~earlier)", "self.dma_overhead.eq(~earlier)"),
}

WALKER: Mutants = {
    "a row too far": ("(rows[1] >= entry.rows)", "(rows[1] > entry.rows)"),
    "rows behind a bad one": ("valid[2] & ~unknown & ~beyond & ~ended", "valid[2] & ~unknown & ~beyond"),
    "unknown tables are read": ("valid[2] & ~unknown & ~beyond & ~ended", "valid[2] & ~beyond & ~ended"),
    "a table that was taken away": ("some = entry.rows != 0", "some = Const(1)"),
    "a request that waits is overwritten": (
        "move.eq(~valid[-1] | self.output.ready)", "move.eq(~valid[-1] | self.output.ready | valid[0])",
    ),
    "addresses go ahead": ("bases[1].eq(bases[0])", "bases[1].eq(entry.base)"),
    "named while a key waits": (
        "take.eq(self.names.valid & (self.keys.ready | ~self.want_keys) & ~dropping)",
        "take.eq(self.names.valid & ~dropping)",
    ),
}  # fmt: skip

DISPATCH: Mutants = {
    "a miss is popular": ('source.misses == 0 if name == "popular"', 'source.misses < 2 if name == "popular"'),
    "lookups on both streams": ("source.valid & wanted", "source.valid"),
    "one side takes a beat twice": ("side.input.valid.eq(valid & both_ready)", "side.input.valid.eq(valid)"),
    "every lookup of a beat is of one sample": ("sample.eq(beat.sample + source.ordinal)", "sample.eq(beat.sample)"),
}  # fmt: skip

TAP: Mutants = {
    "verdicts of lookups": ("end = source.valid & source.last", "end = source.valid"),
    "verdicts of free lanes": ("end = source.valid & source.last", "end = source.last"),
    "an empty mini-batch has no end": ("(some | beat.last)", "some"),
    "a verdict is not waited for": (
        "entry.output.ready.eq(~self.output.valid | self.output.ready)",
        "entry.output.ready.eq(1)",
    ),
    "verdicts by lane": ("(lane.ordinal == bit)", "(beat.lanes[bit].popular)"),
}

RINGS: Mutants = {
    "descriptors are taken back": (
        "most_more.eq(size - ready)", "most_more.eq(size)",
    ),
    "a descriptor too many": ("(more > most_more)", "(more > most_more + 1)"),
    "completions are read that are not written": (
        "most_fewer.eq(waiting)", "most_fewer.eq(size)",
    ),
    "room in a full ring": ("self.room.eq(waiting < size)", "self.room.eq(waiting <= size)"),
    "upper bits of a doorbell are ignored": (
        "beyond | (more > most_more)", "(more > most_more)",
    ),
    "a generation an entry": ("(self.cpl_producer & size) == 0", "(self.cpl_producer & mask) == 0"),
    "by number one too late": ("enough.eq(waiting >= goal)", "enough.eq(waiting > goal)"),
    "never by time": ("(timer >= self.delay)", "(timer > self.delay)"),
    "by time again and again": ("& late & ~told)", "& late)"),
    "by time once for all": (
        "late.eq(0), told.eq(0), some.eq(0)]\n        m.d.sync", "late.eq(0), some.eq(0)]\n        m.d.sync",
    ),
    "a completion goes uncounted": ("- fewer + self.completed", "- fewer"),
    "a fetched descriptor stays": ("ready + more - self.fetched", "ready + more"),
    "nothing is urgent": ("self.urgent | enough", "enough"),
}  # fmt: skip
