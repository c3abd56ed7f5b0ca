// Adds rounded terms as integers. Most of an embedding's gradient is zero, so blocks of zeros are skipped.
#include "core/model/exact_sum.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/base/clones.h"
#include "core/base/error.h"

namespace polyhead {
namespace {

constexpr std::int64_t kBlock = 64;  // elements

// Returns true if all terms are below `limit` units. Rounds half away from zero.
template <class T>
__attribute__((always_inline)) inline bool accumulate_blocks(T* terms, std::int64_t* sums, std::int64_t elements,
                                                             double units, double limit) {
  bool good = true;
  for (std::int64_t begin = 0; begin < elements; begin += kBlock) {
    const std::int64_t end = std::min(elements, begin + kBlock);
    bool zero = true;
    for (std::int64_t i = begin; i < end; ++i) zero &= terms[i] == 0;
    if (zero) continue;
    bool small = true;
    for (std::int64_t i = begin; i < end; ++i) small &= std::abs(static_cast<double>(terms[i]) * units) < limit;
    good &= small;
    for (std::int64_t i = begin; small && i < end; ++i) {
      const double term = static_cast<double>(terms[i]) * units;
      sums[i] += static_cast<std::int64_t>(term + std::copysign(0.5, term));
    }
    std::fill(terms + begin, terms + end, T(0));
  }
  return good;
}

// One function per type, because the attribute does not support templates.
POLYHEAD_CLONES bool accumulate_floats(float* terms, std::int64_t* sums, std::int64_t elements, double units,
                                       double limit) {
  return accumulate_blocks(terms, sums, elements, units, limit);
}
POLYHEAD_CLONES bool accumulate_doubles(double* terms, std::int64_t* sums, std::int64_t elements, double units,
                                        double limit) {
  return accumulate_blocks(terms, sums, elements, units, limit);
}

}  // namespace

ExactSum::ExactSum(std::int64_t elements, std::int64_t* memory) : sums_(memory), elements_(elements) {
  if (memory) return;
  own_ = torch::zeros({elements}, torch::kInt64);
  sums_ = own_.data_ptr<std::int64_t>();
}

void ExactSum::begin(std::int64_t terms) {
  if (terms > kMostTerms)
    throw Error(Exit::config,
                fmt::format("a step has {} micro-batches, more than the {} whose gradients can be added exactly; give "
                            "a larger run.micro_batch or a smaller mixture.batch",
                            terms, kMostTerms));
  const auto room = std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(1, terms)));
  units_ = std::ldexp(1, 50) / static_cast<double>(room);
  std::fill_n(sums_, elements_, 0);
}

bool ExactSum::accumulate(const torch::Tensor& gradient) {
  const double limit = kLargest * units_;
  return gradient.scalar_type() == torch::kFloat64
             ? accumulate_doubles(gradient.data_ptr<double>(), sums_, elements_, units_, limit)
             : accumulate_floats(gradient.data_ptr<float>(), sums_, elements_, units_, limit);
}

void ExactSum::write_to(const torch::Tensor& gradient) const {
  const double unit = 1 / units_;
  const auto write = [&]<class T>(T* values) {
    for (std::int64_t i = 0; i < elements_; ++i) values[i] = static_cast<T>(static_cast<double>(sums_[i]) * unit);
  };
  if (gradient.scalar_type() == torch::kFloat64)
    write(gradient.data_ptr<double>());
  else
    write(gradient.data_ptr<float>());
}

}  // namespace polyhead
