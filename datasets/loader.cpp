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

Loader::Step Loader::load(const std::vector<MixtureEntry>& mixture, std::int64_t step) {
  Step loaded;
  loaded.batch.offsets = {0};
  for (Source& source : sources_) {
    const LoaderTask& task = source.task;
    const auto [first, count] = positions(mixture, static_cast<std::size_t>(task.task), step);
    samples_.resize(static_cast<std::size_t>(count));
    source.stream.read(first, samples_);
    lengths_.clear();
    for (const std::uint64_t sample : samples_)
      lengths_.push_back(task.reader->input_length(sample) + task.reader->target_length(sample));
    const std::vector<int> parts = split_by_length(lengths_, task.parts);
    for (std::size_t i = 0; i < samples_.size(); ++i) {
      if (parts[i] != task.part) continue;
      const std::uint64_t position = first + i;
      append(loaded.batch, task.task, task.info, tokenizer_, *task.reader, samples_[i], derive(source.key, position),
             task.masking);
      loaded.ids += hash_id(task.info.name, position);
    }
  }
  return loaded;
}

}  // namespace polyhead
