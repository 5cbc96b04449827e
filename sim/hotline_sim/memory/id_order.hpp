// Bursts of the same id are answered in the order in which they were asked for; those of different ids as they come.

#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

namespace hotline {

class IdOrder {
public:
    explicit IdOrder(uint32_t id_bits) : queues_(size_t{1} << id_bits) {}

    void enter(uint32_t id, int burst) { queues_[id].push_back({burst, false}); }
    // There is something to answer `burst` with.
    void ready(uint32_t id, int burst) {
        for (Entry& entry : queues_[id]) {
            if (entry.burst == burst) entry.ready = true;
        }
        if (queues_[id].front().burst == burst) turn_.push_back(burst);
    }
    // The oldest of this id was answered.
    void leave(uint32_t id) {
        std::deque<Entry>& queue = queues_[id];
        turn_.erase(std::find(turn_.begin(), turn_.end(), queue.front().burst));
        queue.pop_front();
        if (!queue.empty() && queue.front().ready) turn_.push_back(queue.front().burst);
    }

    // Bursts that are ready and the oldest of their ids, in the order in which they became so.
    const std::vector<int>& turn() const { return turn_; }

    // Calls `visit` with each burst of this id, oldest first, up to `burst`.
    template <class Visit>
    void up_to(uint32_t id, int burst, Visit visit) const {
        for (const Entry& entry : queues_[id]) {
            visit(entry.burst);
            if (entry.burst == burst) return;
        }
    }

    void clear() {
        for (auto& queue : queues_) queue.clear();
        turn_.clear();
    }

private:
    struct Entry {
        int burst;
        bool ready;
    };
    std::vector<std::deque<Entry>> queues_;
    std::vector<int> turn_;
};

// Bursts under way, by a number that is reused, and those of them that wait for a point in time.
template <class Burst>
class Bursts {
public:
    int take() {
        ++count_;
        if (free_.empty()) {
            all_.emplace_back();
            return static_cast<int>(all_.size()) - 1;
        }
        const int burst = free_.back();
        free_.pop_back();
        return burst;
    }
    void give_back(int burst) { --count_, free_.push_back(burst); }
    Burst& operator[](int burst) { return all_[burst]; }
    uint32_t count() const { return count_; }

    void wait(int burst, double until) {
        waiting_.push_back({until, serial_++, burst});
        std::push_heap(waiting_.begin(), waiting_.end(), later);
    }
    // Whether one's time comes before `time`; when, and which.
    bool due(double time) const { return !waiting_.empty() && waiting_.front().until < time; }
    double when() const { return waiting_.front().until; }
    int next() {
        std::pop_heap(waiting_.begin(), waiting_.end(), later);
        const int burst = waiting_.back().burst;
        waiting_.pop_back();
        return burst;
    }

    void clear() {
        all_.clear(), free_.clear(), waiting_.clear();
        count_ = 0;
    }

private:
    struct Waiting {
        double until;
        uint64_t serial;
        int burst;
    };
    static bool later(const Waiting& a, const Waiting& b) {
        return a.until != b.until ? a.until > b.until : a.serial > b.serial;
    }
    std::vector<Burst> all_;
    std::vector<int> free_;
    std::vector<Waiting> waiting_;
    uint64_t serial_ = 0;
    uint32_t count_ = 0;
};

}  // namespace hotline
