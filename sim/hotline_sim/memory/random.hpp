// Seeded randomness of the memory model: coins, and latencies of a distribution.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "pins.hpp"

namespace hotline {

// splitmix64.
class Random {
public:
    explicit Random(uint64_t seed) : state_{seed} {}

    uint64_t next() {
        uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    // In [0, 1).
    double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
    // A probability of 0 costs no randomness, so that settings which are off leave the others' sequence alone.
    bool chance(double probability) { return probability > 0 && unit() < probability; }
    uint32_t below(uint32_t limit) { return static_cast<uint32_t>(unit() * limit); }

    // Clock cycles, 1 at least. The random part ends at kCut times its mean, so that there is a longest latency.
    double latency(const Latency& of) { return std::max(1.0, of.minimum + std::min(tail(of), kCut * of.tail_mean)); }

private:
    static constexpr double kCut = 16;

    double tail(const Latency& of) {
        switch (of.tail) {
            case kTriangular: return (unit() + unit()) * of.tail_mean;
            case kExponential: return -std::log1p(-unit()) * of.tail_mean;
            case kLognormal: {
                const double radius = std::sqrt(-2 * std::log1p(-unit()));  // Box-Muller
                const double normal = radius * std::cos(2 * 3.141592653589793 * unit());
                return of.tail_mean * std::exp(of.sigma * normal - of.sigma * of.sigma / 2);
            }
            default: return 0;
        }
    }

    uint64_t state_;
};

}  // namespace hotline
