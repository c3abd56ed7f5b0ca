// Average linkage by repeated search, and the best partition by dynamic programming over sets of items.
#include "core/metrics/grouping.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "core/base/error.h"

namespace polyhead {
namespace {

void check_groups(const char* who, std::size_t items, std::size_t groups, std::size_t max_items) {
  if (groups < 1 || groups > items || items > max_items)
    throw Error(Exit::internal, fmt::format("{}: {} groups of {} items", who, groups, items));
}

// Returns the items of each cluster, by its number.
Groups items_of_clusters(const std::vector<Merge>& merges) {
  const std::size_t items = merges.size() + 1;
  Groups clusters(items);
  for (std::size_t i = 0; i < items; ++i) clusters[i] = {i};
  for (const Merge& merge : merges) {
    std::vector<std::size_t> both = clusters.at(merge.left);
    both.insert(both.end(), clusters.at(merge.right).begin(), clusters.at(merge.right).end());
    clusters.push_back(std::move(both));
  }
  return clusters;
}

using Set = std::uint32_t;  // of items, one bit each

// Returns for each set the sum over its items of the mean affinity that an item gets from the others of the set.
std::vector<double> values_of_sets(const SquareMatrix& affinity) {
  const std::size_t items = affinity.size();
  std::vector<double> values(std::size_t{1} << items, 0);
  for (Set set = 1; set < values.size(); ++set) {
    const auto low = static_cast<std::size_t>(std::countr_zero(set));
    double sum = values[set & (set - 1)];
    for (std::size_t i = low + 1; i < items; ++i)
      if ((set >> i & 1U) != 0) sum += affinity(low, i) + affinity(i, low);
    values[set] = sum;
  }
  for (Set set = 1; set < values.size(); ++set)
    if (const int size = std::popcount(set); size > 1) values[set] /= size - 1;
  return values;
}

double largest(const SquareMatrix& affinity) {
  double most = 0;
  for (std::size_t i = 0; i < affinity.size(); ++i)
    for (std::size_t j = 0; j < affinity.size(); ++j)
      if (i != j) most = std::max(most, std::abs(affinity(i, j)));
  return most;
}

}  // namespace

std::vector<Merge> average_linkage(const SquareMatrix& distance) {
  const std::size_t items = distance.size();
  SquareMatrix between(items);  // of clusters, each in the row of its first item
  std::vector<std::size_t> number(items), size(items, 1);
  for (std::size_t i = 0; i < items; ++i) {
    number[i] = i;
    for (std::size_t j = 0; j < i; ++j) between(i, j) = between(j, i) = distance(i, j);
  }
  std::vector<Merge> merges;
  while (merges.size() + 1 < items) {
    std::size_t left = items, right = items;
    for (std::size_t i = 0; i < items; ++i)
      for (std::size_t j = i + 1; size[i] > 0 && j < items; ++j)
        if (size[j] > 0 && (left == items || between(i, j) < between(left, right))) left = i, right = j;
    const double at = between(left, right);
    const auto of_left = static_cast<double>(size[left]), of_right = static_cast<double>(size[right]);
    for (std::size_t k = 0; k < items; ++k)
      between(left, k) = between(k, left) =
          (of_left * between(left, k) + of_right * between(right, k)) / (of_left + of_right);
    size[left] += std::exchange(size[right], 0);
    merges.push_back({number[left], number[right], at, size[left]});
    number[left] = items + merges.size() - 1;
  }
  return merges;
}

std::vector<std::size_t> leaf_order(const std::vector<Merge>& merges) {
  return items_of_clusters(merges).back();
}

Groups cut(const std::vector<Merge>& merges, std::size_t groups) {
  const std::size_t items = merges.size() + 1;
  check_groups("cut", items, groups, items);
  const std::size_t kept = items - groups;
  const Groups clusters = items_of_clusters(merges);
  std::vector<bool> merged(clusters.size(), false);
  for (std::size_t m = 0; m < kept; ++m) merged[merges[m].left] = merged[merges[m].right] = true;
  Groups out;
  for (std::size_t c = 0; c < items + kept; ++c)
    if (!merged[c]) {
      out.push_back(clusters[c]);
      std::ranges::sort(out.back());
    }
  std::ranges::sort(out);
  return out;
}

double affinity_within(const SquareMatrix& affinity, const Groups& groups) {
  double sum = 0;
  std::size_t items = 0;
  for (const std::vector<std::size_t>& group : groups) {
    items += group.size();
    for (const std::size_t j : group)
      for (const std::size_t i : group)
        if (i != j) sum += affinity(i, j) / static_cast<double>(group.size() - 1);
  }
  return items == 0 ? 0 : sum / static_cast<double>(items);
}

Groups best_partition(const SquareMatrix& affinity, std::size_t groups) {
  const std::size_t items = affinity.size();
  check_groups("best_partition", items, groups, kMaxExactItems);
  const std::vector<double> values = values_of_sets(affinity);
  const double tie = 1e-12 * largest(affinity);
  constexpr double none = -std::numeric_limits<double>::infinity();
  // best[set]: of `set` in k groups. chosen[k][set]: the group of its first item.
  std::vector<double> best(values);
  std::vector<std::vector<Set>> chosen(groups + 1, std::vector<Set>(values.size()));
  for (Set set = 1; set < values.size(); ++set) chosen[1][set] = set;
  for (std::size_t k = 2; k <= groups; ++k) {
    std::vector<double> next(values.size(), none);
    const auto last = static_cast<Set>(values.size() - 1);
    for (Set set = k == groups ? last : 1; set <= last; ++set) {
      const Set first = set & (~set + 1), rest = set ^ first;
      if (static_cast<std::size_t>(std::popcount(set)) < k) continue;
      Set others = 0;  // of the first item's group, in ascending order
      do {
        const Set left = rest ^ others;
        if (static_cast<std::size_t>(std::popcount(left)) >= k - 1)
          if (const double value = values[first | others] + best[left]; value > next[set] + tie) {
            next[set] = value;
            chosen[k][set] = first | others;
          }
        others = (others - rest) & rest;
      } while (others != 0);
    }
    best = std::move(next);
  }
  Groups out;
  auto left = static_cast<Set>(values.size() - 1);
  for (std::size_t k = groups; k > 0; --k) {
    const Set group = chosen[k][left];
    std::vector<std::size_t>& members = out.emplace_back();
    for (std::size_t i = 0; i < items; ++i)
      if ((group >> i & 1U) != 0) members.push_back(i);
    left ^= group;
  }
  return out;
}

}  // namespace polyhead
