// Processes the records of a split on all cores, in bounded memory: they are read in blocks, converted on all threads,
// and taken in the order of the files.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "datasets/reading/sample_source.h"
#include "datasets/reading/shares.h"

namespace polyhead {

// Calls work(i) for i in 0..n-1 on several threads. If several calls throw, it throws what the one with the smallest i
// threw.
template <class Work>
void parallel_for(unsigned threads, std::size_t n, const Work& work) {
  constexpr std::size_t kPiece = 32;
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> stop = false;
  std::mutex mutex;
  std::size_t failed_at = n;
  std::exception_ptr failure;
  const auto run = [&] {
    // Pieces are assigned in order, and a piece that was assigned runs until its end or its own error.
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

// Numbers of samples.
struct RecordCount {
  std::uint64_t samples = 0;   // that were taken
  std::uint64_t left_out = 0;  // because they have no label
};

// Calls make(sample, place) on any thread, then take(made, place) on this thread, for every sample of the split. With
// `all` these are all samples of its files, which other splits may share. If several records throw, it throws what the
// first of them in its file threw.
template <class Make, class Take>
RecordCount each_record(const SampleFile& split, unsigned threads, const Make& make, const Take& take,
                        bool all = false) {
  constexpr std::size_t kRecords = 8192, kBytes = 8ULL << 20;  // per block
  enum class State : char { taken, left_out, elsewhere };
  RecordCount count;
  std::vector<Record> records;
  std::vector<State> states;
  std::vector<decltype(make(Sample(), Place()))> made;
  for (std::size_t f = 0; f <= split.rest.size(); ++f) {
    const SampleFile& file = f == 0 ? split : split.rest[f - 1];
    const auto source = open_samples(file);
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
      states.assign(records.size(), State::taken);
      parallel_for(threads, records.size(), [&](std::size_t i) {
        Sample sample = source->parse(records[i]);
        records[i].content = {};
        if (sample.left_out)
          states[i] = State::left_out;
        else if (file.shared && !all && split_by_share(file, sample) != file.split)
          states[i] = State::elsewhere;
        else
          made[i] = make(std::move(sample), Place{&file, records[i].line});
      });
      for (std::size_t i = 0; i < made.size(); ++i) {
        if (states[i] == State::taken) take(std::move(made[i]), Place{&file, records[i].line}), ++count.samples;
        if (states[i] == State::left_out) ++count.left_out;
      }
    }
  }
  return count;
}

}  // namespace polyhead
