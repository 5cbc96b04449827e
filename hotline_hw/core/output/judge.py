"""SampleJudge: counts the misses of every sample of a beat, across beats too."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import MISS_BITS, MISSES_COUNTED, result_beat, verdict_id_bits
from hotline_hw.lib.pipelines import delay, follow, scan, stage, sum_tree
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import SAMPLE_FIELD

__all__ = ["SampleJudge", "judgement"]


def judgement(geometry: Geometry) -> data.StructLayout:
    """What a beat says of its samples. `misses`, `ordinal` and `sample` are as in `verdict_beat`.

    A later beat ends the sample of the `tail` lanes. Its verdict is entry `tail_id` of the table of verdicts.
    """
    lane = data.StructLayout({"misses": MISS_BITS, "tail": 1, "ordinal": range(geometry.lanes)})
    return data.StructLayout(
        {
            "lanes": data.ArrayLayout(lane, geometry.lanes),
            "sample": SAMPLE_FIELD.width,
            "has_tail": 1,
            "tail_id": verdict_id_bits(geometry),
        }
    )


def _saturated(misses: Value) -> Value:
    """A number of misses, MISSES_COUNTED at most."""
    return Mux(misses > MISSES_COUNTED, MISSES_COUNTED, misses)[:MISS_BITS]


class SampleJudge(wiring.Component):
    """A pipeline that never waits.

        count misses forwards over the lanes -> hand verdicts back to the lanes -> carry over from beat to beat

    Ports:
        beat, taken: A `result_beat` comes.
        output, output_valid: Its `judgement`, in the same order.
        straddler: Pulse. A sample ends that began in an earlier beat. Its misses are `straddler_misses`.
        ended: So many straddlers have ended before.
        samples, popular, lookups, hits, bad, batch_too_long: As in SampleClassifier.

    Latency: five cycles, and two more for each two doublings of the lanes.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        count = range(geometry.lanes + 1)
        super().__init__(
            {
                "beat": In(result_beat(geometry)),
                "taken": In(1),
                "output": Out(judgement(geometry)),
                "output_valid": Out(1),
                "straddler": Out(1),
                "straddler_misses": Out(MISS_BITS),
                "ended": Out(verdict_id_bits(geometry)),
                "samples": Out(count),
                "popular": Out(count),
                "lookups": Out(count),
                "hits": Out(count),
                "bad": Out(count),
                "batch_too_long": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = range(self.geometry.lanes)
        beat = self.beat.lanes
        flags = stage(
            m, "flags", end=self.beat.end,
            **{name: [beat[lane][name] for lane in lanes] for name in ("valid", "last", "hit", "bad")},
        )  # fmt: skip
        valid, last = flags["valid"], flags["last"]

        # Forwards: a lane's sample has missed so often in this beat; a sample ends before it; so many samples do.
        def add(left: tuple, right: tuple) -> tuple:
            (misses, ended), (more, ends) = left, right
            return Mux(ends, more, misses + more), ended | ends

        before = [Const(0, 1), *last[:-1]]
        missed = [(valid[lane] & ~flags["hit"][lane], before[lane]) for lane in lanes]
        sums, forwards = scan(m, "misses", missed, add)
        ordinals, _ = scan(m, "ordinals", before, lambda left, right: left + right)
        summed = {"sums": sums, "ordinals": ordinals, **delay(m, "forwards", flags, forwards)}

        # Backwards: each lane takes the verdict of the next end.
        def nearest(behind: tuple, own: tuple) -> tuple:
            return Mux(own[1], own[0], behind[0]), own[1] | behind[1]

        ends = [(sums[lane][0], summed["last"][lane]) for lane in reversed(lanes)]
        following, backwards = scan(m, "following", ends, nearest)
        handed = delay(m, "backwards", summed, backwards)
        following = following[::-1]
        tail = Cat(~ended for _, ended in following)
        some, has_tail = Cat(handed["valid"]).any(), (Cat(handed["valid"]) & tail).any()
        joined = stage(
            m, "joined", end=handed["end"],
            misses=[misses for misses, _ in following], tail=[tail[lane] for lane in lanes],
            ordinals=handed["ordinals"], continues=[~ended for _, ended in handed["sums"]],
            first=following[0][0], ends=following[0][1], rest=Mux(handed["last"][-1], 0, handed["sums"][-1][0]),
            samples=handed["ordinals"][-1] + handed["last"][-1], some=some, has_tail=has_tail,
        )  # fmt: skip
        latency = forwards + backwards + 1
        here = follow(m, "here", self.taken, latency + 3)[1:]  # where beats are
        head_popular = self._carry(m, joined, here[latency:])
        self._count(m, flags, here[0], summed, here[forwards], head_popular)
        return m

    def _carry(self, m: Module, joined: dict[str, Any], here: list[Value]) -> Value:
        """Adds what the open sample brings from earlier beats, and numbers samples.

        Args:
            here: A beat is `joined`, or was a cycle or two before.

        Returns whether the first end of a beat is popular.
        """
        open_misses = Signal(MISS_BITS)
        is_open = Signal()
        with m.If(here[0]):
            m.d.sync += [
                open_misses.eq(_saturated(Mux(joined["ends"], 0, open_misses) + joined["rest"])),
                is_open.eq(joined["has_tail"] | (is_open & ~joined["some"])),
            ]
        head = stage(
            m, "carried", misses=[_saturated(misses) for misses in joined["misses"]],
            head=_saturated(open_misses + joined["first"]), straddler=joined["ends"] & is_open & here[0],
            last_sample=joined["samples"] - (joined["some"] & ~joined["has_tail"]),
            **{name: joined[name] for name in ("tail", "ordinals", "continues", "samples", "end", "some", "has_tail",
                                               "ends")},
        )  # fmt: skip
        # The sample counter has a bit more than the field, to see a mini-batch that is too long.
        sample = Signal(SAMPLE_FIELD.width + 1)
        reached = Signal(SAMPLE_FIELD.width + 2)  # number of the beat's last sample
        some = Signal()
        m.d.comb += [self.straddler.eq(head["straddler"]), self.straddler_misses.eq(head["head"])]
        with m.If(here[1]):
            m.d.sync += [
                self.ended.eq(self.ended + head["straddler"]),
                sample.eq(Mux(head["end"], 0, sample + head["samples"])),
            ]
        out = self.output
        m.d.sync += [
            out.sample.eq(sample), out.has_tail.eq(head["has_tail"]),
            reached.eq(sample + head["last_sample"]), some.eq(head["some"]),
            self.batch_too_long.eq(here[2] & some & (reached >= self.geometry.max_samples)),
        ]  # fmt: skip
        for lane in range(self.geometry.lanes):
            m.d.sync += [
                out.lanes[lane].misses.eq(Mux(head["continues"][lane], head["head"], head["misses"][lane])),
                out.lanes[lane].tail.eq(head["tail"][lane]),
                out.lanes[lane].ordinal.eq(head["ordinals"][lane]),
            ]
        # `ended` has counted this beat by now.
        m.d.comb += [out.tail_id.eq(self.ended), self.output_valid.eq(here[2])]
        return here[1] & head["ends"] & (head["head"] == 0)

    def _count(
        self, m: Module, flags: dict[str, Any], here: Value, summed: dict[str, Any], here_summed: Value,
        head_popular: Value,
    ) -> None:  # fmt: skip
        """The counters. A beat's first end counts as popular once it is known what came before the beat."""
        for name, bits in (("samples", "last"), ("lookups", "valid"), ("hits", "hit"), ("bad", "bad")):
            m.d.comb += getattr(self, name).eq(sum_tree(m, f"{name}_counted", [bit & here for bit in flags[bits]])[0])
        later = [
            last & ended & (misses == 0) & here_summed
            for last, (misses, ended) in zip(summed["last"], summed["sums"], strict=True)
        ]
        first = Signal()
        m.d.sync += [first.eq(head_popular), self.popular.eq(sum_tree(m, "popular_counted", later)[0] + first)]
