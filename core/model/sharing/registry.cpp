// The registry of sharing methods, one line each, and what methods do by default.
#include <array>
#include <stdexcept>
#include <utility>

#include "core/model/block_extension.h"

namespace polyhead {
namespace {

constexpr std::array<std::pair<Sharing, std::unique_ptr<BlockExtension> (*)(const EncoderOptions&)>, 6> kMethods = {{
    {Sharing::adapters, make_adapters},
    {Sharing::mtan, make_mtan},
    {Sharing::mmoe, make_mmoe},
    {Sharing::ple, make_ple},
    {Sharing::lora, make_lora},
    {Sharing::task_lora, make_lora},
}};

}  // namespace

bool BlockExtension::add_shared_parts(Arena& /*encoder*/, std::int64_t /*block*/, std::int64_t /*tasks*/,
                                      const BlockForm& /*form*/) {
  return false;
}

void BlockExtension::feed_forward(BlockState& /*state*/, const SelfAttention& /*attention*/,
                                  const BlockContext& /*context*/) const {
  throw std::logic_error("this method of sharing does not replace the feed-forward branch");
}

torch::Tensor BlockExtension::linear(BlockLinear /*layer*/, const torch::Tensor& /*input*/, const torch::Tensor& value,
                                     const BlockContext& /*context*/) const {
  return value;
}

bool BlockExtension::merge(std::map<std::string, torch::Tensor>& /*tensors*/, const TaskParts* /*parts*/) const {
  return false;
}

void BlockExtension::after_block(BlockState& /*state*/, const BlockContext& /*context*/) const {}

std::vector<std::int64_t> row_counts(const std::vector<TaskRows>& tasks) {
  std::vector<std::int64_t> rows;
  for (const TaskRows& task : tasks) rows.push_back(task.rows);
  return rows;
}

std::unique_ptr<BlockExtension> make_extension(const EncoderOptions& options) {
  check(options);
  for (const auto& [share, make] : kMethods)
    if (share == options.share) return make(options);
  return nullptr;
}

SharingCost sharing_cost(const EncoderOptions& options) {
  const auto extension = make_extension(options);
  return extension ? extension->cost() : SharingCost{};
}

}  // namespace polyhead
