// Records what this process does: every collective and every phase of training, in a ring buffer that any thread may
// read and that is written without locks. One thread writes at a time: the training thread, or autograd's thread while
// the training thread waits in backward().
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

struct TimelineEvent {
  std::string name;                     // "all_reduce encoder.gradients" (cut at 55 letters), or a phase: "forward"
  bool collective = false;              // the next three are a collective's
  std::uint64_t group = 0, number = 0;  // the group's id, the same on all members; counts from 1 within it
  std::uint64_t bytes = 0;
  double begin = 0, end = 0;  // seconds of the steady clock; end = 0: still inside
};

class Timeline {
 public:
  static constexpr std::size_t kEvents = 1024;

  static Timeline& of_process();
  static double now();  // seconds of the steady clock

  // Returns at most kEvents events, oldest first. Any thread may call it.
  std::vector<TimelineEvent> events() const;
  const char* phase() const { return phase_.load(std::memory_order_relaxed); }
  double phase_since() const { return phase_since_.load(std::memory_order_relaxed); }
  // The collective that the process is in.
  std::optional<TimelineEvent> inside() const;
  std::int64_t step() const { return step_.load(std::memory_order_relaxed); }

  // Called by the training thread.
  void set_step(std::int64_t step) { step_.store(step, std::memory_order_relaxed); }
  // Starts to keep all events for trace().
  void start_trace() { tracing_ = true; }
  // Returns the events since then, in the order in which they ended, and stops keeping them.
  std::vector<TimelineEvent> stop_trace();

 private:
  friend class Phase;
  friend class CollectiveSpan;
  static constexpr std::size_t kWords = 7;  // 64-bit words of a name, with its terminating zero

  struct alignas(64) Slot {
    std::atomic<std::uint64_t> version{0};  // 2 x index + 1 while it is written, + 2 when it is whole
    std::atomic<const char*> verb{nullptr};
    std::array<std::atomic<std::uint64_t>, kWords> name{};
    std::atomic<std::uint64_t> group{0}, number{0}, bytes{0};
    std::atomic<double> begin{0}, end{0};
  };

  std::uint64_t enter(const char* verb, std::string_view name, std::uint64_t group, std::uint64_t number,
                      std::uint64_t bytes, double begin);
  void leave(std::uint64_t index, double end);
  std::optional<TimelineEvent> read(std::uint64_t index) const;

  std::array<Slot, kEvents> slots_;
  std::atomic<std::uint64_t> next_{0};    // index of the next event
  std::atomic<std::uint64_t> inside_{0};  // 1 + index of the collective
  std::atomic<const char*> phase_{"start-up"};
  std::atomic<double> phase_since_{now()};
  std::atomic<std::int64_t> step_{0};
  bool tracing_ = false;
  std::vector<TimelineEvent> traced_;
};

// While the object exists, the process is in this phase, except during phases that begin inside it. `name`: a literal.
class Phase {
 public:
  explicit Phase(const char* name);
  ~Phase();
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;

 private:
  const char* name_;
  const char* around_;
  double begin_;
  std::uint64_t index_;
};

// The process is in this collective until done(). If an exception is thrown in it, its event never ends. `verb`: a
// literal.
class CollectiveSpan {
 public:
  CollectiveSpan(const char* verb, std::string_view name, std::uint64_t group, std::uint64_t number,
                 std::uint64_t bytes);
  ~CollectiveSpan();
  CollectiveSpan(const CollectiveSpan&) = delete;
  CollectiveSpan& operator=(const CollectiveSpan&) = delete;
  void done();

 private:
  const char* verb_;
  std::string_view name_;
  std::uint64_t group_, number_, bytes_;
  double begin_;
  std::uint64_t index_;
};

// Returns the events of one worker as lines of a Chrome trace (for Perfetto and chrome://tracing), each ended by a
// comma and a line feed. The worker is the process `rank` of the trace. Times are those of the wall clock, so workers
// of several hosts are aligned as well as their clocks.
std::string chrome_trace_lines(const std::vector<TimelineEvent>& events, int rank, const std::string& host);

}  // namespace polyhead
