// A keyed permutation of 0..n-1, one per epoch of a task, which shuffles without a list of the samples. Up to n = 4096
// it is a Fisher-Yates shuffle. Above, it is an 8-round balanced Feistel network on at least 16 bits with cycle
// walking: a value outside the range is permuted again.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace polyhead {

// Immutable, so any number of threads may use it. It needs at most 1 MiB of memory (8 KiB up to n = 65,536).
class Permutation {
 public:
  // A pure function of (key, epoch, n). n >= 1.
  Permutation(std::uint64_t key, std::uint64_t epoch, std::uint64_t n);

  std::uint64_t size() const { return n_; }
  // Sets out[k] to the image of first + k. first + out.size() <= n.
  void map(std::uint64_t first, std::span<std::uint64_t> out) const;
  std::uint64_t operator()(std::uint64_t i) const {
    std::uint64_t image = 0;
    map(i, {&image, 1});
    return image;
  }
  // Returns the i whose image is `value`, which must be below n. Up to n = 4096 it searches; above, it takes as long as
  // an image.
  std::uint64_t inverse(std::uint64_t value) const;

 private:
  std::uint64_t round(std::uint64_t number, std::uint64_t right) const;
  void network(std::span<std::uint64_t> values) const;

  std::uint64_t key_ = 0, n_ = 0;
  std::vector<std::uint16_t> table_;   // Fisher-Yates: the images
  int half_ = 0;                       // Feistel: bits per half
  std::vector<std::uint16_t> rounds_;  // Feistel: round functions as tables, [8, 2^half], if a half fits into 16 bits
};

}  // namespace polyhead
