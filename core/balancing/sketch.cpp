// See sketch.h.
#include "core/balancing/sketch.h"

#include <algorithm>
#include <cstddef>

#include "core/base/clones.h"
#include "core/base/counter_random.h"

namespace polyhead {
namespace {

constexpr std::uint64_t kKey = 0x736b65746368;  // "sketch"
constexpr std::int64_t kWord = 64;              // signs in a word

// sums[i] += scale * value[i], or -value[i] where bit i is set. n <= 64. A template cannot be compiled for several
// instruction sets.
POLYHEAD_CLONES void add_signed(const float* values, std::uint64_t bits, std::int64_t n, double scale, double* sums) {
  for (std::int64_t i = 0; i < n; ++i)
    sums[i] += (1 - 2 * static_cast<double>((bits >> i) & 1)) * scale * static_cast<double>(values[i]);
}
POLYHEAD_CLONES void add_signed(const double* values, std::uint64_t bits, std::int64_t n, double scale, double* sums) {
  for (std::int64_t i = 0; i < n; ++i) sums[i] += (1 - 2 * static_cast<double>((bits >> i) & 1)) * scale * values[i];
}

template <class T>
void add_on_host(const torch::Tensor& flat, const std::vector<std::uint64_t>& bits, std::int64_t size, double scale,
                 double* sums) {
  const T* values = flat.data_ptr<T>();
  const std::int64_t elements = flat.numel();
  for (std::int64_t first = 0; first < elements; first += kWord)
    add_signed(values + first, bits[static_cast<std::size_t>(first / kWord)], std::min(kWord, elements - first), scale,
               sums + first % size);
}

}  // namespace

Sketch::Sketch(std::int64_t elements, std::int64_t size, torch::Device device) : elements_(elements), size_(size) {
  const std::int64_t words = (elements + kWord - 1) / kWord;
  for (std::int64_t word = 0; word < words; ++word) bits_.push_back(draw(kKey, static_cast<std::uint64_t>(word)));
  if (device.is_cpu()) return;
  torch::Tensor signs = torch::empty({elements}, torch::kInt8);
  auto* data = signs.data_ptr<std::int8_t>();
  for (std::int64_t i = 0; i < elements; ++i)
    data[i] = (bits_[static_cast<std::size_t>(i / kWord)] >> (i % kWord) & 1) != 0 ? -1 : 1;
  signs_ = signs.to(device);
}

void Sketch::add(const torch::Tensor& flat, double scale, std::span<double> sums) const {
  if (flat.is_cpu()) {
    if (flat.scalar_type() == torch::kFloat64)
      add_on_host<double>(flat, bits_, size_, scale, sums.data());
    else
      add_on_host<float>(flat, bits_, size_, scale, sums.data());
    return;
  }
  const std::int64_t rows = (elements_ + size_ - 1) / size_;
  torch::Tensor padded = torch::zeros({rows * size_}, flat.options());
  padded.narrow(0, 0, elements_).copy_(flat * signs_);
  const torch::Tensor folded = padded.view({rows, size_}).sum(0, false, torch::kFloat64).cpu();
  const double* values = folded.data_ptr<double>();
  for (std::int64_t i = 0; i < size_; ++i) sums[static_cast<std::size_t>(i)] += scale * values[i];
}

}  // namespace polyhead
