// See shared_window.h. Members meet at flags in the window, not in MPI_Barrier: 1 against 2 microseconds between two
// members here.
#include "distributed/communicator/mpi/shared_window.h"

#include <fmt/format.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <exception>
#include <new>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "distributed/communicator/mpi/check.h"
#include "distributed/communicator/reduction.h"

namespace polyhead {
namespace {

constexpr std::size_t kPage = 4096, kControl = 128, kCacheLine = 64;
constexpr int kSpins = 1000;     // some 50 microseconds
constexpr int kYields = 20'000;  // some milliseconds, then sleep in between

template <class T, Reduce reduce>
void reduce_slice(const std::vector<T*>& parts, std::size_t begin, std::size_t end) {
  constexpr std::size_t kBlock = 8192 / sizeof(T);  // stays in the first cache
  std::array<T, kBlock> result;
  for (std::size_t first = begin; first < end; first += kBlock) {
    const std::size_t n = std::min(kBlock, end - first);
    std::copy_n(parts[0] + first, n, result.data());
    for (std::size_t member = 1; member < parts.size(); ++member) {
      const T* part = parts[member] + first;
      for (std::size_t i = 0; i < n; ++i) result[i] = combine<reduce>(result[i], part[i]);
    }
    for (T* part : parts) std::copy_n(result.data(), n, part + first);
  }
}

}  // namespace

struct SharedWindow::Control {
  alignas(kCacheLine) std::atomic<std::uint64_t> meetings{0};
  alignas(kCacheLine) std::uint64_t call = 0;  // what the member is about to reduce
};

std::byte* SharedWindow::data_of(Control* control) {
  return reinterpret_cast<std::byte*>(control) + kControl;
}

std::unique_ptr<SharedWindow> SharedWindow::make(MPI_Comm group, std::size_t bytes, std::shared_ptr<void> owner,
                                                 std::shared_ptr<Registry> registry) {
  static_assert(sizeof(Control) <= kControl && kControl % kCacheLine == 0 &&
                std::atomic<std::uint64_t>::is_always_lock_free);
  int rank = 0, members = 0;
  POLYHEAD_MPI_CHECK(MPI_Comm_rank(group, &rank));
  POLYHEAD_MPI_CHECK(MPI_Comm_size(group, &members));
  // Each member's part in pages of its own, near its core.
  MPI_Info info = MPI_INFO_NULL;
  POLYHEAD_MPI_CHECK(MPI_Info_create(&info));
  POLYHEAD_MPI_CHECK(MPI_Info_set(info, "alloc_shared_noncontig", "true"));
  void* base = nullptr;
  MPI_Win window = MPI_WIN_NULL;
  const std::size_t size = kPage + kControl + (bytes + kPage - 1) / kPage * kPage;
  int good = MPI_Win_allocate_shared(static_cast<MPI_Aint>(size), 1, info, group, static_cast<void*>(&base), &window) ==
             MPI_SUCCESS;
  MPI_Info_free(&info);
  POLYHEAD_MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, group));
  if (!good) return nullptr;
  POLYHEAD_MPI_CHECK(MPI_Win_lock_all(MPI_MODE_NOCHECK, window));

  // Open MPI's parts begin 8 bytes into a page: each member says how far it moves on to a page of its own.
  std::uint64_t shift = (kPage - reinterpret_cast<std::uintptr_t>(base) % kPage) % kPage;
  std::vector<std::uint64_t> shifts(static_cast<std::size_t>(members));
  POLYHEAD_MPI_CHECK(MPI_Allgather(&shift, 1, MPI_UINT64_T, shifts.data(), 1, MPI_UINT64_T, group));
  std::vector<Control*> controls;
  for (int member = 0; member < members; ++member) {
    MPI_Aint part_bytes = 0;
    int unit = 0;
    void* part = nullptr;
    POLYHEAD_MPI_CHECK(MPI_Win_shared_query(window, member, &part_bytes, &unit, static_cast<void*>(&part)));
    controls.push_back(
        reinterpret_cast<Control*>(static_cast<std::byte*>(part) + shifts[static_cast<std::size_t>(member)]));
  }
  std::memset(data_of(new (controls[static_cast<std::size_t>(rank)]) Control), 0, bytes);
  MPI_Win_sync(window);
  POLYHEAD_MPI_CHECK(MPI_Barrier(group));
  MPI_Win_sync(window);
  return std::unique_ptr<SharedWindow>(
      new SharedWindow(window, std::move(controls), rank, bytes, std::move(owner), std::move(registry)));
}

SharedWindow::SharedWindow(MPI_Win window, std::vector<Control*> controls, int rank, std::size_t bytes,
                           std::shared_ptr<void> owner, std::shared_ptr<Registry> registry)
    : SharedBuffer(data_of(controls[static_cast<std::size_t>(rank)]), bytes, true),
      window_(window),
      controls_(std::move(controls)),
      rank_(static_cast<std::size_t>(rank)),
      // Spinning with more members than cores would keep the awaited one from running.
      spins_(sysconf(_SC_NPROCESSORS_ONLN) >= static_cast<long>(controls_.size()) ? kSpins : 0),
      owner_(std::move(owner)),
      registry_(std::move(registry)) {
  registry_->push_back(this);
}

SharedWindow::~SharedWindow() {
  std::erase(*registry_, this);
  if (std::uncaught_exceptions() > 0) return;  // freeing waits for the other members, which may be elsewhere
  MPI_Win_unlock_all(window_);
  MPI_Win_free(&window_);
}

bool SharedWindow::contains(const void* begin, std::size_t bytes) const {
  const auto at = reinterpret_cast<std::uintptr_t>(begin), mine = reinterpret_cast<std::uintptr_t>(data());
  return at >= mine && bytes <= this->bytes() && at - mine <= this->bytes() - bytes;
}

void SharedWindow::meet() {
  ++meetings_;
  MPI_Win_sync(window_);
  controls_[rank_]->meetings.store(meetings_, std::memory_order_release);
  for (Control* control : controls_) {
    for (int tries = 0; control->meetings.load(std::memory_order_acquire) < meetings_; ++tries) {
      if (tries < spins_) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
      } else if (tries < spins_ + kYields) {
        sched_yield();
      } else {
        --tries;
        const timespec nap{0, 50'000};
        nanosleep(&nap, nullptr);
      }
    }
  }
  MPI_Win_sync(window_);
}

void SharedWindow::all_reduce(void* data, std::size_t count, DType type, Reduce reduce) {
  const auto offset = static_cast<std::size_t>(static_cast<std::byte*>(data) - static_cast<std::byte*>(this->data()));
  const std::uint64_t call =
      derive(derive(offset, count), static_cast<std::uint64_t>(type) * 8 + static_cast<std::uint64_t>(reduce));
  controls_[rank_]->call = call;
  meet();
  for (std::size_t member = 0; member < controls_.size(); ++member) {
    if (controls_[member]->call == controls_[0]->call) continue;
    meet();  // all have seen it before anybody's next call
    throw Error(
        Exit::internal,
        fmt::format(
            "rank {} of the group reduces another range, type or operation than rank 0 (here: {} elements at byte {} "
            "of a shared buffer of {} bytes)",
            member, count, offset, bytes()));
  }
  dispatch(type, reduce, [&]<class T, Reduce op>() {
    std::vector<T*> parts;
    for (Control* control : controls_) parts.push_back(reinterpret_cast<T*>(data_of(control) + offset));
    // Slices end at cache lines: no line has two writers.
    const std::size_t step = kCacheLine / sizeof(T), members = parts.size();
    const std::size_t slice = (count / members + step) / step * step;
    reduce_slice<T, op>(parts, std::min(count, rank_ * slice), std::min(count, (rank_ + 1) * slice));
  });
  meet();
}

}  // namespace polyhead
