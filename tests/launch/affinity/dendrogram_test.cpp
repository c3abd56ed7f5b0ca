// Dendrograms as text.
#include "launch/affinity/dendrogram.h"

#include <gtest/gtest.h>

namespace polyhead {
namespace {

TEST(Dendrogram, ThreeItems) {
  const std::vector<Merge> merges = {{0, 2, 0.5, 2}, {3, 1, 1, 3}};
  EXPECT_EQ(format_dendrogram({"a", "long", "ç"}, merges, 9),
            "a     ─────┬───┬─\n"
            "ç     ─────┘   │\n"
            "long  ─────────┘\n"
            "      0        1\n");
}

// Lines that meet in one column form one joint.
TEST(Dendrogram, EqualDistances) {
  const std::vector<Merge> merges = {{0, 1, 1, 2}, {2, 3, 1, 2}, {4, 5, 1, 4}};
  EXPECT_EQ(format_dendrogram({"a", "b", "c", "d"}, merges, 5),
            "a  ─────┬─\n"
            "b  ─────┤\n"
            "c  ─────┤\n"
            "d  ─────┘\n"
            "   0    1\n");
}

TEST(Dendrogram, AllAtDistanceZero) {
  EXPECT_EQ(format_dendrogram({"a", "b"}, {{0, 1, 0, 2}}, 4),
            "a  ────┬─\n"
            "b  ────┘\n"
            "   0   0\n");
}

}  // namespace
}  // namespace polyhead
