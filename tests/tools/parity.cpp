// parity CASE TYPE OUT: builds the model that CASE.json describes, takes its parameters from
// CASE.parameters.safetensors, makes one packed pass over the batch in float32 or float64 and writes states, weights
// over tasks, losses and the gradients of all parameters to OUT, in float64: what tests/parity/reference.py expects.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>
#include <numeric>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "core/base/safetensors.h"
#include "core/model/task_attention.h"
#include "distributed/description/description.h"

namespace {

using namespace polyhead;
using nlohmann::json;

Batch read_batch(const json& in) {
  Batch batch;
  in.at("tokens").get_to(batch.tokens);
  in.at("offsets").get_to(batch.offsets);
  in.at("second").get_to(batch.second);
  batch.keys.assign(batch.offsets.size() - 1, 0);
  for (const json& from : in.at("slices")) {
    TaskSlice slice;
    const auto take = [&](const char* name, auto& value) {
      if (from.contains(name)) from.at(name).get_to(value);
    };
    take("task", slice.task);
    take("first_sequence", slice.first_sequence);
    take("sequences", slice.sequences);
    take("first_token", slice.first_token);
    take("features", slice.features);
    take("feature_width", slice.feature_width);
    take("labels", slice.labels);
    take("values", slice.values);
    take("tags", slice.tags);
    take("masked_rows", slice.masked_rows);
    take("masked_tokens", slice.masked_tokens);
    take("target_tokens", slice.target_tokens);
    take("target_offsets", slice.target_offsets);
    take("context_begin", slice.context_begin);
    take("span_begin", slice.span_begin);
    take("span_end", slice.span_end);
    take("count", slice.count);
    batch.slices.push_back(std::move(slice));
  }
  return batch;
}

using Owners = std::map<std::string, const Arena*>;

Owners owners_of(const Model& model) {
  Owners owners = {{"encoder", &model.encoder().arena()}};
  for (const auto& [task, head] : model.heads()) owners["head." + head->spec().task] = &head->arena();
  return owners;
}

std::unique_ptr<Model> read_model(const ModelDescription& description, const std::string& dtype,
                                  const std::string& file) {
  std::vector<std::size_t> tasks(description.tasks.size());
  std::iota(tasks.begin(), tasks.end(), std::size_t{0});
  auto model = build_model(description, tasks);
  model->finish(1, scalar_type(dtype));
  const SafetensorsFile stored(file);
  std::size_t taken = 0;
  for (const auto& [owner, arena] : owners_of(*model))
    for (const Parameter& parameter : arena->parameters()) {
      const StoredTensor& tensor = stored.tensors().at(owner + "/" + parameter.name);
      if (tensor.shape != parameter.shape || tensor.dtype != "F64") throw std::runtime_error(owner + parameter.name);
      torch::Tensor values = torch::empty(parameter.shape, torch::kFloat64);
      std::memcpy(values.data_ptr(), tensor.data.data(), tensor.data.size());
      const torch::NoGradGuard guard;
      parameter.tensor.copy_(values);
      ++taken;
    }
  if (taken != stored.tensors().size()) throw std::runtime_error("the reference has more parameters than the model");
  return model;
}

void run(const std::string& name, const std::string& dtype, const std::string& out) {
  const json from = json::parse(std::ifstream(name + ".json"));
  const ModelDescription description = description_from_json(from.at("model").dump(), name);
  const auto model = read_model(description, dtype, name + ".parameters.safetensors");
  const json distillation = from.value("distillation", json());
  std::unique_ptr<Model> teacher;
  if (!distillation.is_null()) teacher = read_model(description, dtype, name + ".teacher.safetensors");

  const Batch batch = read_batch(from.at("batch"));
  const auto inputs = model->forward(batch, false);
  const auto shown = teacher ? teacher->forward(batch, false) : std::vector<HeadInput>();
  std::deque<torch::Tensor> hosts;
  std::map<std::string, StoredTensor> found;
  const auto keep = [&](const std::string& key, const torch::Tensor& tensor) {
    const torch::Tensor& host = hosts.emplace_back(tensor.detach().to(torch::kFloat64).contiguous());
    found[key] = {"F64", host.sizes().vec(), {static_cast<const std::byte*>(host.data_ptr()), host.nbytes()}};
  };
  torch::Tensor total;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const TaskSlice& slice = batch.slices[i];
    const std::string& task = description.tasks[i].name;
    const Head& head = model->head(slice.task);
    const torch::Tensor loss = teacher
                                   ? head.distilled_loss(inputs[i], slice,
                                                         {teacher->head(slice.task).outputs(shown[i], slice).detach(),
                                                          distillation.at("share"), distillation.at("temperature")})
                                   : head.loss(inputs[i], slice);
    torch::Tensor share = loss / static_cast<double>(slice.count);
    if (description.attention.entropy_bonus > 0)  // as the trainer has it
      share = share - description.attention.entropy_bonus *
                          task_entropy(inputs[i].task_weights, model->encoder().first_slot()).mean();
    share = share * from.at("loss_weights").at(i).get<double>();
    total = total.defined() ? total + share : share;
    keep("loss/" + task, loss.view({1}));
    keep("states/" + task, inputs[i].states);
    keep("weights/" + task, inputs[i].task_weights);
  }
  total.backward();
  for (const auto& [owner, arena] : owners_of(*model))
    for (const Parameter& parameter : arena->parameters())
      keep("gradient/" + owner + "/" + parameter.name, parameter.tensor.grad());
  write_safetensors(out, found, {});
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 4) throw std::runtime_error("usage: parity CASE float32|float64 OUT");
    run(argv[1], argv[2], argv[3]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "parity: %s\n", error.what());
    return 1;
  }
  return 0;
}
