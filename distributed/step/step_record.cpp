// Each all-reduce packs its fields into one buffer. The lists of fields also give the number of bytes.
#include "distributed/step/step_record.h"

#include <algorithm>
#include <span>

#include "core/base/grid.h"

namespace polyhead {
namespace {

template <class T>
using Fields = std::vector<std::span<T>>;

template <class T>
std::size_t bytes_of(const Fields<T>& fields) {
  std::size_t elements = 0;
  for (const std::span<T> field : fields) elements += field.size();
  return elements * sizeof(T);
}

// Sums all fields over the workers in one call.
template <class T>
void reduce(Communicator& world, const char* name, const Fields<T>& fields) {
  std::vector<T> flat;
  for (const std::span<T> field : fields) flat.insert(flat.end(), field.begin(), field.end());
  world.all_reduce(name, flat);
  auto from = flat.cbegin();
  for (const std::span<T> field : fields) {
    std::copy_n(from, field.size(), field.begin());
    from += std::ssize(field);
  }
}

struct Counts {
  std::int64_t ids;  // as a signed integer, whose sum wraps to the same bits

  Fields<std::int64_t> fields(StepRecord& step) {
    return {step.targets, std::span(&step.tokens, 1), std::span(&ids, 1), step.words};
  }
};

struct Outcome {
  double not_finite, interrupted, save;  // number of workers for which it is true

  Fields<double> fields(StepRecord& step) {
    Fields<double> fields = {step.loss,           std::span(&not_finite, 1),  std::span(&interrupted, 1),
                             std::span(&save, 1), std::span(&step.waited, 1), step.plain_loss};
    if (step.square) fields.emplace_back(&*step.square, 1);
    return fields;
  }
};

}  // namespace

StepRecord::StepRecord(std::size_t tasks, bool with_plain_loss, bool with_weights)
    : samples(tasks, 0),
      targets(tasks, 0),
      weighted(with_weights ? tasks : 0, 0),
      words(tasks, 0),
      loss(tasks, 0),
      plain_loss(with_plain_loss ? tasks : 0, 0) {}

void StepRecord::count(const Batch& batch) {
  for (const TaskSlice& slice : batch.slices) {
    const auto first = static_cast<std::size_t>(slice.first_sequence);
    targets[slice.task] += slice.count;
    // On the grid, so that with run.reproducible = world the order of the terms does not change the sum.
    if (!weighted.empty())
      weighted[slice.task] += slice.weights.empty() ? static_cast<double>(slice.count) : on_grid(slice.weighted_count);
    words[slice.task] += batch.offsets[first + static_cast<std::size_t>(slice.sequences)] - batch.offsets[first];
  }
  tokens += batch.token_count();
}

void StepRecord::reduce_counts(Communicator& world) {
  Counts counts{static_cast<std::int64_t>(ids)};
  reduce(world, "counts", counts.fields(*this));
  ids = static_cast<std::uint64_t>(counts.ids);
  if (!weighted.empty()) world.all_reduce("weighted counts", weighted);
}

void StepRecord::reduce_outcome(Communicator& world) {
  Outcome outcome{finite ? 0.0 : 1.0, interrupted ? 1.0 : 0.0, save ? 1.0 : 0.0};
  reduce(world, "losses", outcome.fields(*this));
  finite = outcome.not_finite == 0;
  interrupted = outcome.interrupted > 0;
  save = outcome.save > 0;
}

std::size_t StepRecord::count_bytes(std::size_t tasks) {
  StepRecord step(tasks, false);
  return bytes_of(Counts{}.fields(step));
}

std::size_t StepRecord::outcome_bytes(std::size_t tasks) {
  StepRecord step(tasks, false);
  return bytes_of(Outcome{}.fields(step));
}

}  // namespace polyhead
