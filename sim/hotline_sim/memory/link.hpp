// The way between device and memory: a number of bytes a clock cycle.

#pragma once

#include <algorithm>
#include <cstdint>

namespace hotline {

// Carries one thing after the other. Time is in clock cycles: cycle c lasts from c to c + 1.
class Link {
public:
    explicit Link(double bytes_per_cycle) : rate_{bytes_per_cycle} {}

    // From when on it is free.
    double free() const { return free_; }
    double time(double bytes) const { return bytes / rate_; }
    // Carries `bytes` as soon as it is free, but not before `from`: when they have arrived. `busy` counts the time.
    double carry(double from, double bytes, double* busy) {
        free_ = std::max(from, free_) + time(bytes);
        *busy += time(bytes);
        last_ = busy;
        return free_;
    }
    // Whose time it spent last.
    const double* last() const { return last_; }

private:
    const double rate_;
    double free_ = 0;
    const double* last_ = nullptr;
};

// Packets that a burst is cut into: whether its byte `at` begins one.
inline bool begins_chunk(uint64_t at, uint32_t chunk_bytes) { return at % chunk_bytes == 0; }

}  // namespace hotline
