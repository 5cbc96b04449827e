// Register accesses, one at a time, on the s_axil_* ports of a Verilated top.

#pragma once

#include <cstdint>

template <class Top>
class RegisterPort {
public:
    explicit RegisterPort(Top& top) : top_{top} {}

    void reset() {
        top_.s_axil_awvalid = top_.s_axil_wvalid = top_.s_axil_bready = 0;
        top_.s_axil_arvalid = top_.s_axil_rready = 0;
        top_.s_axil_awprot = top_.s_axil_arprot = 0;
    }

    // Each advances `clock`, by its settle() and edge(), until the answer has come, or for `limit` cycles. Whether it
    // came.
    template <class Clock>
    bool read(Clock& clock, uint64_t limit, uint32_t address, uint32_t* value, int* response) {
        top_.s_axil_araddr = address;
        top_.s_axil_arvalid = 1;
        top_.s_axil_rready = 1;
        for (uint64_t waited = 0; waited <= limit; ++waited) {
            clock.settle();
            const bool asked = top_.s_axil_arvalid && top_.s_axil_arready;
            const bool answered = top_.s_axil_rvalid;
            if (answered) *value = top_.s_axil_rdata, *response = top_.s_axil_rresp;
            clock.edge();
            if (asked) top_.s_axil_arvalid = 0;
            if (answered) {
                top_.s_axil_rready = 0;
                return true;
            }
        }
        top_.s_axil_arvalid = top_.s_axil_rready = 0;
        return false;
    }

    template <class Clock>
    bool write(Clock& clock, uint64_t limit, uint32_t address, uint32_t value, int* response) {
        top_.s_axil_awaddr = address;
        top_.s_axil_wdata = value;
        top_.s_axil_wstrb = 0xF;
        top_.s_axil_awvalid = top_.s_axil_wvalid = top_.s_axil_bready = 1;
        for (uint64_t waited = 0; waited <= limit; ++waited) {
            clock.settle();
            const bool addressed = top_.s_axil_awvalid && top_.s_axil_awready;
            const bool written = top_.s_axil_wvalid && top_.s_axil_wready;
            const bool answered = top_.s_axil_bvalid;
            if (answered) *response = top_.s_axil_bresp;
            clock.edge();
            if (addressed) top_.s_axil_awvalid = 0;
            if (written) top_.s_axil_wvalid = 0;
            if (answered) {
                top_.s_axil_bready = 0;
                return true;
            }
        }
        top_.s_axil_awvalid = top_.s_axil_wvalid = top_.s_axil_bready = 0;
        return false;
    }

private:
    Top& top_;
};
