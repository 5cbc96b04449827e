// What crosses the C interface of the memory model. `library.py` mirrors these structs; their sizes are compared when
// the library is loaded.

#pragma once

#include <cstdint>

namespace hotline {

constexpr int kMaxBeatBytes = 64;

enum Response : uint8_t { kOkay = 0, kSlvErr = 2, kDecErr = 3 };

// An address channel, driven by the manager.
struct Address {
    uint64_t addr;
    uint32_t id;
    uint8_t len, size, burst, lock, cache, prot, qos, valid;
};

struct Pins {
    // From the manager, read by Memory::sample. A payload needs to be right only where its valid is high.
    Address ar, aw;
    uint64_t wstrb;
    uint8_t wdata[kMaxBeatBytes];
    uint8_t wlast, wvalid, rready, bready;
    // To the manager, set by Memory::offer.
    uint8_t arready, awready, wready, rvalid, rlast, rresp, bvalid, bresp;
    uint32_t rid, bid;
    uint8_t rdata[kMaxBeatBytes];
};

enum Tail : uint32_t { kNone = 0, kTriangular = 1, kExponential = 2, kLognormal = 3 };

// A distribution of latencies, in clock cycles: a minimum, and a random part with this mean.
struct Latency {
    double minimum, tail_mean, sigma;  // sigma: of the logarithm, lognormal only
    uint32_t tail, unused;
};

// Sizes in bytes, rates in bytes a clock cycle (0: a beat a cycle), probabilities from 0 up to but not including 1.
struct Config {
    uint64_t seed;
    Latency read_latency, write_latency;
    double read_rate, write_rate;
    double read_header, write_header, request_header;  // overhead on the link: each chunk of data, each request
    double interleave, early_reads, late_writes, early_data;
    double ar_stall, aw_stall, w_stall, r_gap, b_gap;
    double error;
    uint32_t beat_bytes, id_bits, max_beats;
    uint32_t shared;                                     // reads and writes share one link, of read_rate
    uint32_t read_payload, write_payload, request_size;  // most bytes of a chunk, and of a request on the link
    uint32_t reads, writes;                              // bursts that may be outstanding
    uint32_t unused;
};

struct Direction {
    uint64_t bursts, beats, bytes, errors;
    uint64_t pending_cycles;  // cycles in which a burst was asked for and not yet answered in full
    uint64_t peak;            // most bursts outstanding
    uint64_t overtaken;      // bursts that were answered after one that was accepted later
    uint64_t interleaved;     // R beats that came between the beats of another burst
    uint64_t latencies;       // bursts of which the latency is known
    double busy_cycles;       // time in which the link carried data and overhead of this direction, in clock cycles
    double latency_sum, latency_min, latency_max;
};

struct Statistics {
    uint64_t cycles;
    Direction read, write;
};

}  // namespace hotline
