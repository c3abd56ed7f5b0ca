// Sampler, reader and packing together.
#include "datasets/loader.h"

#include "core/base/counter_random.h"
#include "core/base/hash.h"

namespace polyhead {

Loader::Step Loader::load(const std::vector<MixtureEntry>& mixture, std::int64_t step) const {
  Step loaded;
  loaded.batch.offsets = {0};
  for (const LoaderTask& task : tasks_) {
    const auto [first, count] = positions(mixture, static_cast<std::size_t>(task.task), step);
    const std::uint64_t key = task_key(seed_, task.info.name);
    for (std::int64_t i = task.part; i < count; i += task.parts) {
      const std::uint64_t position = first + static_cast<std::uint64_t>(i);
      append(loaded.batch, task.task, task.info, tokenizer_, *task.reader,
             sample_at(key, position, task.reader->size()), derive(key, position), task.masking);
      loaded.ids += hash_id(task.info.name, position);
    }
  }
  return loaded;
}

}  // namespace polyhead
