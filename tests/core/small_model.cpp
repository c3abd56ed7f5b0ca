// A model of all kinds with a random batch, small enough to compare every number.
#include "tests/core/small_model.h"

#include <algorithm>

#include "core/base/counter_random.h"

namespace polyhead {

torch::Tensor random_tensor(const std::vector<std::int64_t>& shape, std::uint64_t seed) {
  torch::Tensor values = torch::empty(shape, torch::kFloat64);
  auto* data = values.data_ptr<double>();
  for (std::int64_t i = 0; i < values.numel(); ++i) data[i] = 2 * unit(draw(seed, static_cast<std::uint64_t>(i))) - 1;
  return values;
}

double relative_difference(const torch::Tensor& a, const torch::Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  if (a.sizes() != b.sizes()) return 1e300;
  if (b.numel() == 0) return 0;
  const double difference = (a - b).abs().max().item<double>(), size = b.abs().max().item<double>();
  return size > 0 ? difference / size : difference;
}

HeadSpec small_spec(std::size_t task, const SmallOptions& options) {
  HeadSpec spec{.task = std::to_string(task) + std::string(name_of(kSmallTasks[task])),
                .kind = kSmallTasks[task],
                .vocab_size = kVocabulary,
                .encoder = options.encoder,
                .options = options.head,
                .statistics = {}};
  switch (spec.kind) {
    case Kind::classification:
      spec.classes = kClasses;
      break;
    case Kind::tagging:
      spec.classes = kTags;
      break;
    case Kind::multilabel:
      spec.classes = kLabels;
      break;
    case Kind::regression:
      spec.outputs = kOutputs;
      spec.statistics.mean = {3, -20};
      spec.statistics.deviation = {0.5, 7};
      break;
    default:
      break;
  }
  if (task == 5) {
    spec.options.focal_gamma = 1.5;
    spec.statistics.class_weights = {0.5, 2, 1.25};
  }
  if (task == 7) {
    spec.options.loss = RegressionLoss::huber;
    spec.options.delta = 0.4;
  }
  return spec;
}

std::unique_ptr<Model> small_model(const SmallOptions& options, std::uint64_t seed,
                                   const std::optional<std::vector<std::size_t>>& held) {
  auto model =
      std::make_unique<Model>(options.encoder, options.attention, kVocabulary, static_cast<std::int64_t>(kTasks),
                              InputOptions{.feature_widths = {3, 5}, .pairs = true});
  for (std::size_t task = 0; task < kTasks; ++task)
    if (!held || std::ranges::count(*held, task) > 0) model->add_head(task, make_head(small_spec(task, options)));
  model->finish(seed, torch::kFloat64);
  const torch::NoGradGuard guard;
  const auto move = [&](Arena& arena, std::uint64_t owner) {
    for (const Parameter& parameter : arena.parameters())
      parameter.tensor.add_(
          random_tensor(parameter.shape, derive(derive(seed, owner), static_cast<std::uint64_t>(parameter.offset))) *
          0.3);
  };
  move(model->encoder().arena(), 100);
  for (const auto& [task, head] : model->heads()) move(head->arena(), task);
  return model;
}

Batch small_batch(std::uint64_t seed) {
  std::uint64_t counter = 0;
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(bounded(draw(seed, counter++), static_cast<std::uint32_t>(n)));
  };
  const auto token = [&] { return 5 + below(kVocabulary - 5); };
  const std::vector<std::vector<std::int64_t>> lengths = {{7, 1, 4}, {5, 9}, {6, 3, 8}, {4, 10, 1}, {2, 6},
                                                          {3, 8, 5}, {4, 7}, {9, 2, 3}, {2, 5}};
  const std::vector<std::int64_t> target_lengths = {6, 1, 9};
  Batch batch;
  batch.offsets = {0};
  for (std::size_t task = 0; task < kTasks; ++task) {
    TaskSlice slice;
    slice.task = task;
    slice.first_sequence = batch.sequences();
    slice.first_token = batch.offsets.back();
    if (task == 3) slice.target_offsets = {0};
    for (const std::int64_t length : lengths[task]) {
      const std::int64_t width = kWidths[task];
      slice.feature_width = width;
      for (std::int64_t i = 0; i < length; ++i) {
        batch.tokens.push_back(width > 0 ? kNoToken : token());
        for (std::int64_t k = 0; k < width; ++k) slice.features.push_back(static_cast<float>(below(9) - 4) / 4);
        if (kSmallTasks[task] == Kind::tagging) slice.tags.push_back(i % 3 == 1 ? kIgnore : below(kTags));
        if (task == 2 && (i % 3 == 2 || slice.masked_rows.empty())) {
          slice.masked_rows.push_back(batch.offsets.back() + i);
          slice.masked_tokens.push_back(batch.tokens.back());
          batch.tokens.back() = 4;
        }
      }
      if (task == 0 || task == 5) slice.labels.push_back(below(kClasses));
      for (std::int64_t c = 0; task == 4 && c < kLabels; ++c) slice.labels.push_back(below(2));
      // Within a few deviations of the mean.
      for (std::size_t k = 0; kSmallTasks[task] == Kind::regression && k < kOutputs; ++k)
        slice.values.push_back(k == 0 ? 3 + 0.3 * static_cast<double>(below(7) - 3)
                                      : -20 + 4 * static_cast<double>(below(7) - 3));
      if (task == 3) {
        for (std::int64_t i = 1; i < target_lengths[static_cast<std::size_t>(slice.sequences)]; ++i)
          slice.target_tokens.push_back(token());
        slice.target_tokens.push_back(3);
        slice.target_offsets.push_back(static_cast<std::int64_t>(slice.target_tokens.size()));
      }
      batch.offsets.push_back(static_cast<std::int64_t>(batch.tokens.size()));
      batch.keys.push_back(draw(seed + 1, batch.keys.size()));
      // One of the three "pairs" is a single text.
      batch.second.push_back(task == 5 && length != 3 ? length / 2 : 0);
      slice.samples.push_back(static_cast<std::uint64_t>(slice.sequences++));
    }
    slice.count = kSmallTasks[task] == Kind::tagging
                      ? std::ranges::count_if(slice.tags, [](std::int64_t tag) { return tag != kIgnore; })
                  : task == 2 ? static_cast<std::int64_t>(slice.masked_rows.size())
                  : task == 3 ? slice.target_offsets.back()
                              : slice.sequences;
    batch.slices.push_back(std::move(slice));
  }
  return batch;
}

namespace {

// Appends sequences [first, last) of a slice.
void append(Batch& to, const Batch& from, const TaskSlice& slice, std::int64_t first, std::int64_t last) {
  if (to.offsets.empty()) to.offsets = {0};
  TaskSlice out;
  out.task = slice.task;
  out.first_sequence = to.sequences();
  out.sequences = last - first;
  out.first_token = to.offsets.back();
  out.feature_width = slice.feature_width;
  if (!slice.target_offsets.empty()) out.target_offsets = {0};
  for (std::int64_t i = first; i < last; ++i) {
    const auto sequence = static_cast<std::size_t>(slice.first_sequence + i), own = static_cast<std::size_t>(i);
    const std::int64_t begin = from.offsets[sequence], end = from.offsets[sequence + 1];
    for (std::int64_t row = begin; row < end; ++row) {
      if (!slice.tags.empty()) out.tags.push_back(slice.tags[static_cast<std::size_t>(row - slice.first_token)]);
      for (std::size_t m = 0; m < slice.masked_rows.size(); ++m)
        if (slice.masked_rows[m] == row) {
          out.masked_rows.push_back(static_cast<std::int64_t>(to.tokens.size()));
          out.masked_tokens.push_back(slice.masked_tokens[m]);
        }
      to.tokens.push_back(from.tokens[static_cast<std::size_t>(row)]);
      const auto begin_of = [&](std::int64_t at) {
        return slice.features.begin() + (at - slice.first_token) * slice.feature_width;
      };
      out.features.insert(out.features.end(), begin_of(row), begin_of(row + 1));
    }
    to.offsets.push_back(static_cast<std::int64_t>(to.tokens.size()));
    to.keys.push_back(from.keys[sequence]);
    to.second.push_back(from.second[sequence]);
    out.samples.push_back(slice.samples[own]);
    const auto copy = [&](const auto& values, auto& copied) {
      const std::size_t width = values.size() / static_cast<std::size_t>(slice.sequences);
      for (std::size_t k = 0; k < width; ++k) copied.push_back(values[own * width + k]);
    };
    copy(slice.labels, out.labels);
    copy(slice.values, out.values);
    if (!slice.target_offsets.empty()) {
      for (auto t = slice.target_offsets[own]; t < slice.target_offsets[own + 1]; ++t)
        out.target_tokens.push_back(slice.target_tokens[static_cast<std::size_t>(t)]);
      out.target_offsets.push_back(static_cast<std::int64_t>(out.target_tokens.size()));
    }
  }
  to.slices.push_back(std::move(out));
}

}  // namespace

Batch only(const Batch& batch, std::size_t slice, std::int64_t sample) {
  Batch out;
  const TaskSlice& from = batch.slices[slice];
  append(out, batch, from, sample < 0 ? 0 : sample, sample < 0 ? from.sequences : sample + 1);
  return out;
}

Batch reordered(const Batch& batch, const std::vector<std::size_t>& order) {
  Batch out;
  for (const std::size_t slice : order) append(out, batch, batch.slices[slice], 0, batch.slices[slice].sequences);
  return out;
}

}  // namespace polyhead
