// Sums of gradients whose bits do not depend on the order of their terms: each term is rounded to a multiple of a power
// of two and added as a 64-bit integer. The unit follows from the number of terms alone, so that every worker has the
// same without asking.
#pragma once

#include <cstdint>

#include "core/model/torch.h"

namespace polyhead {

class ExactSum {
 public:
  // An element of a term has a magnitude below this; 2^50 / terms units make 1.
  static constexpr double kLargest = 4096;
  static constexpr std::int64_t kMostTerms = 1 << 20;

  // Sums of `elements` numbers, in `memory` (host, elements long, which must outlive this) or its own.
  explicit ExactSum(std::int64_t elements, std::int64_t* memory = nullptr);
  ExactSum(const ExactSum&) = delete;
  ExactSum& operator=(const ExactSum&) = delete;

  // Zero; from now on at most `terms` terms of all workers are added. Throws Error(config) beyond kMostTerms.
  void begin(std::int64_t terms);
  // Adds a term and leaves zeros in its place. gradient: [elements] float32 or float64, on the host. False when an
  // element is not finite, or too large: then the sum is not to be used.
  [[nodiscard]] bool accumulate(const torch::Tensor& gradient);
  // The sums in the gradient's type, rounded once.
  void write_to(const torch::Tensor& gradient) const;

  // To be added up over workers, as integers.
  std::int64_t* data() { return sums_; }
  std::int64_t size() const { return elements_; }

 private:
  torch::Tensor own_;
  std::int64_t* sums_ = nullptr;
  std::int64_t elements_ = 0;
  double units_ = 0;  // that make 1
};

}  // namespace polyhead
