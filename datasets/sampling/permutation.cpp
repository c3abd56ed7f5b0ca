// A Fisher-Yates shuffle for small sizes; above, a Feistel network with tables and cycle walking.
#include "datasets/sampling/permutation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <utility>

#include "core/base/counter_random.h"
#include "core/base/error.h"

namespace polyhead {
namespace {

constexpr std::uint64_t kTableLimit = 4096;
constexpr std::uint64_t kRounds = 8;  // with 4 rounds neighbouring values stayed related, with 6 and 8 they did not
constexpr int kSmallestHalf = 8;      // blocks below 16 bits show patterns with any number of rounds
constexpr int kLargestTabledHalf = 16;
// Separates the permutation's draws from those of dropout and masks, which are derived from the same task key.
constexpr std::uint64_t kPermutationStream = 0x7065726d75746174ULL;

}  // namespace

Permutation::Permutation(std::uint64_t key, std::uint64_t epoch, std::uint64_t n)
    : key_(derive(derive(key, kPermutationStream), epoch)), n_(n) {
  if (n == 0) throw Error(Exit::internal, "a permutation of 0 samples was asked for");
  if (n <= kTableLimit) {
    table_.resize(n);
    std::iota(table_.begin(), table_.end(), std::uint16_t{0});
    for (std::uint64_t i = n - 1; i > 0; --i)
      std::swap(table_[i], table_[bounded(draw(key_, i), static_cast<std::uint32_t>(i + 1))]);
    return;
  }
  half_ = std::max(kSmallestHalf, (static_cast<int>(std::bit_width(n - 1)) + 1) / 2);
  if (half_ > kLargestTabledHalf) return;
  std::vector<std::uint16_t> rounds(kRounds << half_);
  for (std::uint64_t number = 0; number < kRounds; ++number)
    for (std::uint64_t right = 0; right >> half_ == 0; ++right)
      rounds[number << half_ | right] = static_cast<std::uint16_t>(round(number, right));
  rounds_ = std::move(rounds);
}

std::uint64_t Permutation::round(std::uint64_t number, std::uint64_t right) const {
  if (!rounds_.empty()) return rounds_[number << half_ | right];
  return draw(key_, number << 32 | right) & ((std::uint64_t{1} << half_) - 1);
}

// Applies the network once to each value.
void Permutation::network(std::span<std::uint64_t> values) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_) - 1;
  const auto pass = [&](const auto& function) {
    for (std::uint64_t& value : values) {
      std::uint64_t left = value >> half_, right = value & mask;
      for (std::uint64_t number = 0; number < kRounds; ++number)
        left = std::exchange(right, left ^ function(number, right));
      value = left << half_ | right;
    }
  };
  if (rounds_.empty())
    pass([&](std::uint64_t number, std::uint64_t right) { return round(number, right); });
  else
    pass([&, table = rounds_.data()](std::uint64_t number, std::uint64_t right) -> std::uint64_t {
      return table[number << half_ | right];
    });
}

void Permutation::map(std::uint64_t first, std::span<std::uint64_t> out) const {
  if (first > n_ || out.size() > n_ - first)
    throw Error(Exit::internal,
                fmt::format("permutation of {}: indices {} to {} were asked for", n_, first, first + out.size()));
  if (!table_.empty()) {
    std::copy_n(table_.begin() + static_cast<std::ptrdiff_t>(first), out.size(), out.begin());
    return;
  }
  // In blocks, pass by pass: the passes of different values overlap in the processor, and finished values are removed
  // without an unpredictable branch.
  constexpr std::size_t kBlock = 256;
  std::array<std::uint64_t, kBlock> values;
  std::array<std::uint16_t, kBlock> places;
  for (std::size_t begin = 0; begin < out.size(); begin += kBlock) {
    std::size_t walking = std::min(kBlock, out.size() - begin);
    for (std::size_t k = 0; k < walking; ++k) {
      values[k] = first + begin + k;
      places[k] = static_cast<std::uint16_t>(k);
    }
    while (walking > 0) {
      network({values.data(), walking});
      std::size_t left = 0;
      for (std::size_t k = 0; k < walking; ++k) {
        const std::uint64_t value = values[k];
        const std::uint16_t place = places[k];
        out[begin + place] = value;
        values[left] = value;
        places[left] = place;
        left += value >= n_;
      }
      walking = left;
    }
  }
}

std::uint64_t Permutation::inverse(std::uint64_t value) const {
  if (value >= n_)
    throw Error(Exit::internal, fmt::format("permutation of {}: what gives {} was asked for", n_, value));
  if (!table_.empty()) return static_cast<std::uint64_t>(std::ranges::find(table_, value) - table_.begin());
  const std::uint64_t mask = (std::uint64_t{1} << half_) - 1;
  do {
    std::uint64_t left = value >> half_, right = value & mask;
    for (std::uint64_t number = kRounds; number-- > 0;) right = std::exchange(left, right ^ round(number, left));
    value = left << half_ | right;
  } while (value >= n_);
  return value;
}

}  // namespace polyhead
