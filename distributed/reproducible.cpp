// The handshake, and sums of integers over the world and the task groups.
#include "distributed/reproducible.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "core/base/error.h"

namespace polyhead {
namespace {

constexpr const char* kCure =
    "run.reproducible = world promises the same bits only where these are the same; start all workers with one "
    "program, run.threads and kind of processor, or train with run.reproducible = run";

std::string differences(const Fingerprint& here, const Fingerprint& there) {
  std::vector<std::string> lines;
  for (const auto& [name, value] : here)
    if (const auto other = there.find(name); other == there.end() || other->second != value)
      lines.push_back(
          fmt::format("{}: {} there, {} here", name, other == there.end() ? "nothing" : other->second, value));
  return fmt::format("{}", fmt::join(lines, "; "));
}

}  // namespace

void check_fingerprint(const Fingerprint& mine, const Fingerprint& before, const std::string& folder) {
  if (!before.empty() && before != mine)
    throw Error(Exit::config,
                fmt::format("{} was written elsewhere ({}). {}", folder, differences(mine, before), kCure));
}

std::string threads_by_worker(const std::vector<int>& threads) {
  if (threads.size() == 1) return std::to_string(threads.front());
  std::string text;
  for (std::size_t first = 0; first < threads.size();) {
    std::size_t end = first;
    while (end < threads.size() && threads[end] == threads[first]) ++end;
    text +=
        fmt::format("{}{} on {}", text.empty() ? "" : ", ", threads[first],
                    end == first + 1 ? fmt::format("worker {}", first) : fmt::format("workers {}-{}", first, end - 1));
    first = end;
  }
  return text;
}

ExactGradients::ExactGradients(Model& model, Communicator& world)
    : model_(model),
      memory_(
          world.allocate("encoder.gradients",
                         static_cast<std::size_t>(model.encoder().arena().gradients().numel()) * sizeof(std::int64_t))),
      encoder_(model.encoder().arena().gradients().numel(), static_cast<std::int64_t*>(memory_->data())) {
  for (const auto& [task, head] : model.heads()) heads_.try_emplace(task, head->arena().gradients().numel());
}

void ExactGradients::begin(const std::vector<std::int64_t>& micro_batches) {
  micro_batches_ = micro_batches;
  encoder_.begin(std::accumulate(micro_batches.begin(), micro_batches.end(), std::int64_t{0}));
  for (auto& [task, sum] : heads_) sum.begin(micro_batches[static_cast<std::size_t>(task)]);
}

bool ExactGradients::take(int task) {
  const bool shared = encoder_.take(model_.encoder().arena().gradients());
  return heads_.at(task).take(model_.head(task).arena().gradients()) && shared;
}

void ExactGradients::give(Communicator& world, const std::vector<std::unique_ptr<Communicator>>& groups,
                          const std::vector<std::string>& names) {
  const auto add_up = [](Communicator& group, const std::string& name, ExactSum& sum, const torch::Tensor& gradient) {
    group.all_reduce(name, sum.data(), static_cast<std::size_t>(sum.size()), DType::i64, Reduce::sum);
    sum.give(gradient);
  };
  add_up(world, "encoder.gradients", encoder_, model_.encoder().arena().gradients());
  for (auto& [task, sum] : heads_) {
    const auto i = static_cast<std::size_t>(task);
    if (micro_batches_[i] > 0) add_up(*groups[i], "head." + names[i], sum, model_.head(task).arena().gradients());
  }
}

}  // namespace polyhead
