// Drives the whole Verilated device: its clocks, its registers, and the memory that its AXI4 manager sees, behind a C
// interface for ctypes.
//
// `core_clk`, the stream core's clock, rises with `clk` in the cycles in which the device enables it. An idle core then
// costs no time.

#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>

#include "../memory/model.hpp"
#include "Vhotline_device.h"
#include "axil.hpp"
#include "verilated.h"
#include "waves.hpp"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "port images are copied byte by byte");

namespace {

enum Status : int { kDone = 0, kRunning = 1, kTimeout = 2, kViolation = 3 };

class Harness {
public:
    static constexpr uint32_t kBeatBytes = sizeof(Vhotline_device::m_axi_rdata);

    // `wanted` is looked at while the clock runs: not 0 makes `run` return.
    Harness(const hotline::Config& config, uint64_t quiet_limit, const char* trace_path, const int32_t* wanted)
        : quiet_limit_{quiet_limit}, wanted_{wanted}, context_{new VerilatedContext},
          top_{new Vhotline_device{context_.get()}}, registers_{*top_}, memory_{config} {
        waves_.open(*context_, *top_, trace_path);
        reset(true);
    }
    ~Harness() {
        top_->final();
        waves_.close();
    }

    // Resets the device; with `memory` what is behind its AXI manager too. Otherwise memory works on in the meantime.
    void reset(bool memory) {
        registers_.reset();
        if (memory) memory_.reset();
        resets_ = memory;
        top_->rst = 1;
        top_->bus_rst = memory;
        for (int i = 0; i < 4; ++i) settle(), edge();
        top_->rst = top_->bus_rst = 0;
        resets_ = offered_ = false;
        quiet_ = 0;
    }

    int read(uint32_t address, uint32_t* value, int* response) {
        quiet_ = 0;
        return registers_.read(*this, quiet_limit_, address, value, response) ? kDone : kTimeout;
    }
    int write(uint32_t address, uint32_t value, int* response) {
        quiet_ = 0;
        return registers_.write(*this, quiet_limit_, address, value, response) ? kDone : kTimeout;
    }

    // Runs the clock for `seconds`, or until someone else wants the device, or irq is high if that is waited for.
    int run(bool until_irq, double seconds) {
        using Clock = std::chrono::steady_clock;
        const auto end = Clock::now() + std::chrono::duration<double>(seconds);
        for (int cycle = 1;; ++cycle) {
            settle();
            if (until_irq && top_->irq) return kDone;
            edge();
            if (memory_.rules().count()) return kViolation;
            if (quiet_ > quiet_limit_) {
                quiet_ = 0;
                return kTimeout;
            }
            if (__atomic_load_n(wanted_, __ATOMIC_RELAXED)) return kRunning;
            if (cycle % kCyclesPerLook == 0 && Clock::now() >= end) return kRunning;
        }
    }

    // A clock cycle is settle() and then edge(). It may be settled more than once, as registers' pins change.
    void settle() {
        if (!offered_ && !resets_) memory_.offer();
        offered_ = true;
        drive();
        top_->clk = top_->core_clk = 0;
        top_->eval();
        waves_.dump(*context_);
    }
    void edge() {
        if (!resets_) {
            collect();
            quiet_ = memory_.sample() ? 0 : quiet_ + 1;
        }
        offered_ = false;
        top_->core_clk = top_->core_clk_enable;
        core_cycles_ += top_->core_clk_enable;
        top_->clk = 1;
        top_->eval();
        waves_.dump(*context_);
        ++cycles_;
    }

    hotline::Memory& memory() { return memory_; }
    uint64_t cycles() const { return cycles_; }
    uint64_t core_cycles() const { return core_cycles_; }

private:
    static constexpr int kCyclesPerLook = 256;  // clock cycles between two looks at the wall clock

    // The memory's pins to the device,
    void drive() {
        const hotline::Pins& pins = memory_.pins();
        top_->m_axi_arready = pins.arready;
        top_->m_axi_awready = pins.awready;
        top_->m_axi_wready = pins.wready;
        top_->m_axi_rvalid = pins.rvalid;
        if (pins.rvalid) {
            top_->m_axi_rid = pins.rid, top_->m_axi_rresp = pins.rresp, top_->m_axi_rlast = pins.rlast;
            std::memcpy(&top_->m_axi_rdata, pins.rdata, kBeatBytes);
        }
        top_->m_axi_bvalid = pins.bvalid;
        if (pins.bvalid) top_->m_axi_bid = pins.bid, top_->m_axi_bresp = pins.bresp;
    }
    // and the device's to the memory. What is not valid does not count.
    void collect() {
        hotline::Pins& pins = memory_.pins();
        pins.ar.valid = top_->m_axi_arvalid;
        if (pins.ar.valid) {
            pins.ar = {top_->m_axi_araddr, top_->m_axi_arid, top_->m_axi_arlen, top_->m_axi_arsize,
                       top_->m_axi_arburst, top_->m_axi_arlock, top_->m_axi_arcache, top_->m_axi_arprot,
                       top_->m_axi_arqos, 1};
        }
        pins.aw.valid = top_->m_axi_awvalid;
        if (pins.aw.valid) {
            pins.aw = {top_->m_axi_awaddr, top_->m_axi_awid, top_->m_axi_awlen, top_->m_axi_awsize,
                       top_->m_axi_awburst, top_->m_axi_awlock, top_->m_axi_awcache, top_->m_axi_awprot,
                       top_->m_axi_awqos, 1};
        }
        pins.wvalid = top_->m_axi_wvalid;
        if (pins.wvalid) {
            pins.wlast = top_->m_axi_wlast, pins.wstrb = top_->m_axi_wstrb;
            std::memcpy(pins.wdata, &top_->m_axi_wdata, kBeatBytes);
        }
        pins.rready = top_->m_axi_rready;
        pins.bready = top_->m_axi_bready;
    }

    const uint64_t quiet_limit_;
    const int32_t* wanted_;
    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vhotline_device> top_;
    Waves waves_;
    RegisterPort<Vhotline_device> registers_;
    hotline::Memory memory_;
    uint64_t cycles_ = 0, core_cycles_ = 0, quiet_ = 0;
    bool offered_ = false;  // the memory has decided its pins of this cycle
    bool resets_ = false;   // the memory stands still
};

Harness& of(void* h) { return *static_cast<Harness*>(h); }

}  // namespace

#define HOTLINE_API extern "C" __attribute__((visibility("default")))

HOTLINE_API uint32_t hotline_device_beat_bytes() { return Harness::kBeatBytes; }
HOTLINE_API void* hotline_device_create(const hotline::Config* config, uint64_t quiet_limit, const char* trace_path,
                                        const int32_t* wanted) {
    try {
        return new Harness{*config, quiet_limit, trace_path, wanted};
    } catch (...) {
        return nullptr;
    }
}
HOTLINE_API void hotline_device_destroy(void* h) { delete static_cast<Harness*>(h); }
HOTLINE_API void hotline_device_reset(void* h) { of(h).reset(false); }
HOTLINE_API void* hotline_device_memory(void* h) { return &of(h).memory(); }
HOTLINE_API int hotline_device_read(void* h, uint32_t address, uint32_t* value, int* response) {
    return of(h).read(address, value, response);
}
HOTLINE_API int hotline_device_write(void* h, uint32_t address, uint32_t value, int* response) {
    return of(h).write(address, value, response);
}
HOTLINE_API int hotline_device_run(void* h, int until_irq, double seconds) {
    return of(h).run(until_irq != 0, seconds);
}
HOTLINE_API uint64_t hotline_device_cycles(void* h) { return of(h).cycles(); }
HOTLINE_API uint64_t hotline_device_core_cycles(void* h) { return of(h).core_cycles(); }
