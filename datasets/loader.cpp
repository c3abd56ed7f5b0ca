// Sampler, reader and packing together.
#include "datasets/loader.h"

#include "core/base/counter_random.h"
#include "core/base/hash.h"

namespace polyhead {

Loader::Loader(std::vector<LoaderTask> tasks, TokenizerInfo tokenizer, std::uint64_t seed)
    : tokenizer_(std::move(tokenizer)) {
  for (LoaderTask& task : tasks) {
    const std::uint64_t key = task_key(seed, task.info.name), samples = task.reader->size();
    sources_.push_back({std::move(task), key, SampleStream(key, samples)});
  }
}

// Three passes, so that memory is fetched while the pass before is still at work: where the samples lie, how long they
// are, and what they hold.
Loader::Step Loader::load(const std::vector<MixtureEntry>& mixture, std::int64_t step) {
  constexpr std::size_t kAhead = 8;  // samples
  for (Source& source : sources_) {
    const auto [first, count] = positions(mixture, static_cast<std::size_t>(source.task.task), step);
    source.first = first;
    source.samples.resize(static_cast<std::size_t>(count));
    source.stream.read(first, source.samples);
    for (const std::uint64_t sample : source.samples) source.task.reader->prefetch_place(sample);
  }
  std::size_t tokens = 0, sequences = 0;
  for (Source& source : sources_) {
    const LoaderTask& task = source.task;
    source.lengths.clear();
    for (const std::uint64_t sample : source.samples)
      source.lengths.push_back(task.reader->input_length(sample) + task.reader->target_length(sample));
    const std::vector<int> parts = split_by_length(source.lengths, task.parts);
    source.mine.clear();
    for (std::size_t i = 0; i < source.samples.size(); ++i) {
      if (parts[i] != task.part) continue;
      source.mine.push_back(i);
      tokens += source.lengths[i];
    }
    sequences += source.mine.size();
  }
  Step loaded;
  loaded.batch.tokens.reserve(tokens);
  loaded.batch.keys.reserve(sequences);
  loaded.batch.offsets.reserve(sequences + 1);
  loaded.batch.offsets.push_back(0);
  for (Source& source : sources_) {
    const LoaderTask& task = source.task;
    for (std::size_t n = 0; n < source.mine.size(); ++n) {
      if (n + kAhead < source.mine.size()) task.reader->prefetch(source.samples[source.mine[n + kAhead]]);
      const std::size_t i = source.mine[n];
      const std::uint64_t position = source.first + i;
      append(loaded.batch, task.task, task.info, tokenizer_, *task.reader, source.samples[i],
             derive(source.key, position), task.masking);
      loaded.ids += hash_id(task.info.name, position);
    }
  }
  return loaded;
}

}  // namespace polyhead
