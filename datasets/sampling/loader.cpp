// Combines sampler, readers and packing.
#include "datasets/sampling/loader.h"

#include <algorithm>

#include "core/base/counter_random.h"
#include "core/base/hash.h"

namespace polyhead {
namespace {

// Reserves memory for `samples` samples like the first one of the slice, because growing step by step would copy them
// several times.
void reserve(TaskSlice& slice, std::size_t samples, std::size_t inputs, std::size_t targets) {
  slice.samples.reserve(samples);
  slice.labels.reserve(slice.labels.size() * samples);
  slice.values.reserve(slice.values.size() * samples);
  if (slice.feature_width > 0) slice.features.reserve(inputs * static_cast<std::size_t>(slice.feature_width));
  if (!slice.tags.empty()) slice.tags.reserve(inputs);
  if (slice.target_offsets.empty()) return;
  slice.target_tokens.reserve(targets);
  slice.target_offsets.reserve(samples + 1);
}

}  // namespace

Loader::Loader(std::vector<LoaderTask> tasks, TokenizerInfo tokenizer, std::uint64_t seed, MicroBatches cut)
    : cut_(cut), tokenizer_(std::move(tokenizer)) {
  for (LoaderTask& task : tasks) {
    const std::uint64_t key = task_key(seed, task.info.name), samples = task.reader->size();
    sources_.push_back({std::move(task), key, SampleStream(key, samples)});
  }
}

void Loader::find_places(const std::vector<MixtureEntry>& mixture, std::int64_t step) {
  for (Source& source : sources_) {
    const auto [first, count] = positions(mixture, source.task.task, step);
    source.first = first;
    source.indices.resize(static_cast<std::size_t>(count));
    source.stream.read(first, source.indices);
    for (const std::uint64_t index : source.indices) source.task.reader->prefetch_place(index);
  }
}

// Divides samples, which are together, into parts with about equally many tokens each.
std::size_t Loader::cut(bool by_task) {
  std::size_t batches = 0;
  const auto parts = static_cast<std::size_t>(cut_.parts);
  for (std::size_t first = 0; first < mine_.size();) {
    std::size_t end = mine_.size(), before = 0, tokens = 0;
    if (by_task) {
      const Source& source = *mine_[first].source;
      end = first + source.own;
      before = source.before;
      tokens = source.inputs + source.targets;
    } else {
      for (const Source& source : sources_) tokens += source.inputs + source.targets;
    }
    std::size_t part = 0;
    for (; first < end; ++first) {
      while ((mine_[first].middle - before) * parts >= (part + 1) * tokens) ++part;
      mine_[first].batch = batches + part;
    }
    batches += parts;
  }
  return std::max(batches, parts);
}

Loader::Share Loader::choose_samples(bool by_task) {
  const std::size_t together = samples_together();
  std::size_t tokens = 0, batches = 0;
  mine_.clear();
  for (Source& source : sources_) {
    const LoaderTask& task = source.task;
    source.lengths.clear();
    source.samples.clear();
    source.own = source.inputs = source.targets = 0;
    source.before = tokens;
    for (std::size_t i = 0; i < source.indices.size(); ++i) {
      const StoredSample& sample = source.samples.emplace_back(task.reader->sample(source.indices[i]));
      if (i % together == 0) source.lengths.push_back(0);
      source.lengths.back() += sample.input_length() + sample.target_length();
    }
    const std::vector<std::size_t> parts = split_by_length(source.lengths, task.parts);
    for (std::size_t i = 0; i < source.samples.size(); ++i) {
      if (parts[i / together] != task.part) continue;
      const StoredSample& sample = source.samples[i];
      const std::size_t length = sample.input_length() + sample.target_length();
      if (i % together == 0) ++batches;
      mine_.push_back({&source, &sample, source.first + i, tokens + length / 2, batches - 1});
      tokens += length;
      ++source.own;
      source.inputs += sample.input_length();
      source.targets += sample.target_length();
    }
  }
  if (cut_.samples == 0) batches = cut(by_task);
  return {tokens, batches};
}

// Three passes, so that memory is fetched while the previous pass is still working: the places of the samples, their
// lengths, and their content.
Loader::Step Loader::load(const std::vector<MixtureEntry>& mixture, std::int64_t step, bool by_task) {
  find_places(mixture, step);
  const auto [tokens, batches] = choose_samples(by_task);
  // Prefetches one block of samples ahead, because prefetches that are issued together also overlap in their page
  // look-ups.
  constexpr std::size_t kBlock = 64;  // samples
  const auto prefetch = [&](std::size_t begin) {
    for (std::size_t n = begin; n < std::min(begin + kBlock, mine_.size()); ++n) mine_[n].sample->prefetch();
  };
  Step loaded;
  loaded.batches.resize(batches);
  for (Batch& batch : loaded.batches) {
    batch.tokens.reserve(tokens / batches);
    batch.slices.reserve(cut_.samples > 0 || by_task ? 1 : sources_.size());
    batch.keys.reserve(mine_.size() / batches);
    batch.offsets.reserve(mine_.size() / batches + 1);
    batch.offsets.push_back(0);
  }
  prefetch(0);
  for (std::size_t n = 0; n < mine_.size(); ++n) {
    if (n % kBlock == 0) prefetch(n + kBlock);
    const auto& [source, sample, position, middle, number] = mine_[n];
    const LoaderTask& task = source->task;
    Batch& batch = loaded.batches[number];
    append(batch, task.task, task.info, tokenizer_, *sample, derive(source->key, position), task.masking);
    if (TaskSlice& slice = batch.slices.back(); slice.sequences == 1) {
      const std::size_t together = samples_together();
      const std::size_t pieces = cut_.samples > 0 ? (source->own + together - 1) / together
                                 : by_task        ? static_cast<std::size_t>(cut_.parts)
                                                  : batches;
      reserve(slice, source->own / pieces, source->inputs / pieces, source->targets / pieces);
    }
    loaded.ids += hash_id(task.info.name, position);
  }
  return loaded;
}

}  // namespace polyhead
