// Search with a key/value cache against simple searches by teacher-forced scores: greedy, beam, and exhaustive.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "core/heads/beam_search.h"
#include "tests/core/small_model.h"

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

constexpr std::int64_t kWords = 6, kEos = 3;  // a vocabulary small enough to write down all that can be said

// A translation head alone; `ending` is added to the bias of eos.
std::unique_ptr<Model> tiny_model(std::uint64_t seed, std::int64_t max_target, double ending = 0) {
  SmallOptions options;
  options.head.max_target = max_target;
  options.head.decoder_layers = 1 + static_cast<std::int64_t>(seed % 2);
  auto model = std::make_unique<Model>(options.encoder, options.attention, kWords, 1);
  model->add_head(0, make_head({.task = "tiny",
                                .kind = Kind::translation,
                                .vocab_size = kWords,
                                .encoder = options.encoder,
                                .options = options.head}));
  model->finish(seed, torch::kFloat64);
  for (const Parameter& parameter : model->head(0).arena().parameters()) {
    if (parameter.name == "bias") {
      parameter.tensor.add_(random_tensor({kWords}, seed + 1000));
      parameter.tensor[kEos].add_(ending);
    }
    if (parameter.name.starts_with("layers.") && parameter.shape.size() == 2) parameter.tensor.mul_(6);
  }
  return model;
}

using Text = std::vector<std::int64_t>;

Batch sources(const std::vector<Text>& texts) {
  Batch batch;
  batch.offsets = {0};
  TaskSlice slice;
  for (const Text& text : texts) {
    batch.tokens.insert(batch.tokens.end(), text.begin(), text.end());
    batch.offsets.push_back(static_cast<std::int64_t>(batch.tokens.size()));
    batch.keys.push_back(0);
    ++slice.sequences;
  }
  batch.slices = {slice};
  return batch;
}

const std::vector<Text> kSources = {{2, 4, 5, 0, 3}, {2, 3}, {2, 1, 1, 5, 4, 4, 0, 3}};  // the second: an empty text

// log P of each target as it stands (with its eos, if it has one), scored by teacher forcing without any cache.
std::vector<double> scores(const Model& model, const Text& source, const std::vector<Text>& targets) {
  Batch batch = sources(std::vector<Text>(targets.size(), source));
  TaskSlice& slice = batch.slices.front();
  slice.target_offsets = {0};
  for (const Text& target : targets) {
    slice.target_tokens.insert(slice.target_tokens.end(), target.begin(), target.end());
    slice.target_offsets.push_back(static_cast<std::int64_t>(slice.target_tokens.size()));
  }
  std::vector<double> loss = model.head(0).score(model.forward(batch, false).front(), slice).loss;
  for (double& value : loss) value = -value;
  return loss;
}

struct Best {
  Text text;  // with its eos, if it has one
  double log_probability = 0, score = 0;
};

void keep_better(std::optional<Best>& best, const Text& text, double log_probability, double alpha) {
  const double score = log_probability / std::pow((5.0 + static_cast<double>(text.size())) / 6, alpha);
  if (!best || score > best->score) best = {text, log_probability, score};
}

// Everything that can be said in at most `limit` tokens.
std::vector<Text> all_texts(std::size_t limit) {
  std::vector<Text> all, open = {{}};
  while (!open.empty()) {
    const Text text = open.back();
    open.pop_back();
    for (std::int64_t token = 0; token < kWords; ++token) {
      Text longer = text;
      longer.push_back(token);
      (token == kEos || longer.size() == limit ? all : open).push_back(longer);
    }
  }
  return all;
}

Best best_of(const std::vector<Text>& texts, const std::vector<double>& log_probability, double alpha) {
  std::optional<Best> best;
  for (std::size_t i = 0; i < texts.size(); ++i) keep_better(best, texts[i], log_probability[i], alpha);
  return *best;
}

// The beam again, every candidate scored from its first token on; goes on until nothing is left to go on with.
Best naive_beam(const Model& model, const Text& source, std::size_t limit, std::size_t beam, double alpha) {
  std::vector<Text> prefixes = {{}};
  std::optional<Best> best;
  while (!prefixes.empty()) {
    std::vector<Text> longer;
    for (const Text& prefix : prefixes)
      for (std::int64_t token = 0; token < kWords; ++token) {
        longer.push_back(prefix);
        longer.back().push_back(token);
      }
    const std::vector<double> log_probability = scores(model, source, longer);
    std::vector<std::pair<double, std::size_t>> order;
    for (std::size_t i = 0; i < longer.size(); ++i) order.emplace_back(-log_probability[i], i);
    std::ranges::sort(order);
    order.resize(std::min(order.size(), beam));
    prefixes.clear();
    for (const auto& [negative, i] : order) {
      if (longer[i].back() != kEos && longer[i].size() < limit) {
        prefixes.push_back(longer[i]);
        continue;
      }
      keep_better(best, longer[i], -negative, alpha);
      --beam;
    }
  }
  return *best;
}

// What the head found, with the eos that it leaves out.
void expect_found(const Predicted& found, std::size_t sentence, const Best& expected, std::size_t limit) {
  Text text = found.ids[sentence];
  if (text.size() < limit) text.push_back(kEos);
  EXPECT_EQ(text, expected.text) << "sentence " << sentence;
  EXPECT_NEAR(found.values[sentence], expected.log_probability, 1e-10) << "sentence " << sentence;
}

TEST(Translation, WideBeamFindsTheBestOfEverything) {
  const torch::NoGradGuard guard;
  constexpr std::size_t kLimit = 4;
  const std::vector<Text> all = all_texts(kLimit);
  ASSERT_EQ(all.size(), 781U);
  std::set<std::size_t> lengths;
  int missed_by_greedy = 0;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const auto model = tiny_model(seed, kLimit);
    const HeadInput input = model->forward(sources(kSources), false).front();
    const Predicted greedy = model->head(0).predict(input);
    std::vector<std::size_t> before(kSources.size());
    std::vector<std::vector<double>> log_probability;
    for (const Text& source : kSources) log_probability.push_back(scores(*model, source, all));
    for (const double alpha : {0.0, 0.6, 2.0, 8.0}) {
      const Predicted found = model->head(0).generate(input, {.beam = 1000, .length_penalty = alpha});
      for (std::size_t i = 0; i < kSources.size(); ++i) {
        SCOPED_TRACE(testing::Message() << "seed " << seed << ", length penalty " << alpha);
        const Best expected = best_of(all, log_probability[i], alpha);
        expect_found(found, i, expected, kLimit);
        // The best of all texts never gets shorter with a larger alpha.
        EXPECT_GE(expected.text.size(), before[i]);
        before[i] = expected.text.size();
        lengths.insert(expected.text.size());
        missed_by_greedy += found.ids[i] != greedy.ids[i];
      }
    }
  }
  EXPECT_GE(lengths.size(), 3U);
  EXPECT_GE(missed_by_greedy, 20);
}

TEST(Translation, NarrowBeamEqualsNaiveBeam) {
  const torch::NoGradGuard guard;
  constexpr std::size_t kLimit = 7;
  int unlike_greedy = 0, ended = 0, limited = 0;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const auto model = tiny_model(seed, kLimit, seed % 2 == 0 ? 0 : -1);
    const HeadInput input = model->forward(sources(kSources), false).front();
    const Predicted greedy = model->head(0).predict(input);
    for (const std::size_t beam : {1, 2, 3, 5})
      for (const double alpha : {0.0, 0.6, 3.0}) {
        const Predicted found =
            model->head(0).generate(input, {.beam = static_cast<std::int64_t>(beam), .length_penalty = alpha});
        for (std::size_t i = 0; i < kSources.size(); ++i) {
          SCOPED_TRACE(testing::Message() << "seed " << seed << ", beam " << beam << ", length penalty " << alpha);
          expect_found(found, i, naive_beam(*model, kSources[i], kLimit, beam, alpha), kLimit);
          const bool unlike = found.ids[i] != greedy.ids[i];
          EXPECT_FALSE(beam == 1 && unlike);
          unlike_greedy += unlike;
          (found.ids[i].size() < kLimit ? ended : limited) += 1;
        }
      }
  }
  EXPECT_GE(unlike_greedy, 20);
  EXPECT_GE(ended, 20);
  EXPECT_GE(limited, 20);
}

TEST(Translation, BatchEqualsOneAtATime) {
  const torch::NoGradGuard guard;
  std::size_t longest = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const auto model = tiny_model(seed, 12, -1);
    for (const std::int64_t beam : {1, 2, 4}) {
      const Predicted together =
          model->head(0).generate(model->forward(sources(kSources), false).front(), {.beam = beam});
      for (std::size_t i = 0; i < kSources.size(); ++i) {
        const Predicted alone =
            model->head(0).generate(model->forward(sources({kSources[i]}), false).front(), {.beam = beam});
        EXPECT_EQ(together.ids[i], alone.ids[0]) << "seed " << seed << ", beam " << beam << ", sentence " << i;
        EXPECT_NEAR(together.values[i], alone.values[0], 1e-10);
        longest = std::max(longest, alone.ids[0].size());
      }
    }
  }
  EXPECT_EQ(longest, 12U);
}

TEST(Translation, SearchAtItsLimits) {
  const torch::NoGradGuard guard;
  for (const std::int64_t beam : {1, 3, 50}) {  // the last is wider than the vocabulary
    SCOPED_TRACE(testing::Message() << "beam " << beam);
    const auto search = [&](const Model& model) {
      return model.head(0).generate(model.forward(sources(kSources), false).front(), {.beam = beam});
    };
    // All end at once.
    const auto silent = tiny_model(1, 10, 200);
    const Predicted nothing = search(*silent);
    for (std::size_t i = 0; i < kSources.size(); ++i) {
      EXPECT_EQ(nothing.ids[i], Text());
      EXPECT_NEAR(nothing.values[i], scores(*silent, kSources[i], {{kEos}})[0], 1e-10);
    }
    // None ends: max_target, or twice the source plus 8 (the empty text has two tokens).
    const Predicted all = search(*tiny_model(1, 13, -1e6));
    EXPECT_EQ(all.ids[0].size(), 13U);
    EXPECT_EQ(all.ids[1].size(), 12U);
    EXPECT_EQ(all.ids[2].size(), 13U);
    // One token, or eos.
    const auto brief = tiny_model(2, 1);
    const Predicted one = search(*brief);
    for (std::size_t i = 0; i < kSources.size(); ++i)
      expect_found(one, i, best_of(all_texts(1), scores(*brief, kSources[i], all_texts(1)), 0.6), 1);
  }
}

// Two tokens, 0 and eos = 1. "eos" has log P = -1, "0 eos" -1.1: shorter by log P, longer when divided by (7/6)^alpha.
TEST(BeamSearch, LengthPenaltyByHand) {
  for (const auto& [alpha, expected] : {std::pair(0.0, Text{}), std::pair(0.6, Text{}), std::pair(1.0, Text{0})}) {
    BeamSearch search({.beam = 2, .length_penalty = alpha}, {9}, 7, 1);
    EXPECT_EQ(search.last_tokens(), Text{7});
    EXPECT_EQ(search.advance({0, 1}, {-0.9, -1}, 2), Text{0});
    EXPECT_EQ(search.last_tokens(), Text{0});
    // One of the two has ended, so only one goes on or ends.
    EXPECT_EQ(search.advance({1, 0}, {-0.2, -3}, 2), Text{});
    EXPECT_TRUE(search.done());
    EXPECT_EQ(search.best()[0].tokens, expected) << alpha;
  }
}

// A sentence is over as soon as nothing can win, and of equals the first stays.
TEST(BeamSearch, EndsEarlyAndBreaksTiesByOrder) {
  BeamSearch search({.beam = 2, .length_penalty = 0}, {9, 9}, 7, 1);
  EXPECT_EQ(search.offsets(), (Text{0, 1, 2}));
  // The first: eos and 0 equally probable, so 0 can only fall below. The second: 0 and 4, of equals the first two.
  EXPECT_EQ(search.advance({1, 0, 5, 0, 4, 6}, {-1, -1, -9, -2, -2, -2}, 3), (Text{1, 1}));
  EXPECT_EQ(search.offsets(), (Text{0, 0, 2}));
  EXPECT_EQ(search.last_tokens(), (Text{0, 4}));
  EXPECT_EQ(search.best()[0].tokens, Text());
  EXPECT_DOUBLE_EQ(search.best()[0].log_probability, -1);
}

}  // namespace
}  // namespace polyhead
