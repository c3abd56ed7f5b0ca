// A keyed permutation of 0..n-1, one for each epoch of a task: shuffling without a list of the samples. Fisher-Yates to
// n = 4096, above it an 8-round balanced Feistel network on at least 16 bits with cycle walking (a value outside is
// permuted again).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace polyhead {

// Immutable: any number of threads may use it. Holds at most 1 MiB (8 KiB to n = 65,536).
class Permutation {
 public:
  // A pure function of (key, epoch, n); n >= 1.
  Permutation(std::uint64_t key, std::uint64_t epoch, std::uint64_t n);

  std::uint64_t size() const { return n_; }
  // out[k] = the image of first + k; first + out.size() <= n.
  void map(std::uint64_t first, std::span<std::uint64_t> out) const;
  std::uint64_t operator()(std::uint64_t i) const {
    std::uint64_t image = 0;
    map(i, {&image, 1});
    return image;
  }
  // The i whose image is `value` < n. To n = 4096 it searches, above it takes as long as one image.
  std::uint64_t inverse(std::uint64_t value) const;

 private:
  std::uint64_t round(std::uint64_t number, std::uint64_t right) const;
  void network(std::span<std::uint64_t> values) const;

  std::uint64_t key_ = 0, n_ = 0;
  std::vector<std::uint16_t> table_;   // Fisher-Yates: the images
  int half_ = 0;                       // Feistel: bits of a half
  std::vector<std::uint16_t> rounds_;  // Feistel: round functions as tables, [8, 2^half], where a half fits 16 bits
};

}  // namespace polyhead
