// Drives the Verilated core from arrays: the clock loop and every port's handshake, behind a C interface for ctypes.
//
// A transfer is set up by hotline_send and hotline_receive, port by port, and carried out by hotline_run, which
// advances the clock until all of it is done, or for a slice of wall-clock time: the caller then looks for signals
// and calls again. All ports work in every cycle, so the core sees no gap that the caller did not ask for.

#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>

#include "Vhotline_core.h"
#include "axil.hpp"
#include "verilated.h"
#include "waves.hpp"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "port images are copied byte by byte");

namespace {

constexpr int kWordBytes = 8;

enum Status : int { kDone = 0, kRunning = 1, kTimeout = 2, kOverflow = 3 };
enum SourcePort : int { kLookup, kStateIn, kSources };
enum SinkPort : int { kPopular, kNonpopular, kStateOut, kSinks };

// Decides in which cycles a port holds back. Its own generator (splitmix64) for each port, so that a port's
// pattern does not depend on the others.
class Stall {
public:
    void configure(uint64_t seed, double probability) {
        state_ = seed;
        // 2^64 times the probability; 1 would never end, and is refused by the caller.
        threshold_ = static_cast<uint64_t>(probability * 18446744073709551616.0);
    }
    bool now() {
        if (threshold_ == 0) return false;
        uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return (z ^ (z >> 31)) < threshold_;
    }

private:
    uint64_t state_ = 0, threshold_ = 0;
};

// Sends packets of words on an AXI4-Stream input. Beats are full but for a packet's last. `keep` may be null.
class Source {
public:
    Stall stall;

    Source(void* data, void* keep, CData& last, CData& valid, const CData& ready, int lanes)
        : data_{data}, keep_{static_cast<uint8_t*>(keep)}, last_{last}, valid_{valid}, ready_{ready}, lanes_{lanes} {}

    void start(const uint64_t* words, const int64_t* ends, int64_t packets) {
        words_ = words, ends_ = ends, packets_ = packets;
        packet_ = position_ = 0;
    }
    void cancel() { packets_ = packet_ = 0, valid_ = 0; }
    bool done() const { return packet_ == packets_; }

    // Before a cycle settles: offers a beat, unless one is offered already (it must stay until it is taken).
    void offer() {
        if (valid_ || done() || stall.now()) return;
        const int64_t left = ends_[packet_] - position_;
        count_ = left < lanes_ ? static_cast<int>(left) : lanes_;
        std::memcpy(data_, words_ + position_, count_ * kWordBytes);
        if (count_ < lanes_) {
            std::memset(static_cast<char*>(data_) + count_ * kWordBytes, 0, (lanes_ - count_) * kWordBytes);
        }
        if (keep_) {
            std::memset(keep_, 0xFF, count_);
            std::memset(keep_ + count_, 0, lanes_ - count_);
        }
        last_ = left <= lanes_;
        valid_ = 1;
    }
    // After it settled: whether the beat is taken at the coming edge.
    bool sample() { return fires_ = valid_ && ready_; }
    // After the edge.
    void advance() {
        if (!fires_) return;
        valid_ = 0;
        position_ += count_;
        if (last_) ++packet_;
    }

private:
    void* data_;
    uint8_t* keep_;
    CData& last_;
    CData& valid_;
    const CData& ready_;
    const int lanes_;
    const uint64_t* words_ = nullptr;
    const int64_t* ends_ = nullptr;
    int64_t packets_ = 0, packet_ = 0, position_ = 0;
    int count_ = 0;
    bool fires_ = false;
};

// Receives packets of words from an AXI4-Stream output, null bytes left out. `keep` may be null.
class Sink {
public:
    Stall stall;

    Sink(const void* data, const void* keep, const CData& last, const CData& valid, CData& ready, int lanes)
        : data_{data}, keep_{static_cast<const uint8_t*>(keep)}, last_{last}, valid_{valid}, ready_{ready},
          lanes_{lanes} {}

    void start(uint64_t* words, int64_t capacity, int64_t* ends, int64_t packets) {
        words_ = words, capacity_ = capacity, ends_ = ends, packets_ = packets;
        packet_ = count_ = 0;
        overflow_ = false;
    }
    void cancel() { packets_ = packet_ = 0, ready_ = 0; }
    bool done() const { return packet_ == packets_; }
    bool overflow() const { return overflow_; }

    void offer() { ready_ = !done() && !stall.now(); }
    bool sample() {
        if (!(ready_ && valid_)) return false;
        if (count_ + lanes_ <= capacity_ && full()) {
            std::memcpy(words_ + count_, data_, lanes_ * kWordBytes);
            count_ += lanes_;
        } else {
            take_kept();
        }
        if (last_) ends_[packet_++] = count_;
        return true;
    }

private:
    bool full() const {
        for (int lane = 0; keep_ && lane < lanes_; ++lane) {
            if (keep_[lane] != 0xFF) return false;
        }
        return true;
    }
    void take_kept() {
        for (int lane = 0; lane < lanes_; ++lane) {
            if (keep_ && !keep_[lane]) continue;
            if (count_ == capacity_) {
                overflow_ = true;
                return;
            }
            std::memcpy(words_ + count_++, static_cast<const char*>(data_) + lane * kWordBytes, kWordBytes);
        }
    }

    const void* data_;
    const uint8_t* keep_;
    const CData& last_;
    const CData& valid_;
    CData& ready_;
    const int lanes_;
    uint64_t* words_ = nullptr;
    int64_t* ends_ = nullptr;
    int64_t capacity_ = 0, packets_ = 0, packet_ = 0, count_ = 0;
    bool overflow_ = false;
};

class Harness {
public:
    Harness(uint64_t quiet_limit, const char* trace_path)
        : quiet_limit_{quiet_limit},
          context_{new VerilatedContext},
          core_{new Vhotline_core{context_.get()}},
          registers_{*core_},
          sources_{
              {&core_->s_axis_lookup_tdata, &core_->s_axis_lookup_tkeep, core_->s_axis_lookup_tlast,
               core_->s_axis_lookup_tvalid, core_->s_axis_lookup_tready, kLanes},
              {&core_->s_axis_state_tdata, nullptr, core_->s_axis_state_tlast, core_->s_axis_state_tvalid,
               core_->s_axis_state_tready, kWays},
          },
          sinks_{
              {&core_->m_axis_popular_tdata, &core_->m_axis_popular_tkeep, core_->m_axis_popular_tlast,
               core_->m_axis_popular_tvalid, core_->m_axis_popular_tready, kLanes},
              {&core_->m_axis_nonpopular_tdata, &core_->m_axis_nonpopular_tkeep, core_->m_axis_nonpopular_tlast,
               core_->m_axis_nonpopular_tvalid, core_->m_axis_nonpopular_tready, kLanes},
              {&core_->m_axis_state_tdata, nullptr, core_->m_axis_state_tlast, core_->m_axis_state_tvalid,
               core_->m_axis_state_tready, kWays},
          } {
        waves_.open(*context_, *core_, trace_path);
        reset();
    }
    ~Harness() {
        core_->final();
        waves_.close();
    }

    void reset() {
        cancel();
        registers_.reset();
        core_->rst = 1;
        for (int i = 0; i < 4; ++i) settle(), edge();
        core_->rst = 0;
    }

    void stall(uint64_t seed, const double* probabilities) {
        int port = 0;
        for (Source& source : sources_) source.stall.configure(seed + port, probabilities[port]), ++port;
        for (Sink& sink : sinks_) sink.stall.configure(seed + port, probabilities[port]), ++port;
    }

    int read(uint32_t address, uint32_t* value, int* response) {
        return registers_.read(*this, quiet_limit_, address, value, response) ? kDone : kTimeout;
    }
    int write(uint32_t address, uint32_t value, int* response) {
        return registers_.write(*this, quiet_limit_, address, value, response) ? kDone : kTimeout;
    }

    // A clock cycle is settle() and then edge().
    void settle() {
        core_->clk = 0;
        core_->eval();
        waves_.dump(*context_);
    }
    void edge() {
        core_->clk = 1;
        core_->eval();
        waves_.dump(*context_);
        ++cycles_;
    }

    Source& source(int port) { return sources_[port]; }
    Sink& sink(int port) { return sinks_[port]; }

    // Runs until every transfer is done (and irq is high, if that is waited for) or for `seconds`.
    int run(bool for_irq, double seconds) {
        using Clock = std::chrono::steady_clock;
        const auto end = Clock::now() + std::chrono::duration<double>(seconds);
        for (;;) {
            for (int cycle = 0; cycle < kCyclesPerLook; ++cycle) {
                if (done() && !(for_irq && !irq())) return finish(kDone);
                if (step()) {
                    quiet_ = 0;
                } else if (++quiet_ > quiet_limit_) {
                    return finish(kTimeout);
                }
                for (const Sink& sink : sinks_) {
                    if (sink.overflow()) return finish(kOverflow);
                }
            }
            if (Clock::now() >= end) return kRunning;
        }
    }

    uint64_t cycles() const { return cycles_; }

    // Whether any beat of the transfers since the last finished run was taken.
    bool moved() const { return moved_; }

private:
    static constexpr int kLanes = sizeof(Vhotline_core::s_axis_lookup_tdata) / kWordBytes;
    static constexpr int kWays = sizeof(Vhotline_core::s_axis_state_tdata) / kWordBytes;
    static constexpr int kCyclesPerLook = 256;  // clock cycles between two looks at the wall clock

    bool done() const {
        for (const Source& source : sources_) {
            if (!source.done()) return false;
        }
        for (const Sink& sink : sinks_) {
            if (!sink.done()) return false;
        }
        return true;
    }

    // One clock cycle of all streams; whether any beat moved.
    bool step() {
        bool moved = false;
        for (Source& source : sources_) source.offer();
        for (Sink& sink : sinks_) sink.offer();
        settle();
        for (Source& source : sources_) moved |= source.sample();
        for (Sink& sink : sinks_) moved |= sink.sample();
        edge();
        for (Source& source : sources_) source.advance();
        moved_ |= moved;
        return moved;
    }

    bool irq() {
        settle();
        return core_->irq;
    }

    void cancel() {
        for (Source& source : sources_) source.cancel();
        for (Sink& sink : sinks_) sink.cancel();
    }
    int finish(int status) {
        cancel();
        quiet_ = 0;
        if (status == kDone) moved_ = false;
        return status;
    }

    const uint64_t quiet_limit_;
    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vhotline_core> core_;
    Waves waves_;
    RegisterPort<Vhotline_core> registers_;
    Source sources_[kSources];
    Sink sinks_[kSinks];
    uint64_t cycles_ = 0, quiet_ = 0;
    bool moved_ = false;
};

}  // namespace

#define HOTLINE_API extern "C" __attribute__((visibility("default")))

HOTLINE_API void* hotline_create(uint64_t quiet_limit, const char* trace_path) {
    try {
        return new Harness{quiet_limit, trace_path};
    } catch (...) {
        return nullptr;
    }
}
HOTLINE_API void hotline_destroy(void* h) { delete static_cast<Harness*>(h); }
HOTLINE_API void hotline_reset(void* h) { static_cast<Harness*>(h)->reset(); }
HOTLINE_API void hotline_stall(void* h, uint64_t seed, const double* probabilities) {
    static_cast<Harness*>(h)->stall(seed, probabilities);
}
HOTLINE_API int hotline_read(void* h, uint32_t address, uint32_t* value, int* response) {
    return static_cast<Harness*>(h)->read(address, value, response);
}
HOTLINE_API int hotline_write(void* h, uint32_t address, uint32_t value, int* response) {
    return static_cast<Harness*>(h)->write(address, value, response);
}
HOTLINE_API void hotline_send(void* h, int port, const uint64_t* words, const int64_t* ends, int64_t packets) {
    static_cast<Harness*>(h)->source(port).start(words, ends, packets);
}
HOTLINE_API void hotline_receive(void* h, int port, uint64_t* words, int64_t capacity, int64_t* ends,
                                 int64_t packets) {
    static_cast<Harness*>(h)->sink(port).start(words, capacity, ends, packets);
}
HOTLINE_API int hotline_run(void* h, int for_irq, double seconds) {
    return static_cast<Harness*>(h)->run(for_irq != 0, seconds);
}
HOTLINE_API int hotline_moved(void* h) { return static_cast<Harness*>(h)->moved(); }
HOTLINE_API uint64_t hotline_cycles(void* h) { return static_cast<Harness*>(h)->cycles(); }
