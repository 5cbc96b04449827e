// Memory behind an AXI4 subordinate, with the latency, bandwidth and disorder of a `Config`. A clock cycle is
//
//     offer()   decides arready, awready, wready, r*, b* from what was registered
//     ...       the manager settles
//     sample()  takes the handshakes of the cycle, and checks the manager
//
// Same-id bursts are answered in order, others as they come. What is in no region is answered with DECERR and touches
// nothing. A byte that was written is in memory no later than the burst's B is offered: a read that is accepted then or
// later has it; reads that began before may have it or not (reads.hpp, writes.hpp).

#pragma once

#include "pins.hpp"
#include "reads.hpp"
#include "regions.hpp"
#include "rules.hpp"
#include "writes.hpp"

namespace hotline {

class Memory {
public:
    explicit Memory(const Config& config)
        : config_{config},
          rules_{config.beat_bytes, config.id_bits, config.max_beats},
          read_link_{config.read_rate > 0 ? config.read_rate : config.beat_bytes},
          write_link_{config.write_rate > 0 ? config.write_rate : config.beat_bytes},
          reads_{config_, read_link_, written(), &request_time_, regions_, rules_, statistics_.read},
          writes_{config_, written(), regions_, rules_, statistics_.write} {}
    Memory(const Memory&) = delete;

    Pins& pins() { return pins_; }

    void offer() {
        // Reads and writes that wait for a shared link take turns: after a read, time is promised to W.
        const bool promised =
            config_.shared && writes_.waits_for_link() && read_link_.last() == &statistics_.read.busy_cycles;
        reads_.offer(pins_, statistics_.cycles, promised ? read_link_.time(config_.beat_bytes) : 0);
        writes_.offer(pins_, statistics_.cycles);
    }

    // Whether any transfer took place.
    bool sample() {
        rules_.check_stable(statistics_.cycles, pins_);
        const bool written = writes_.sample(pins_, statistics_.cycles);
        const bool read = reads_.sample(pins_, statistics_.cycles);
        ++statistics_.cycles;
        return read || written;
    }

    // The manager was reset: what was under way is forgotten.
    void reset() {
        reads_.reset(), writes_.reset(), rules_.reset();
        pins_ = {};
    }

    Regions& regions() { return regions_; }
    const Rules& rules() const { return rules_; }
    Statistics statistics() const {
        Statistics all = statistics_;
        all.cycles -= counted_from_;
        all.write.busy_cycles += request_time_;
        return all;
    }
    void clear_statistics() {
        counted_from_ = statistics_.cycles;
        statistics_.read = statistics_.write = {};
        request_time_ = 0;
    }

private:
    Link& written() { return config_.shared ? read_link_ : write_link_; }

    const Config config_;
    Statistics statistics_{};  // its cycles are the clock, and never cleared
    uint64_t counted_from_ = 0;
    double request_time_ = 0;
    Pins pins_{};
    Regions regions_;
    Rules rules_;
    Link read_link_, write_link_;
    Reads reads_;
    Writes writes_;
};

}  // namespace hotline
