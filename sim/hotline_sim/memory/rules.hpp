// What AXI4 and the device's contract ask of the manager. The first violation is kept as text, all are counted.

#pragma once

#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>

#include "pins.hpp"

namespace hotline {

class Rules {
public:
    Rules(uint32_t beat_bytes, uint32_t id_bits, uint32_t max_beats)
        : beat_bytes_{beat_bytes}, id_bits_{id_bits}, max_beats_{max_beats} {}

    uint64_t count() const { return count_; }
    const char* message() const { return message_.c_str(); }
    // Nothing that was offered before counts any more.
    void reset() { ar_.valid = aw_.valid = w_waits_ = 0; }

    __attribute__((format(printf, 3, 4))) void violate(uint64_t now, const char* format, ...) {
        if (count_++) return;
        char text[256];
        va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        message_ = "cycle " + std::to_string(now) + ": " + text;
    }

    // Valid and payload stay until ready. Called in every cycle, once the pins have settled.
    void check_stable(uint64_t now, const Pins& pins) {
        check_address("m_axi_ar", now, &ar_, pins.ar, pins.arready);
        check_address("m_axi_aw", now, &aw_, pins.aw, pins.awready);
        if (w_waits_) {
            if (!pins.wvalid) {
                violate(now, "m_axi_wvalid fell before wready");
            } else if (pins.wlast != wlast_ || pins.wstrb != wstrb_ || std::memcmp(pins.wdata, wdata_, beat_bytes_)) {
                violate(now, "m_axi_w: the payload changed while it waited for wready");
            }
        }
        w_waits_ = pins.wvalid && !pins.wready;
        if (w_waits_) wlast_ = pins.wlast, wstrb_ = pins.wstrb, std::memcpy(wdata_, pins.wdata, beat_bytes_);
    }

    // A burst that is accepted.
    void check_burst(const char* channel, uint64_t now, const Address& burst) {
        const uint32_t beats = burst.len + 1u;
        const uint64_t first = burst.addr & ~uint64_t{beat_bytes_ - 1};
        const uint64_t last = first + uint64_t{beats} * beat_bytes_ - 1;
        if (burst.burst != 1) violate(now, "%sburst is %d; it must be INCR (1)", channel, burst.burst);
        if (1u << burst.size != beat_bytes_) {
            violate(now, "%ssize is %d; beats must be as wide as the bus, %u bytes", channel, burst.size, beat_bytes_);
        }
        if (beats > max_beats_) {
            violate(now, "%slen is %d: %u beats, of %u at most", channel, burst.len, beats, max_beats_);
        }
        if (first >> 12 != last >> 12) {
            violate(now, "%saddr %#" PRIx64 ": %u beats cross a boundary of 4 KiB", channel, burst.addr, beats);
        }
        if (burst.lock) violate(now, "%slock is %d; exclusive access is not supported", channel, burst.lock);
        if (burst.id >> id_bits_) violate(now, "%sid is %u, which has more than %u bits", channel, burst.id, id_bits_);
    }

private:
    void check_address(const char* channel, uint64_t now, Address* before, const Address& pins, bool ready) {
        if (before->valid) {
            const Address& was = *before;
            if (!pins.valid) {
                violate(now, "%svalid fell before %sready", channel, channel + 6);
            } else if (pins.addr != was.addr || pins.id != was.id || pins.len != was.len || pins.size != was.size ||
                       pins.burst != was.burst || pins.lock != was.lock || pins.cache != was.cache ||
                       pins.prot != was.prot || pins.qos != was.qos) {
                violate(now, "%s: the payload changed while it waited for ready", channel);
            }
        }
        if (pins.valid && !ready) {
            *before = pins;
        } else {
            before->valid = 0;
        }
    }

    const uint32_t beat_bytes_, id_bits_, max_beats_;
    uint64_t count_ = 0;
    std::string message_;
    Address ar_{}, aw_{};
    bool w_waits_ = false;
    uint8_t wlast_ = 0;
    uint64_t wstrb_ = 0;
    uint8_t wdata_[kMaxBeatBytes] = {};
};

}  // namespace hotline
