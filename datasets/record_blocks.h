// A file's records on all cores, in bounded memory: read in blocks, made into something on every thread, taken in the
// file's order.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "datasets/samples.h"

namespace polyhead {

// Calls work(i) for i in 0..n-1 on several threads; throws what the smallest i threw, whatever the timing.
template <class Work>
void parallel_for(unsigned threads, std::size_t n, const Work& work) {
  constexpr std::size_t kPiece = 32;
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> stop = false;
  std::mutex mutex;
  std::size_t failed_at = n;
  std::exception_ptr failure;
  const auto run = [&] {
    // Pieces are handed out in order, and one that was handed out is finished up to its own error.
    while (!stop) {
      const std::size_t first = next.fetch_add(kPiece);
      if (first >= n) return;
      std::size_t i = first;
      try {
        for (; i < std::min(n, first + kPiece); ++i) work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        stop = true;
        if (i < failed_at) failed_at = i, failure = std::current_exception();
      }
    }
  };
  std::vector<std::thread> others;
  for (unsigned t = 1; t < threads && t * kPiece < n; ++t) others.emplace_back(run);
  run();
  for (std::thread& one : others) one.join();
  if (failure) std::rethrow_exception(failure);
}

// make(sample, line) on any thread, then take(made, line) on this one, for every record of the file. Returns how many
// there were. Throws what the first record in the file throws that any throws for, as far as reading got.
template <class Make, class Take>
std::uint64_t each_record(const SampleFile& file, unsigned threads, const Make& make, const Take& take) {
  constexpr std::size_t kRecords = 8192, kBytes = 8ULL << 20;  // of a block
  const auto source = open_samples(file);
  std::uint64_t count = 0;
  std::vector<Record> records;
  std::vector<decltype(make(Sample(), std::uint64_t()))> made;
  for (bool more = true; more;) {
    records.clear();
    Record record;
    for (std::size_t bytes = 0; records.size() < kRecords && bytes < kBytes && (more = source->next(record));) {
      bytes += record.content.size() + record.target.size();
      records.push_back(std::move(record));
      record = {};
    }
    made.clear();
    made.resize(records.size());
    parallel_for(threads, records.size(), [&](std::size_t i) {
      made[i] = make(source->parse(records[i]), records[i].line);
      records[i].content = {};
    });
    for (std::size_t i = 0; i < made.size(); ++i) take(std::move(made[i]), records[i].line);
    count += made.size();
  }
  return count;
}

}  // namespace polyhead
