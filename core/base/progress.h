// A count of what this process gets done, by which a watchdog tells a slow process from one that hangs.
#pragma once

#include <atomic>
#include <cstdint>

namespace polyhead {

inline std::atomic<std::uint64_t> progress_count{0};

// Whatever may go on for long calls it now and then: a block read, a batch evaluated. Any thread, a few nanoseconds.
inline void note_progress() {
  progress_count.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace polyhead
