// The memory model's C interface for ctypes (`library.py`).

#include "model.hpp"

using hotline::Memory;

#define HOTLINE_API extern "C" __attribute__((visibility("default")))

static Memory& of(void* h) { return *static_cast<Memory*>(h); }

HOTLINE_API uint64_t hotline_memory_sizes() {
    return sizeof(hotline::Pins) << 32 | sizeof(hotline::Config) << 16 | sizeof(hotline::Statistics);
}
HOTLINE_API void* hotline_memory_create(const hotline::Config* config) {
    try {
        return new Memory{*config};
    } catch (...) {
        return nullptr;
    }
}
HOTLINE_API void hotline_memory_destroy(void* h) { delete static_cast<Memory*>(h); }
HOTLINE_API void hotline_memory_reset(void* h) { of(h).reset(); }
HOTLINE_API hotline::Pins* hotline_memory_pins(void* h) { return &of(h).pins(); }
HOTLINE_API void hotline_memory_offer(void* h) { of(h).offer(); }
HOTLINE_API int hotline_memory_sample(void* h) { return of(h).sample(); }
HOTLINE_API void hotline_memory_region(void* h, uint64_t address, uint64_t size, uint8_t* bytes) {
    of(h).regions().add(address, size, bytes);
}
HOTLINE_API void hotline_memory_answer(void* h, uint64_t address, uint64_t size, uint8_t response) {
    of(h).regions().answer(address, size, response);
}
HOTLINE_API void hotline_memory_clear_answers(void* h) { of(h).regions().clear_answers(); }
HOTLINE_API void hotline_memory_statistics(void* h, hotline::Statistics* to) { *to = of(h).statistics(); }
HOTLINE_API void hotline_memory_clear_statistics(void* h) { of(h).clear_statistics(); }
HOTLINE_API uint64_t hotline_memory_violations(void* h) { return of(h).rules().count(); }
HOTLINE_API const char* hotline_memory_message(void* h) { return of(h).rules().message(); }
