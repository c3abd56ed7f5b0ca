// Prepares what the next steps need in a thread of its own, a bounded number of steps ahead.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>

namespace polyhead {

// One thread takes items with next(), in the order of their steps. If `make` throws for a step, next() throws the same
// for that step, after the steps before it, and no later steps are made.
template <class Item>
class Prefetcher {
 public:
  // make(step) is called for the steps from `first` to `last`: in a separate thread that runs at most `depth` steps
  // ahead of the last item taken, or by next() itself if depth is 0.
  Prefetcher(std::function<Item(std::int64_t)> make, std::int64_t first, std::int64_t last, std::size_t depth)
      : make_(std::move(make)), next_(first), last_(last), depth_(depth) {
    if (depth > 0) thread_ = std::thread([this] { work(); });
  }
  // Waits for a step that is being made, and drops the items that were not taken.
  ~Prefetcher() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // Returns the item of the next step. It must not be called after `last`, or after it threw.
  Item next() {
    const auto start = std::chrono::steady_clock::now();
    Result result = depth_ > 0 ? take() : attempt(next_++);
    waited_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (std::exception_ptr* error = std::get_if<std::exception_ptr>(&result)) std::rethrow_exception(*error);
    return std::get<Item>(std::move(result));
  }
  // Returns the seconds that the last call of next() took.
  double waited() const { return waited_; }

 private:
  using Result = std::variant<Item, std::exception_ptr>;

  Result attempt(std::int64_t step) {
    try {
      return make_(step);
    } catch (...) {
      return std::current_exception();
    }
  }

  Result take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !made_.empty(); });
    Result result = std::move(made_.front());
    made_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return result;
  }

  void work() {
    for (bool failed = false; !failed && next_ <= last_; ++next_) {
      Result result = attempt(next_);
      failed = std::holds_alternative<std::exception_ptr>(result);
      std::unique_lock lock(mutex_);
      made_.push_back(std::move(result));
      changed_.notify_all();
      changed_.wait(lock, [&] { return stop_ || made_.size() < depth_; });
      if (stop_) return;
    }
  }

  std::function<Item(std::int64_t)> make_;
  std::int64_t next_, last_;  // next_: used by the thread that makes items
  std::size_t depth_;
  double waited_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Result> made_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace polyhead
