// Recording of waves, where the library was built for it (--trace-fst, --trace-vcd); else nothing.

#pragma once

#include <memory>

#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
#elif VM_TRACE
#include "verilated_vcd_c.h"
#endif

class Waves {
public:
    // `path` may be null: nothing is recorded.
    template <class Top>
    void open(VerilatedContext& context, Top& top, const char* path) {
#if VM_TRACE
        if (!path) return;
        context.traceEverOn(true);
        trace_.reset(new Trace);
        top.trace(trace_.get(), 99);
        trace_->open(path);
#endif
        static_cast<void>(context), static_cast<void>(top), static_cast<void>(path);
    }
    void dump(VerilatedContext& context) {
#if VM_TRACE
        if (trace_) trace_->dump(context.time());
        context.timeInc(1);
#endif
        static_cast<void>(context);
    }
    void close() {
#if VM_TRACE
        if (trace_) trace_->close();
#endif
    }

private:
#if VM_TRACE_FST
    using Trace = VerilatedFstC;
#elif VM_TRACE
    using Trace = VerilatedVcdC;
#endif
#if VM_TRACE
    std::unique_ptr<Trace> trace_;
#endif
};
