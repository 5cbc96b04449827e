// The read channels: AR to R.
//
// A burst that is accepted in cycle c has its data ready for the link in cycle c + latency, or later by as long as its
// request waits for the link of the writes (only one at a time does). The link carries bursts whole, in the order in which they became
// ready, a beat after the other, and R offers a beat in the cycle by whose end it has been carried. Without overhead, on
// a link that is idle and as fast as the bus, that is cycle c + latency.
//
// The bytes are those that memory holds when the link begins with the burst, or (early_reads) when it is accepted.

#pragma once

#include <cstring>
#include <vector>

#include "id_order.hpp"
#include "link.hpp"
#include "random.hpp"
#include "regions.hpp"
#include "rules.hpp"

namespace hotline {

class Reads {
public:
    Reads(const Config& config, Link& link, Link& requests, double* request_time, Regions& regions, Rules& rules,
          Direction& statistics)
        : config_{config}, link_{link}, requests_{requests}, request_time_{request_time}, regions_{regions},
          rules_{rules}, statistics_{statistics}, random_{config.seed ^ 0x5EAD5}, order_{config.id_bits} {}

    // Decides the outputs of cycle `now`. `reserved`: time that another has been promised on the link.
    void offer(Pins& pins, uint64_t now, double reserved) {
        carry(now, reserved);
        const bool askable = config_.request_header == 0 || requests_.free() < static_cast<double>(now) + 1;
        pins.arready = bursts_.count() < config_.reads && askable && !random_.chance(config_.ar_stall);
        if (pins.rvalid || order_.turn().empty() || random_.chance(config_.r_gap)) return;
        const int chosen = choose();
        if (chosen < 0) return;
        if (current_ >= 0 && chosen != current_) ++statistics_.interleaved;
        current_ = chosen;
        Read& read = bursts_[chosen];
        if (read.sent == 0) note_latency(static_cast<double>(now - read.accepted));
        pins.rvalid = 1;
        pins.rid = read.id;
        pins.rlast = read.sent == read.beats - 1;
        pins.rresp = read.wrong(read.sent) ? read.response : uint8_t{kOkay};
        if (pins.rresp == kOkay) {
            std::memcpy(pins.rdata, read.data.data() + size_t(read.sent) * config_.beat_bytes, config_.beat_bytes);
        } else {
            std::memset(pins.rdata, 0xEE, config_.beat_bytes);  // worthless, and not to be mistaken for zeros
        }
    }

    // The pins have settled: whether a transfer takes place at the end of cycle `now`.
    bool sample(Pins& pins, uint64_t now) {
        statistics_.pending_cycles += bursts_.count() || pins.ar.valid;
        const bool accepted = pins.ar.valid && pins.arready, taken = pins.rvalid && pins.rready;
        if (taken) finish_beat(pins);
        if (accepted) accept(pins.ar, now);
        return accepted || taken;
    }

    void reset() {
        bursts_.clear(), order_.clear();
        carrying_ = flying_ = current_ = -1;
    }

private:
    struct Read {
        uint64_t accepted, serial;
        const uint8_t* bytes;  // null: none are touched
        double ready;
        uint32_t id;
        int beats, carried, sent;
        int wrong_beat;  // the only one that is answered with an error; -1: each is
        uint8_t response;
        std::vector<uint8_t> data;
        bool wrong(int beat) const { return response != kOkay && (wrong_beat < 0 || beat == wrong_beat); }
    };

    void accept(const Address& ar, uint64_t now) {
        rules_.check_burst("m_axi_ar", now, ar);
        const int burst = bursts_.take();
        Read& read = bursts_[burst];
        read.accepted = now, read.serial = serial_++;
        read.id = ar.id & ((1u << config_.id_bits) - 1);
        read.beats = ar.len + 1, read.carried = read.sent = 0;
        const uint64_t size = uint64_t(read.beats) * config_.beat_bytes;
        const uint64_t address = ar.addr & ~uint64_t{config_.beat_bytes - 1};
        decide_response(read, address, size);
        ++statistics_.bursts;
        statistics_.errors += read.response != kOkay;
        if (bursts_.count() > statistics_.peak) statistics_.peak = bursts_.count();
        if (random_.chance(config_.early_reads)) fetch(read);

        double sent = static_cast<double>(now);
        if (config_.request_header > 0) {
            const double header = config_.request_header * ((size - 1) / config_.request_size + 1);
            sent = std::max(sent, requests_.carry(sent, header, request_time_) - requests_.time(header));
        }
        read.ready = sent + random_.latency(config_.read_latency);
        order_.enter(read.id, burst);
        bursts_.wait(burst, read.ready);
    }

    void decide_response(Read& read, uint64_t address, uint64_t size) {
        read.bytes = regions_.find(address, size);
        read.wrong_beat = -1;
        read.response = read.bytes ? regions_.response(address, size) : uint8_t{kDecErr};
        if (read.response == kOkay && random_.chance(config_.error)) {
            read.response = random_.chance(0.5) ? kSlvErr : kDecErr;
            if (random_.chance(0.5)) read.wrong_beat = static_cast<int>(random_.below(read.beats));
        }
        if (read.response != kOkay && read.wrong_beat < 0) read.bytes = nullptr;
        read.data.clear();
    }

    void fetch(Read& read) {
        if (read.bytes) read.data.assign(read.bytes, read.bytes + size_t(read.beats) * config_.beat_bytes);
        read.bytes = nullptr;
    }

    // Lets the link work until the end of cycle `now`.
    void carry(uint64_t now, double reserved) {
        const double end = static_cast<double>(now) + 1;
        for (;;) {
            if (flying_ >= 0) {
                if (arrives_ > end) return;
                Read& read = bursts_[flying_];
                if (read.carried++ == 0) order_.ready(read.id, flying_);
                if (read.carried == read.beats) carrying_ = -1;
                flying_ = -1;
            }
            if (carrying_ < 0) {
                if (!bursts_.due(end) || std::max(link_.free(), bursts_.when()) + reserved >= end) return;
                carrying_ = bursts_.next();
                fetch(bursts_[carrying_]);
            } else if (link_.free() + reserved >= end) {
                return;
            }
            Read& read = bursts_[carrying_];
            const uint64_t at = uint64_t(read.carried) * config_.beat_bytes;
            const double header = begins_chunk(at, config_.read_payload) ? config_.read_header : 0;
            flying_ = carrying_;
            arrives_ = link_.carry(read.ready, config_.beat_bytes + header, &statistics_.busy_cycles);
        }
    }

    // The burst whose beat R offers next, -1: none. A burst is followed to its end unless another comes between.
    int choose() {
        const bool more = current_ >= 0 && bursts_[current_].carried > bursts_[current_].sent;
        if (current_ >= 0 && config_.interleave == 0) return more ? current_ : -1;
        if (more && !random_.chance(config_.interleave)) return current_;
        others_.clear();
        for (const int burst : order_.turn()) {
            if (burst != current_ && bursts_[burst].carried > bursts_[burst].sent) others_.push_back(burst);
        }
        if (others_.empty()) return more ? current_ : -1;
        return others_[config_.interleave > 0 ? random_.below(static_cast<uint32_t>(others_.size())) : 0];
    }

    void finish_beat(Pins& pins) {
        pins.rvalid = 0;
        Read& read = bursts_[current_];
        ++statistics_.beats;
        if (pins.rresp == kOkay) statistics_.bytes += config_.beat_bytes;
        if (++read.sent < read.beats) return;
        statistics_.overtaken += read.serial < newest_;
        newest_ = std::max(newest_, read.serial);
        order_.leave(read.id);
        bursts_.give_back(current_);
        current_ = -1;
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
    Link& requests_;
    double* request_time_;
    Regions& regions_;
    Rules& rules_;
    Direction& statistics_;
    Random random_;
    IdOrder order_;
    Bursts<Read> bursts_;
    std::vector<int> others_;
    uint64_t serial_ = 1, newest_ = 0;
    int carrying_ = -1, flying_ = -1;  // the burst that the link is at, and the one whose beat is on its way
    double arrives_ = 0;
    int current_ = -1;  // the burst of the beat on R, or of the last one if it has more
};

}  // namespace hotline
