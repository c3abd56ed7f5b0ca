// Maps stream positions to samples, and samples to workers by length.
#include "datasets/sampling/sampling.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <tuple>

#include "core/base/counter_random.h"
#include "core/base/hash.h"

namespace polyhead {

std::uint64_t task_key(std::uint64_t seed, const std::string& task) {
  return derive(mix64(seed), hash_bytes(task));
}

void SampleStream::read(std::uint64_t first, std::span<std::uint64_t> out) {
  while (!out.empty()) {
    const std::uint64_t epoch = first / samples_, begin = first % samples_;
    if (!permutation_ || epoch != epoch_) permutation_.emplace(key_, epoch_ = epoch, samples_);
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), samples_ - begin));
    permutation_->map(begin, out.first(count));
    out = out.subspan(count);
    first += count;
  }
}

std::vector<std::size_t> split_by_length(std::span<const std::uint64_t> lengths, std::size_t parts) {
  std::vector<std::size_t> result(lengths.size(), 0);
  if (parts == 1) return result;
  std::vector<std::size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t i) { return lengths[i]; });
  using Load = std::tuple<std::uint64_t, std::size_t, std::size_t>;  // tokens, samples, part
  std::priority_queue<Load, std::vector<Load>, std::greater<>> least;
  for (std::size_t part = 0; part < parts; ++part) least.emplace(0, 0, part);
  for (const std::size_t i : order) {
    const auto [tokens, samples, part] = least.top();
    least.pop();
    result[i] = part;
    least.emplace(tokens + lengths[i], samples + 1, part);
  }
  return result;
}

}  // namespace polyhead
