// Runs a Verilated block over arrays of inputs. `ports.hpp`, generated for each block, names its class and its ports:
// INPUTS, SETTINGS and OUTPUTS apply a macro to each; STREAM is 1 where input and output are streams.
//
// A row of an array is the ports' values one after the other, each in as many 32-bit words as it takes.

#include <cstdint>
#include <cstring>
#include <memory>

#include "ports.hpp"

namespace {

template <class Port>
void put(Port& port, const uint32_t*& row) {
    if constexpr (sizeof(Port) < 4) {
        port = static_cast<Port>(*row++);
    } else {
        static_assert(sizeof(Port) % 4 == 0);
        std::memcpy(&port, row, sizeof(Port));
        row += sizeof(Port) / 4;
    }
}

template <class Port>
void get(const Port& port, uint32_t*& row) {
    if constexpr (sizeof(Port) < 4) {
        *row++ = port;
    } else {
        std::memcpy(row, &port, sizeof(Port));
        row += sizeof(Port) / 4;
    }
}

// xorshift64*: true with probability `rate` of 2^32.
class Draw {
public:
    explicit Draw(uint64_t seed) : state_(seed * 2 + 1) {}
    bool operator()(uint64_t rate) {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return (state_ * 0x2545F4914F6CDD1DULL) >> 32 < rate;
    }

private:
    uint64_t state_;
};

}  // namespace

#define PUT(port) put(dut->port, row);
#define GET(port) get(dut->port, to);

// Resets the block, then sends `sent` rows of `inputs` and takes up to `wanted` rows of `outputs`, within `limit` cycles.
// Streams: an input is offered, and an output taken, in a cycle with probability `offer` or `take` of 2^32; an input
// that was offered stays. Else a row is sent and a row taken in each cycle. `moved`: rows sent, rows taken, cycles,
// cycles until the last row was sent.
extern "C" __attribute__((visibility("default"))) void hotline_block_run(
    const uint32_t* settings, const uint32_t* inputs, int64_t sent, int64_t input_words, uint32_t* outputs,
    int64_t wanted, int64_t output_words, int64_t limit, uint64_t seed, uint64_t offer, uint64_t take, int64_t* moved) {
    auto context = std::make_unique<VerilatedContext>();
    auto dut = std::make_unique<BLOCK>(context.get(), "block");
    Draw draw(seed);
    {
        const uint32_t* row = settings;
        SETTINGS(PUT)
    }
    (void)settings;
    const auto clock = [&dut] {
        dut->clk = 1;
        dut->eval();
        dut->clk = 0;
    };
    dut->clk = 0;
    dut->rst = 1;
    dut->eval();
    clock();
    dut->rst = 0;
    int64_t in = 0, out = 0, cycle = 0, all_sent = 0;
    bool offered = false;
    for (; cycle < limit && (in < sent || out < wanted); ++cycle) {
        if (in < sent) {
            const uint32_t* row = inputs + in * input_words;
            INPUTS(PUT)
        }
#if STREAM
        offered = in < sent && (offered || draw(offer));
        const bool ready = out < wanted && draw(take);
        dut->input_valid = offered;
        dut->output_ready = ready;
#else
        const bool ready = out < wanted;
#endif
        dut->eval();
#if STREAM
        const bool taken = offered && dut->input_ready, came = ready && dut->output_valid;
#else
        const bool taken = in < sent, came = ready;
#endif
        if (came) {
            uint32_t* to = outputs + out++ * output_words;
            OUTPUTS(GET)
        }
        if (taken) {
            ++in;
            offered = false;
            all_sent = cycle + 1;
        }
        clock();
    }
    moved[0] = in;
    moved[1] = out;
    moved[2] = cycle;
    moved[3] = all_sent;
    dut->final();
}
