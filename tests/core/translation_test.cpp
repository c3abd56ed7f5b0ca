// Greedy search with a key/value cache against a naive search by teacher-forced scores.
#include <gtest/gtest.h>

#include <algorithm>

#include "small_model.h"

namespace polyhead {
namespace {

struct Search {
  std::vector<std::int64_t> ids;
  bool at_limit = false;
};

// The search again without cache or padding: one sequence alone, the whole prefix scored anew for every token.
Search naive_search(const Model& model, const Batch& sequence, std::int64_t limit) {
  const HeadInput input = model.forward(sequence, false).front();
  TaskSlice slice = sequence.slices.front();
  Search search;
  while (true) {
    slice.target_tokens = search.ids;
    slice.target_tokens.push_back(0);  // to be predicted
    slice.target_offsets = {0, static_cast<std::int64_t>(slice.target_tokens.size())};
    const std::int64_t next = model.head(3).score(input, slice).predicted.back();
    if (next == model.head(3).spec().eos) return search;
    search.ids.push_back(next);
    if (static_cast<std::int64_t>(search.ids.size()) == limit) return {search.ids, true};
  }
}

TEST(Translation, CachedSearchEqualsNaiveSearch) {
  const torch::NoGradGuard guard;
  int ended = 0, limited = 0, both_in_one = 0;
  std::size_t changes = 0;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    SmallOptions options;
    options.head.max_target = 14;
    options.head.decoder_layers = 1 + static_cast<std::int64_t>(seed % 3);
    const auto model = small_model(options, seed);
    // Large steps of the blocks, so that the tokens vary; and some searches end early.
    for (const Parameter& parameter : model->head(3).arena().parameters()) {
      if (parameter.name == "bias") parameter.tensor[3].add_(1);
      if (parameter.name.starts_with("layers.") && parameter.shape.size() == 2) parameter.tensor.mul_(6);
    }
    const Batch batch = only(small_batch(seed), 3);
    const auto found = model->head(3).predict(model->forward(batch, false).front()).ids;
    ASSERT_EQ(found.size(), 3U);
    int ends = 0, limits = 0;
    for (std::int64_t i = 0; i < 3; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::int64_t words = batch.offsets[at + 1] - batch.offsets[at];
      const Search expected = naive_search(*model, only(batch, 0, i), std::min<std::int64_t>(14, 2 * words + 8));
      EXPECT_EQ(found[at], expected.ids) << "seed " << seed << ", sequence " << i;
      (expected.at_limit ? limits : ends) += 1;
      for (std::size_t t = 1; t < expected.ids.size(); ++t) changes += expected.ids[t] != expected.ids[t - 1];
      // Scored in one go, the same tokens: no position sees its own target or a later one.
      Batch alone = only(batch, 0, i);
      TaskSlice& slice = alone.slices.front();
      slice.target_tokens = expected.ids;
      if (!expected.at_limit) slice.target_tokens.push_back(3);
      slice.target_offsets = {0, static_cast<std::int64_t>(slice.target_tokens.size())};
      EXPECT_EQ(model->head(3).score(model->forward(alone, false).front(), slice).predicted, slice.target_tokens);
    }
    ended += ends;
    limited += limits;
    both_in_one += ends > 0 && limits > 0;
  }
  // The point is reached only if rows leave the search at different steps.
  EXPECT_GE(ended, 10);
  EXPECT_GE(limited, 10);
  EXPECT_GE(both_in_one, 5);
  EXPECT_GE(changes, 150U);
}

}  // namespace
}  // namespace polyhead
