// See shared_window.h. Members synchronise by flags in the window, not by MPI_Barrier: 1 instead of 2 microseconds
// between two members here.
#include "distributed/communicator/mpi/shared_window.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <new>
#include <optional>
#include <utility>

#include "core/base/at.h"
#include "core/base/counter_random.h"
#include "core/base/descriptor.h"
#include "core/base/error.h"
#include "distributed/communicator/mpi/check.h"
#include "distributed/communicator/reduction.h"

namespace polyhead {
namespace {

constexpr std::size_t kPage = 4096, kCacheLine = 64;
constexpr int kSpins = 1000;     // about 50 microseconds
constexpr int kYields = 20'000;  // a few milliseconds; after that, the thread sleeps between polls

template <class T, Reduce reduce>
void reduce_slice(const std::vector<T*>& parts, std::size_t begin, std::size_t end) {
  constexpr std::size_t kBlock = 8192 / sizeof(T);  // fits into the first-level cache
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
  std::uint64_t nonce = 0;                     // distinguishes the member's memory from that of another process
};

struct SharedWindow::Part {
  void* base = MAP_FAILED;
  std::size_t size = 0;

  Part() = default;
  Part(int file, std::size_t bytes)
      : base(file < 0 ? MAP_FAILED : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)), size(bytes) {}
  Part(Part&& other) noexcept : base(std::exchange(other.base, MAP_FAILED)), size(other.size) {}
  Part& operator=(Part&&) = delete;
  ~Part() {
    if (good()) munmap(base, size);
  }
  bool good() const { return base != MAP_FAILED; }
  Control* control() const { return static_cast<Control*>(base); }
  std::byte* data() const { return static_cast<std::byte*>(base) + kPage; }
};

std::unique_ptr<SharedWindow> SharedWindow::make(MPI_Comm group, std::size_t bytes,
                                                 std::shared_ptr<Registry> registry) {
  static_assert(sizeof(Control) <= kPage && std::atomic<std::uint64_t>::is_always_lock_free);
  int rank = 0, members = 0;
  POLYHEAD_MPI_CHECK(MPI_Comm_rank(group, &rank));
  POLYHEAD_MPI_CHECK(MPI_Comm_size(group, &members));
  const std::size_t size = kPage + (bytes + kPage - 1) / kPage * kPage;

  // The memory has no name, so that nothing is left behind if the process is killed. It is reserved now, not at the
  // first access.
  const Descriptor mine(memfd_create("polyhead", MFD_CLOEXEC));
  int good = mine.get() >= 0 && posix_fallocate(mine.get(), 0, static_cast<off_t>(size)) == 0;
  std::optional<Part> own;
  const auto nonce = derive(static_cast<std::uint64_t>(getpid()),
                            static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()));
  if (good) {
    own.emplace(mine.get(), size);
    good = own->good();
    if (good) (new (own->base) Control)->nonce = nonce;
  }

  // The other members open it through this process's file descriptors.
  struct Address {
    std::int64_t process, file;
    std::uint64_t nonce, size;
  };
  const Address address{getpid(), good ? mine.get() : -1, nonce, size};
  std::vector<Address> addresses(static_cast<std::size_t>(members));
  POLYHEAD_MPI_CHECK(
      MPI_Allgather(&address, sizeof(Address), MPI_BYTE, addresses.data(), sizeof(Address), MPI_BYTE, group));
  std::vector<Part> parts;
  for (int member = 0; good && member < members; ++member) {
    if (member == rank) {
      parts.push_back(std::move(*own));
      continue;
    }
    const Address& theirs = at(addresses, member);
    const Descriptor file(
        theirs.file < 0 ? -1
                        : open(fmt::format("/proc/{}/fd/{}", theirs.process, theirs.file).c_str(), O_RDWR | O_CLOEXEC));
    parts.emplace_back(file.get(), theirs.size);
    good = parts.back().good() && parts.back().control()->nonce == theirs.nonce;
  }
  // This also keeps the own file open until all members have mapped it.
  POLYHEAD_MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, group));
  if (!good) return nullptr;
  return std::unique_ptr<SharedWindow>(new SharedWindow(std::move(parts), rank, bytes, std::move(registry)));
}

SharedWindow::SharedWindow(std::vector<Part> parts, int rank, std::size_t bytes, std::shared_ptr<Registry> registry)
    : SharedBuffer(at(parts, rank).data(), bytes, true),
      parts_(std::move(parts)),
      rank_(static_cast<std::size_t>(rank)),
      // With more members than cores, spinning would keep the member that is waited for from running.
      spins_(sysconf(_SC_NPROCESSORS_ONLN) >= std::ssize(parts_) ? kSpins : 0),
      registry_(std::move(registry)) {
  registry_->push_back(this);
}

SharedWindow::~SharedWindow() {
  std::erase(*registry_, this);
}

std::byte* SharedWindow::of(int member) const {
  return at(parts_, member).data();
}

bool SharedWindow::contains(const void* begin, std::size_t bytes) const {
  const auto at = reinterpret_cast<std::uintptr_t>(begin), mine = reinterpret_cast<std::uintptr_t>(data());
  return at >= mine && bytes <= this->bytes() && at - mine <= this->bytes() - bytes;
}

void SharedWindow::meet() {
  ++meetings_;
  parts_[rank_].control()->meetings.store(meetings_, std::memory_order_release);
  for (const Part& part : parts_) {
    for (int tries = 0; part.control()->meetings.load(std::memory_order_acquire) < meetings_; ++tries) {
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
}

void SharedWindow::all_reduce(void* data, std::size_t count, DType type, Reduce reduce) {
  const auto offset = static_cast<std::size_t>(static_cast<std::byte*>(data) - static_cast<std::byte*>(this->data()));
  const std::uint64_t call =
      derive(derive(offset, count), static_cast<std::uint64_t>(type) * 8 + static_cast<std::uint64_t>(reduce));
  parts_[rank_].control()->call = call;
  meet();
  for (std::size_t member = 0; member < parts_.size(); ++member) {
    if (parts_[member].control()->call == parts_[0].control()->call) continue;
    meet();  // all members have seen the difference before the next call of any member
    throw Error(Exit::internal, fmt::format("rank {} of the group reduces with another range, type or operation than "
                                            "rank 0 (here: {} elements at byte {} of "
                                            "a shared buffer of {} bytes)",
                                            member, count, offset, bytes()));
  }
  dispatch(type, reduce, [&]<class T, Reduce op>() {
    std::vector<T*> parts;
    for (const Part& part : parts_) parts.push_back(reinterpret_cast<T*>(part.data() + offset));
    // Slices end at cache lines, so that no line has two writers.
    const std::size_t step = kCacheLine / sizeof(T), members = parts.size();
    const std::size_t slice = (count / members + step) / step * step;
    reduce_slice<T, op>(parts, std::min(count, rank_ * slice), std::min(count, (rank_ + 1) * slice));
  });
  meet();
}

}  // namespace polyhead
