// Each slot of the ring has a sequence lock: a reader drops an event that was overwritten while it was read. The fields
// of slots are atomics with release and acquire order, which costs nothing on x86 and which ThreadSanitizer supports
// (it does not support fences).
#include "distributed/communicator/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/base/progress.h"

namespace polyhead {

Timeline& Timeline::of_process() {
  static Timeline timeline;
  return timeline;
}

double Timeline::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::uint64_t Timeline::enter(const char* verb, std::string_view name, std::uint64_t group, std::uint64_t number,
                              std::uint64_t bytes, double begin) {
  constexpr auto release = std::memory_order_release;
  const std::uint64_t index = next_.fetch_add(1, std::memory_order_relaxed);
  std::array<std::uint64_t, kWords> words{};
  std::memcpy(words.data(), name.data(), std::min(name.size(), sizeof words - 1));
  Slot& slot = slots_[index % kEvents];
  slot.version.store(2 * index + 1, std::memory_order_relaxed);
  slot.verb.store(verb, release);
  for (std::size_t i = 0; i < kWords; ++i) slot.name[i].store(words[i], release);
  slot.group.store(group, release);
  slot.number.store(number, release);
  slot.bytes.store(bytes, release);
  slot.begin.store(begin, release);
  slot.end.store(0, release);
  slot.version.store(2 * index + 2, release);
  note_progress();
  return index;
}

void Timeline::leave(std::uint64_t index, double end) {
  Slot& slot = slots_[index % kEvents];
  if (slot.version.load(std::memory_order_relaxed) == 2 * index + 2) slot.end.store(end, std::memory_order_release);
  note_progress();
}

std::optional<TimelineEvent> Timeline::read(std::uint64_t index) const {
  constexpr auto acquire = std::memory_order_acquire;
  const Slot& slot = slots_[index % kEvents];
  if (slot.version.load(acquire) != 2 * index + 2) return std::nullopt;
  std::array<std::uint64_t, kWords> words{};
  for (std::size_t i = 0; i < kWords; ++i) words[i] = slot.name[i].load(acquire);
  const char* verb = slot.verb.load(acquire);
  TimelineEvent event{.name = "",
                      .collective = verb != nullptr,
                      .group = slot.group.load(acquire),
                      .number = slot.number.load(acquire),
                      .bytes = slot.bytes.load(acquire),
                      .begin = slot.begin.load(acquire),
                      .end = slot.end.load(acquire)};
  if (slot.version.load(std::memory_order_relaxed) != 2 * index + 2) return std::nullopt;
  std::array<char, sizeof words> name{};
  std::memcpy(name.data(), words.data(), sizeof words);
  event.name = verb == nullptr ? std::string(name.data()) : fmt::format("{} {}", verb, name.data());
  return event;
}

std::vector<TimelineEvent> Timeline::events() const {
  std::vector<TimelineEvent> result;
  const std::uint64_t end = next_.load(std::memory_order_acquire);
  for (std::uint64_t index = end > kEvents ? end - kEvents : 0; index < end; ++index)
    if (auto event = read(index)) result.push_back(std::move(*event));
  return result;
}

std::optional<TimelineEvent> Timeline::inside() const {
  const std::uint64_t index = inside_.load(std::memory_order_acquire);
  return index == 0 ? std::nullopt : read(index - 1);
}

std::vector<TimelineEvent> Timeline::stop_trace() {
  tracing_ = false;
  return std::exchange(traced_, {});
}

Phase::Phase(const char* name) : name_(name), begin_(Timeline::now()) {
  Timeline& timeline = Timeline::of_process();
  around_ = timeline.phase_.load(std::memory_order_relaxed);
  timeline.phase_since_.store(begin_, std::memory_order_relaxed);
  timeline.phase_.store(name, std::memory_order_relaxed);
  index_ = timeline.enter(nullptr, name, 0, 0, 0, begin_);
}

Phase::~Phase() {
  Timeline& timeline = Timeline::of_process();
  const double end = Timeline::now();
  timeline.leave(index_, end);
  timeline.phase_since_.store(end, std::memory_order_relaxed);
  timeline.phase_.store(around_, std::memory_order_relaxed);
  if (timeline.tracing_) timeline.traced_.push_back({.name = name_, .begin = begin_, .end = end});
}

CollectiveSpan::CollectiveSpan(const char* verb, std::string_view name, std::uint64_t group, std::uint64_t number,
                               std::uint64_t bytes)
    : verb_(verb), name_(name), group_(group), number_(number), bytes_(bytes), begin_(Timeline::now()) {
  Timeline& timeline = Timeline::of_process();
  index_ = timeline.enter(verb, name, group, number, bytes, begin_);
  timeline.inside_.store(index_ + 1, std::memory_order_release);
}

CollectiveSpan::~CollectiveSpan() {
  Timeline::of_process().inside_.store(0, std::memory_order_release);
}

void CollectiveSpan::done() {
  Timeline& timeline = Timeline::of_process();
  const double end = Timeline::now();
  timeline.leave(index_, end);
  if (timeline.tracing_)
    timeline.traced_.push_back({fmt::format("{} {}", verb_, name_), true, group_, number_, bytes_, begin_, end});
}

std::string chrome_trace_lines(const std::vector<TimelineEvent>& events, int rank, const std::string& host) {
  using Json = nlohmann::ordered_json;
  const double wall = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const double shift = wall - Timeline::now();
  Json head = {{"name", "process_name"}, {"ph", "M"}, {"pid", rank}, {"tid", 0}};
  head["args"]["name"] = fmt::format("worker {} on {}", rank, host);
  std::string lines = head.dump() + ",\n";
  for (const TimelineEvent& event : events) {
    Json json = {{"name", event.name},
                 {"cat", event.collective ? "collective" : "phase"},
                 {"ph", "X"},
                 {"ts", (event.begin + shift) * 1e6},
                 {"dur", (event.end - event.begin) * 1e6},
                 {"pid", rank},
                 {"tid", 0}};
    if (event.collective) json["args"] = {{"call", event.number}, {"bytes", event.bytes}};
    lines += json.dump(-1, ' ', false, Json::error_handler_t::replace) + ",\n";
  }
  return lines;
}

}  // namespace polyhead
