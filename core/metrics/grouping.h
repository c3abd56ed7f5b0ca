// Groups of tasks: average linkage of a matrix of distances, and the partition with the highest affinity.
#pragma once

#include <cstddef>
#include <vector>

#include "core/balancing/square_matrix.h"

namespace polyhead {

// Two clusters become one. The number of a cluster is that of its item, or number of items + index of its merge, as in
// scipy.cluster.hierarchy.
struct Merge {
  std::size_t left = 0, right = 0;  // left holds the item with the smallest number of both
  double distance = 0;
  std::size_t size = 0;  // items
};

using Groups = std::vector<std::vector<std::size_t>>;  // in the order of their first items; items ascend

// Average linkage (UPGMA; Sokal and Michener, 1958): in each merge, the two clusters with the smallest mean distance of
// their items become one. Of equal distances, the pair whose first items have the smallest numbers is merged. Only the
// entries of `distance` below the diagonal are read, and they must not be NaN. Distances never decrease from one merge
// to the next, apart from rounding.
std::vector<Merge> average_linkage(const SquareMatrix& distance);

// Returns the items from left to right, so that no lines of the dendrogram cross.
std::vector<std::size_t> leaf_order(const std::vector<Merge>& merges);

// Returns the groups that are left when the last `groups` - 1 merges are undone. 1 <= groups <= number of items.
Groups cut(const std::vector<Merge>& merges, std::size_t groups);

// Returns the mean over all items of the mean affinity that an item gets from the others of its group; an item alone
// gets 0. affinity(i, j): of i for j; the diagonal is not read.
double affinity_within(const SquareMatrix& affinity, const Groups& groups);

inline constexpr std::size_t kMaxExactItems = 16;

// Returns the partition into exactly `groups` groups with the highest affinity_within(), by dynamic programming over
// all subsets, in O(groups * 3^items). Differences below 1e-12 of the largest affinity count as ties; the first
// partition in a fixed order wins. At most kMaxExactItems items; 1 <= groups <= items.
Groups best_partition(const SquareMatrix& affinity, std::size_t groups);

}  // namespace polyhead
