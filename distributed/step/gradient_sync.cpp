// See gradient_sync.h. The hooks are on the nodes of autograd that accumulate the gradients of parameters.
#include "distributed/step/gradient_sync.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#pragma GCC diagnostic pop

#include "core/base/error.h"
#include "distributed/step/tensor_type.h"

namespace polyhead {

using torch::autograd::variable_list;

std::vector<GradientBucket> cut_buckets(const Arena& arena, std::size_t bytes) {
  const auto& parameters = arena.parameters();
  const auto width = arena.gradients().element_size();
  // Each parameter's part ends where the next one in the arena begins.
  std::vector<IndexRange> part_of(parameters.size());
  std::vector<std::size_t> by_place(parameters.size());
  for (std::size_t i = 0; i < by_place.size(); ++i) by_place[i] = i;
  std::ranges::sort(by_place, {}, [&](std::size_t i) { return parameters[i].offset; });
  std::int64_t end = arena.gradients().numel();
  for (auto i = by_place.rbegin(); i != by_place.rend(); ++i)
    part_of[*i] = {parameters[*i].offset, std::exchange(end, parameters[*i].offset)};
  const auto bytes_of = [&](std::size_t i) { return static_cast<std::size_t>(part_of[i].size() * width); };

  // The first parameter, the token table, is completed by the last operation of backward, and the next ones just before
  // it. The last bucket has these too, up to a tenth of a bucket.
  std::size_t tail = std::min<std::size_t>(1, parameters.size());
  for (std::size_t beside = 0; tail < parameters.size(); ++tail)
    if ((beside += bytes_of(tail)) > bytes / 10) break;

  std::vector<GradientBucket> buckets;
  std::size_t filled = 0;
  for (std::size_t i = parameters.size(); i-- > 0;) {
    if (buckets.empty() || i + 1 == tail || (i >= tail && filled + bytes_of(i) > bytes)) {
      buckets.emplace_back();
      filled = 0;
    }
    buckets.back().parameters.push_back(i);
    filled += bytes_of(i);
  }
  for (GradientBucket& bucket : buckets) {
    std::vector<IndexRange> parts;
    for (const std::size_t i : bucket.parameters) parts.push_back(part_of[i]);
    std::ranges::sort(parts, {}, &IndexRange::begin);
    for (const auto& part : parts) {
      if (!bucket.parts.empty() && bucket.parts.back().end == part.begin)
        bucket.parts.back().end = part.end;
      else
        bucket.parts.push_back(part);
    }
  }
  return buckets;
}

bool overlaps(torch::Device device) {
  return device.is_cuda();
}

struct GradientSync::Hook {
  Hook(const torch::Tensor& parameter, std::function<void()> call)
      : accumulator(torch::autograd::impl::grad_accumulator(parameter)),
        key(accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
            [call = std::move(call)](const variable_list& outputs, const variable_list&) {
              call();
              return outputs;
            }))) {}
  ~Hook() { accumulator->del_post_hook(key); }
  Hook(const Hook&) = delete;
  Hook& operator=(const Hook&) = delete;

  const std::shared_ptr<torch::autograd::Node> accumulator;
  const std::uintptr_t key;
};

GradientSync::GradientSync(Communicator& group, std::string name, Arena& arena, const GradientSyncOptions& options)
    : group_(group), arena_(arena), buckets_(cut_buckets(arena, options.bucket_bytes)) {
  bucket_of_.resize(arena.parameters().size());
  auto* const memory = static_cast<std::byte*>(arena.gradients().data_ptr());
  const auto width = arena.gradients().element_size();
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    names_.push_back(fmt::format("{} {}/{}", name, i + 1, buckets_.size()));
    ranges_.emplace_back();
    for (const auto& part : buckets_[i].parts)
      ranges_.back().push_back({memory + part.begin * width, static_cast<std::size_t>(part.size())});
    for (const std::size_t parameter : buckets_[i].parameters) bucket_of_[parameter] = i;
  }
  if (!options.during_backward) return;
  arena.on_complete([this](std::size_t parameter) { complete(parameter); });
  for (std::size_t i = 0; i < bucket_of_.size(); ++i)
    if (arena.parameters()[i].trainable)
      hooks_.push_back(std::make_unique<Hook>(arena.parameters()[i].tensor, [&arena, i] { arena.announce(i); }));
}

GradientSync::~GradientSync() {
  if (!hooks_.empty()) arena_.on_complete({});
}

void GradientSync::start() {
  started_ = true;
  complete_.assign(bucket_of_.size(), false);
  waiting_.clear();
  for (const GradientBucket& bucket : buckets_)
    waiting_.push_back(
        std::ranges::count_if(bucket.parameters, [&](std::size_t i) { return arena_.parameters()[i].trainable; }));
}

// Called by the thread that runs backward, but never at the same time as start() or finish().
void GradientSync::complete(std::size_t parameter) {
  if (!started_) return;
  if (complete_[parameter])
    throw Error(
        Exit::internal,
        fmt::format("the gradient of {} was accumulated in several parts in one backward, and may have been summed "
                    "over the workers before it was complete; code that calls backward() inside of backward must leave "
                    "gradients of shared parameters to the outer one, as checkpointed() does",
                    arena_.parameters()[parameter].name));
  complete_[parameter] = true;
  --waiting_[bucket_of_[parameter]];
  while (launched_ < buckets_.size() && waiting_[launched_] == 0) launch(launched_++);
}

void GradientSync::finish() {
  started_ = false;
  while (launched_ < buckets_.size()) launch(launched_++);
  launched_ = 0;
}

void GradientSync::launch(std::size_t bucket) {
  const torch::Tensor gradients = arena_.gradients();
  if (!alone(group_, gradients)) group_.all_reduce(names_[bucket], ranges_[bucket], type_of(gradients), Reduce::sum);
}

}  // namespace polyhead
