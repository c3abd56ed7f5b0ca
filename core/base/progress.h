// Counts the work that this process completes. The watchdog uses it to distinguish a slow process from a hung one.
#pragma once

#include <atomic>
#include <cstdint>

namespace polyhead {

inline std::atomic<std::uint64_t> progress_count{0};

// Must be called from time to time during long work, for example after each block read or batch evaluated. Any thread
// may call it; a call takes a few nanoseconds.
inline void note_progress() {
  progress_count.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace polyhead
