// See task_groups.h. All workers split the world in the same order.
#include "distributed/worker/task_groups.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/at.h"
#include "core/base/error.h"
#include "distributed/description/statistics.h"
#include "distributed/planning/workload.h"

namespace polyhead {

bool TaskGroups::leads(std::size_t task) const {
  return std::ranges::find(led, task) != led.end();
}

TaskGroups make_task_groups(const TrainOptions& options, const Manifest& manifest,
                            const std::vector<MixtureEntry>& mixture, Communicator& world) {
  TaskGroups tasks;
  tasks.placement = placement_of(options, work_of(options, manifest, mixture), world.size());
  for (std::size_t i = 0; i < options.tasks.size(); ++i) {
    const std::vector<int>& group = tasks.placement.groups[i];
    const bool member = std::ranges::find(group, world.rank()) != group.end();
    tasks.groups.push_back(world.split("group." + options.tasks[i], member ? 0 : -1));
    if (!member) continue;
    tasks.held.push_back(i);
    if (group.front() == world.rank()) tasks.led.push_back(i);
  }
  return tasks;
}

TaskReaders open_readers(const TrainOptions& options, const Manifest& manifest, const ModelDescription& description,
                         const TaskGroups& tasks, int rank) {
  // All data is checked before the first step, so that a run does not fail at a damaged file after hours.
  ReadOptions whole = options.read;
  if (whole.verify == Verify::blocks) whole.verify = Verify::open;
  TaskReaders readers;
  for (const std::size_t task : tasks.held) {
    const TrainedTask& trained = description.tasks.at(task);
    const TaskInfo& info = manifest.task(trained.name);
    const std::vector<int>& group = tasks.placement.groups.at(task);
    const std::size_t parts = group.size(), member = index_of(group, std::ranges::find(group, rank));
    // The members' parts are rotated by the task's index, so that the first members do not get all small quotas.
    readers.train.push_back({task, info,
                             std::make_shared<SplitReader>(options.data, manifest, info, "train", options.read),
                             trained.masking, (member + task) % parts, parts});
    if (const auto valid = info.splits.find("valid"); valid != info.splits.end() && valid->second.samples > 0)
      readers.valid[task] = std::make_unique<SplitReader>(options.data, manifest, info, "valid", whole);
  }
  return readers;
}

bool check_weights(const Manifest& manifest, const std::vector<std::string>& tasks, const Model& model) {
  bool any = false;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (!manifest.task(tasks[i]).weights) continue;
    any = true;
    const auto head = model.heads().find(i);
    if (head != model.heads().end() && !head->second->uses_weights())
      throw Error(Exit::config,
                  fmt::format("task.{}.head = {}: the head does not use the weights of samples, which the data set has "
                              "for this task; choose another head, or import the task with 'weights = no'",
                              tasks[i], head->second->spec().options.head));
  }
  return any;
}

void share_statistics(ModelDescription& description, const TaskReaders& readers, const TaskGroups& tasks,
                      Communicator& world) {
  nlohmann::json mine = nlohmann::json::object();
  for (const LoaderTask& held : readers.train)
    if (tasks.leads(held.task))
      mine[std::to_string(held.task)] = to_json(train_statistics(description.tasks.at(held.task), *held.reader));
  for (const std::string& text : world.all_gather_strings("statistics", mine.dump())) {
    const auto theirs = nlohmann::json::parse(text);
    for (const auto& task : theirs.items())
      description.tasks.at(std::stoul(task.key())).statistics = statistics_from_json(task.value().get<std::string>());
  }
  for (const auto& [task, reader] : readers.valid) check_input(description.tasks.at(task), "valid", *reader);
}

}  // namespace polyhead
