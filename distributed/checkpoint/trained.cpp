// Loads a run for the commands that read one.
#include "distributed/checkpoint/trained.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/names.h"
#include "core/model/device.h"
#include "distributed/checkpoint/load.h"
#include "distributed/checkpoint/store.h"

namespace polyhead {

TrainedModel load_trained(const std::filesystem::path& run_dir, const Weights& weights,
                          const std::vector<std::string>& tasks, const std::string& device, int threads,
                          int local_rank) {
  at::set_num_threads(threads);
  at::globalContext().setFlushDenormal(true);
  TrainedModel trained;
  if (!std::filesystem::is_directory(run_dir))
    throw Error(Exit::config,
                fmt::format("{}: there is no such folder; give the --run-dir of a run", run_dir.string()));
  const auto found = choose_checkpoint(run_dir, weights.checkpoint, trained.warnings);
  if (!found)
    throw Error(Exit::config,
                fmt::format("{}: it holds no checkpoint; give the --run-dir of a run that polyhead train has saved",
                            run_dir.string()));
  trained.description = found->state.model;
  trained.step = found->state.step;
  std::vector<std::size_t> indices;
  std::vector<std::string> known;
  for (const TrainedTask& task : trained.description.tasks) known.push_back(task.name);
  for (const std::string& name : join_known_names(tasks, known)) indices.push_back(trained.description.task(name));
  if (tasks.empty())
    for (std::size_t i = 0; i < trained.description.tasks.size(); ++i) indices.push_back(i);
  try {
    trained.model = build_model(trained.description, indices);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", run_dir.string(), error.what()));
  }
  const auto options =
      torch::TensorOptions().dtype(scalar_type(trained.description.dtype)).device(choose_device(device, local_rank));
  trained.model->finish(0, options);
  if (weights.average)
    load_average(*found->files, *trained.model);
  else
    load_checkpoint(*found->files, *trained.model, nullptr);
  trained.tokenizer = load_tokenizer(run_dir, trained.description.tokenizer);
  return trained;
}

}  // namespace polyhead
