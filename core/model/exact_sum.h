// Sums of gradients whose bits do not depend on the order of the terms. Each term is rounded to a multiple of a power
// of two and added as a 64-bit integer. This unit depends only on the number of terms, so all workers use the same one
// without communication.
#pragma once

#include <cstdint>

#include "core/model/torch.h"

namespace polyhead {

class ExactSum {
 public:
  // Bound on the magnitude of an element of a term. 1 is 2^50 / n units, where n is the number of
  // terms rounded up to a power of two.
  static constexpr double kLargest = 4096;
  static constexpr std::int64_t kMostTerms = 1 << 20;

  // Sums of `elements` numbers. They are stored in `memory` (host, `elements` long, which must outlive this object), or
  // in memory of its own if that is null.
  explicit ExactSum(std::int64_t elements, std::int64_t* memory = nullptr);
  ExactSum(const ExactSum&) = delete;
  ExactSum& operator=(const ExactSum&) = delete;

  // Sets the sums to zero. At most `terms` terms of all workers may be added until the next call. Throws Error(config)
  // above kMostTerms.
  void begin(std::int64_t terms);
  // Adds a term and sets the gradient to zero. gradient: [elements] float32 or float64, on the host. Returns false when
  // an element is not finite or too large; the sum must not be used then.
  [[nodiscard]] bool accumulate(const torch::Tensor& gradient);
  // Writes the sums to `gradient` in its type, rounded once.
  void write_to(const torch::Tensor& gradient) const;

  // The sums, to be added up over workers as integers.
  std::int64_t* data() { return sums_; }
  std::int64_t size() const { return elements_; }

 private:
  torch::Tensor own_;
  std::int64_t* sums_ = nullptr;
  std::int64_t elements_ = 0;
  double units_ = 0;  // units per 1
};

}  // namespace polyhead
