// The write channels: AW and W to B.
//
// W is taken as fast as the link carries it, for bursts whose address has been accepted; with early_data now and then
// up to kEarlyBeats beats before that. B of a burst whose address and data have been accepted in full by cycle c is
// offered from cycle c + latency on. Its bytes land in memory in cycle c, or (late_writes) when B is offered; those of
// one id in the order of their bursts. A burst that is answered with an error writes nothing.

#pragma once

#include <cstring>
#include <deque>
#include <vector>

#include "id_order.hpp"
#include "link.hpp"
#include "random.hpp"
#include "regions.hpp"
#include "rules.hpp"

namespace hotline {

class Writes {
public:
    Writes(const Config& config, Link& link, Regions& regions, Rules& rules, Direction& statistics)
        : config_{config}, link_{link}, regions_{regions}, rules_{rules}, statistics_{statistics},
          random_{config.seed ^ 0x3717E}, order_{config.id_bits} {}

    // Whether W waited last cycle for the link alone.
    bool waits_for_link() const { return refused_; }

    // Decides the outputs of cycle `now`.
    void offer(Pins& pins, uint64_t now) {
        while (bursts_.due(static_cast<double>(now) + 1e-9)) {
            const int burst = bursts_.next();
            order_.ready(bursts_[burst].id, burst);
        }
        pins.awready = bursts_.count() < config_.writes && !random_.chance(config_.aw_stall);
        const bool awaited =
            !filling_.empty() || (early_.size() < kEarlyBeats && random_.chance(config_.early_data));
        const bool free = link_.free() < static_cast<double>(now) + 1;
        pins.wready = awaited && free && !random_.chance(config_.w_stall);
        refused_ = awaited && !free;
        if (pins.bvalid || order_.turn().empty() || random_.chance(config_.b_gap)) return;
        answering_ = order_.turn().front();
        land_up_to(answering_);
        const Write& write = bursts_[answering_];
        note_latency(static_cast<double>(now - write.full));
        pins.bvalid = 1;
        pins.bid = write.id;
        pins.bresp = write.response;
    }

    // The pins have settled: whether a transfer takes place at the end of cycle `now`.
    bool sample(Pins& pins, uint64_t now) {
        statistics_.pending_cycles += bursts_.count() || pins.aw.valid || pins.wvalid;
        refused_ &= pins.wvalid;
        const bool answered = pins.bvalid && pins.bready;
        const bool accepted = pins.aw.valid && pins.awready, taken = pins.wvalid && pins.wready;
        if (answered) finish(pins);
        if (accepted) accept(pins.aw, now);
        if (taken) take_beat(pins, now);
        return answered || accepted || taken;
    }

    // A burst that was accepted in full is not undone.
    void reset() {
        for (uint32_t id = 0; id < 1u << config_.id_bits; ++id) {
            order_.up_to(id, -1, [&](int burst) { land(bursts_[burst]); });
        }
        bursts_.clear(), order_.clear();
        filling_.clear(), early_.clear();
        answering_ = -1;
        early_chunk_ = 0;
        refused_ = false;
    }

private:
    static constexpr size_t kEarlyBeats = 16;

    struct Beat {
        uint8_t data[kMaxBeatBytes];
        uint64_t strobes;
        uint8_t last;
    };
    struct Write {
        uint64_t full, serial;
        uint8_t* bytes;  // null: none are touched, or they have landed
        uint32_t id;
        int beats;
        uint8_t response;
        bool late;
        uint32_t skipped;  // bytes of the first beat before the address
        std::vector<Beat> data;
    };

    void accept(const Address& aw, uint64_t now) {
        rules_.check_burst("m_axi_aw", now, aw);
        const int burst = bursts_.take();
        Write& write = bursts_[burst];
        write.serial = serial_++;
        write.id = aw.id & ((1u << config_.id_bits) - 1);
        write.beats = aw.len + 1;
        write.data.clear();
        write.skipped = static_cast<uint32_t>(aw.addr & (config_.beat_bytes - 1));
        const uint64_t address = aw.addr - write.skipped, size = uint64_t(write.beats) * config_.beat_bytes;
        write.bytes = regions_.find(address, size);
        write.response = write.bytes ? regions_.response(address, size) : uint8_t{kDecErr};
        if (write.response == kOkay && random_.chance(config_.error)) {
            write.response = random_.chance(0.5) ? kSlvErr : kDecErr;
        }
        if (write.response != kOkay) write.bytes = nullptr;
        write.late = random_.chance(config_.late_writes);
        ++statistics_.bursts;
        statistics_.errors += write.response != kOkay;
        if (bursts_.count() > statistics_.peak) statistics_.peak = bursts_.count();
        order_.enter(write.id, burst);
        filling_.push_back(burst);
        while (!early_.empty() && !filling_.empty()) {
            fill(early_.front(), now);
            early_.pop_front();
        }
    }

    void take_beat(const Pins& pins, uint64_t now) {
        Beat beat;
        std::memcpy(beat.data, pins.wdata, config_.beat_bytes);
        beat.strobes = pins.wstrb, beat.last = pins.wlast;
        // A packet begins with the burst and then every write_payload bytes; a burst's first beats may be early.
        const size_t place = filling_.empty() ? early_chunk_ : bursts_[filling_.front()].data.size();
        early_chunk_ = filling_.empty() && !beat.last ? early_chunk_ + 1 : 0;
        const bool begins = begins_chunk(uint64_t(place) * config_.beat_bytes, config_.write_payload);
        const int bytes = __builtin_popcountll(beat.strobes);
        link_.carry(static_cast<double>(now), bytes + (begins ? config_.write_header : 0), &statistics_.busy_cycles);
        ++statistics_.beats;
        if (filling_.empty()) {
            early_.push_back(beat);
        } else {
            fill(beat, now);
        }
    }

    // The next beat of the oldest burst that is not full.
    void fill(const Beat& beat, uint64_t now) {
        Write& write = bursts_[filling_.front()];
        const int number = static_cast<int>(write.data.size());
        const bool last = number == write.beats - 1;
        if (beat.last != last) {
            rules_.violate(now, "m_axi_wlast is %d in beat %d of a burst of %d beats", beat.last, number + 1,
                           write.beats);
        }
        if (number == 0 && beat.strobes & ((uint64_t{1} << write.skipped) - 1)) {
            rules_.violate(now, "m_axi_wstrb %#" PRIx64 " has bytes before the burst's address, %u into the beat",
                           beat.strobes, write.skipped);
        }
        if (beat.strobes >> (config_.beat_bytes - 1) > 1) {
            rules_.violate(now, "m_axi_wstrb %#" PRIx64 " has more bits than the bus has bytes", beat.strobes);
        }
        write.data.push_back(beat);
        if (!last) return;
        const int burst = filling_.front();
        filling_.pop_front();
        write.full = now;
        if (!write.late) land_up_to(burst);
        bursts_.wait(burst, static_cast<double>(now) + random_.latency(config_.write_latency));
    }

    void land_up_to(int burst) {
        order_.up_to(bursts_[burst].id, burst, [&](int older) { land(bursts_[older]); });
    }

    void land(Write& write) {
        if (!write.bytes || static_cast<int>(write.data.size()) < write.beats) return;
        const uint64_t all = ~uint64_t{0} >> (64 - config_.beat_bytes);
        uint8_t* to = write.bytes;
        for (const Beat& beat : write.data) {
            if ((beat.strobes & all) == all) {
                std::memcpy(to, beat.data, config_.beat_bytes);
                statistics_.bytes += config_.beat_bytes;
            } else {
                for (uint32_t i = 0; i < config_.beat_bytes; ++i) {
                    if (beat.strobes >> i & 1) to[i] = beat.data[i], ++statistics_.bytes;
                }
            }
            to += config_.beat_bytes;
        }
        write.bytes = nullptr;
    }

    void finish(Pins& pins) {
        pins.bvalid = 0;
        const Write& write = bursts_[answering_];
        statistics_.overtaken += write.serial < newest_;
        newest_ = std::max(newest_, write.serial);
        order_.leave(write.id);
        bursts_.give_back(answering_);
        answering_ = -1;
    }

    void note_latency(double cycles) {
        Direction& to = statistics_;
        to.latency_min = to.latencies ? std::min(to.latency_min, cycles) : cycles;
        to.latency_max = std::max(to.latency_max, cycles);
        to.latency_sum += cycles;
        ++to.latencies;
    }

    const Config& config_;
    Link& link_;
    Regions& regions_;
    Rules& rules_;
    Direction& statistics_;
    Random random_;
    IdOrder order_;
    Bursts<Write> bursts_;
    std::deque<int> filling_;  // bursts that want data, in the order of their addresses
    std::deque<Beat> early_;   // data whose address has not come
    size_t early_chunk_ = 0;
    uint64_t serial_ = 1, newest_ = 0;
    int answering_ = -1;
    bool refused_ = false;
};

}  // namespace hotline
