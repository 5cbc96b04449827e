// The address space: which bytes are there, and which answer with an error.

#pragma once

#include <cstdint>
#include <vector>

#include "pins.hpp"

namespace hotline {

class Regions {
public:
    void add(uint64_t address, uint64_t size, uint8_t* bytes) { regions_.push_back({address, size, bytes}); }
    void answer(uint64_t address, uint64_t size, uint8_t response) { answers_.push_back({address, size, response}); }
    void clear_answers() { answers_.clear(); }

    // The bytes at `address`, null where not all `size` are in one region.
    uint8_t* find(uint64_t address, uint64_t size) {
        if (last_ < regions_.size() && regions_[last_].holds(address, size)) return regions_[last_].at(address);
        for (size_t i = 0; i < regions_.size(); ++i) {
            if (regions_[i].holds(address, size)) return last_ = i, regions_[i].at(address);
        }
        return nullptr;
    }
    // What accesses that touch these addresses are to be answered with, the first that was told; else OKAY.
    uint8_t response(uint64_t address, uint64_t size) const {
        for (const Answer& answer : answers_) {
            // By differences, as a range may end at the top of the address space.
            if (address - answer.address < answer.size || answer.address - address < size) return answer.response;
        }
        return kOkay;
    }

private:
    struct Region {
        uint64_t address, size;
        uint8_t* bytes;
        bool holds(uint64_t from, uint64_t count) const {
            return from >= address && count <= size && from - address <= size - count;
        }
        uint8_t* at(uint64_t from) const { return bytes + (from - address); }
    };
    struct Answer {
        uint64_t address, size;
        uint8_t response;
    };
    std::vector<Region> regions_;
    std::vector<Answer> answers_;
    size_t last_ = 0;
};

}  // namespace hotline
