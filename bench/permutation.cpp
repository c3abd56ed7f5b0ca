// Nanoseconds per index of the keyed permutation: the median of 31 runs over 65,536 indices (or the whole epoch). The
// time to create an epoch's permutation is divided among its indices.
#include "datasets/sampling/permutation.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <vector>

namespace {

double median_seconds(const std::function<void()>& call) {
  std::vector<double> times;
  for (int run = 0; run < 31; ++run) {
    const auto start = std::chrono::steady_clock::now();
    call();
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + 15, times.end());
  return times[15];
}

}  // namespace

int main() {
  std::uint64_t sum = 0;  // so that nothing is left out
  std::vector<double> all;
  std::puts("samples         ns an index   making one, us");
  for (const std::uint64_t n :
       {100ULL,      1000ULL,      4096ULL,    4097ULL,          5000ULL,          10000ULL,   20000ULL,
        50000ULL,    65536ULL,     65537ULL,   117659ULL,        1000003ULL,       1ULL << 20, (1ULL << 20) + 1,
        13000000ULL, 100000007ULL, 1ULL << 30, (1ULL << 30) + 1, (1ULL << 32) + 1, 1ULL << 40}) {
    const double making = median_seconds([&] { sum += polyhead::Permutation(sum, 0, n).size(); });
    const polyhead::Permutation permutation(1, 0, n);
    std::vector<std::uint64_t> images(std::min<std::uint64_t>(n, 65536));
    const double mapping = median_seconds([&] {
      permutation.map(0, images);
      sum += images.back();
    });
    const double each = 1e9 * (mapping / static_cast<double>(images.size()) + making / static_cast<double>(n));
    all.push_back(each);
    std::printf("%-16llu%8.1f%16.1f\n", static_cast<unsigned long long>(n), each, 1e6 * making);
  }
  std::sort(all.begin(), all.end());
  std::printf("median of these sizes %.1f, largest %.1f ns an index (%llu)\n", all[all.size() / 2], all.back(),
              static_cast<unsigned long long>(sum % 10));
}
