// Finds, checks, loads and runs the teachers.
#include "distributed/worker/teacher.h"

#include <algorithm>
#include <set>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/at.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/text.h"
#include "distributed/checkpoint/load.h"
#include "distributed/checkpoint/store.h"
#include "distributed/checkpoint/trained.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

// Returns the teacher's task: the one that the options name, otherwise the one with the same name, otherwise the only
// one of the same kind.
const TrainedTask& find_task(const ModelDescription& model, const TeacherOptions& teacher, const TaskInfo& task,
                             const std::string& who) {
  const std::string& name = teacher.task.empty() ? task.name : teacher.task;
  std::vector<std::string> all;
  std::vector<const TrainedTask*> same_kind;
  for (const TrainedTask& trained : model.tasks) {
    if (trained.name == name) {
      if (trained.kind == task.kind) return trained;
      throw Error(
          Exit::config,
          fmt::format(
              "{} has task {} of kind {}, but this one is of kind {}; name another one with task.{}.teacher_task", who,
              name, name_of(trained.kind), name_of(task.kind), task.name));
    }
    if (trained.kind == task.kind) same_kind.push_back(&trained);
    all.push_back(fmt::format("{} ({})", trained.name, name_of(trained.kind)));
  }
  if (teacher.task.empty() && same_kind.size() == 1) return *same_kind.front();
  throw Error(
      Exit::config,
      fmt::format("{} was not trained with a task {}; name one of kind {} with task.{}.teacher_task; its tasks are {}",
                  who, name, name_of(task.kind), task.name, fmt::join(all, ", ")));
}

void check_same(const char* what, const std::vector<std::string>& there, const std::vector<std::string>& here,
                const std::string& who) {
  if (there == here) return;
  const std::size_t at = index_of(there, std::mismatch(there.begin(), there.end(), here.begin(), here.end()).first);
  const auto shown = [&](const std::vector<std::string>& names) {
    return at < names.size() ? fmt::format("'{}'", names[at]) : "none";
  };
  throw Error(Exit::config, fmt::format("{} was trained with other {}: number {} is {} there and {} here ({} there, {} "
                                        "here); they must be the same, in the same order",
                                        who, what, at + 1, shown(there), shown(here), there.size(), here.size()));
}

}  // namespace

void resolve_teacher(TeacherOptions& teacher, const TaskInfo& task, const Manifest& manifest, const fs::path& run_dir) {
  const std::string who = fmt::format("task {}: its teacher {}", task.name, teacher.run_dir.string());
  std::error_code code;
  if (fs::weakly_canonical(teacher.run_dir, code) == fs::weakly_canonical(run_dir, code))
    throw Error(Exit::config, fmt::format("{} is the run's own folder; give task.{}.teacher the folder of another run",
                                          who, task.name));
  const auto named = [&](const auto& call) {
    try {
      return call();
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: {}", who, error.what()));
    }
  };
  const auto found =
      named([&] { return choose_checkpoint(teacher.run_dir, teacher.weights.checkpoint, teacher.warnings); });
  if (!found)
    throw Error(Exit::config,
                fmt::format("{} holds no checkpoint; give task.{}.teacher the folder of a run that polyhead train has "
                            "saved",
                            who, task.name));
  const ModelDescription& model = found->state.model;
  const TrainedTask& trained = find_task(model, teacher, task, who);
  check_same("labels", trained.labels, task.labels, who);
  check_same("outputs", trained.outputs, task.outputs, who);
  if (!same_tokenizer(model.tokenizer, manifest.tokenizer))
    throw Error(Exit::config, fmt::format("{} was trained with another tokenizer than the data set's, so that tokens "
                                          "mean other words; import the data with dataset.vocab = {}",
                                          who, (teacher.run_dir / model.tokenizer.file).string()));
  named([&] {
    check_length(model.encoder, manifest.max_length,
                 fmt::format("the data set {} was imported with max_length = {}", manifest.name, manifest.max_length),
                 fmt::format("choose a teacher with more positions, or import with dataset.max_length = {} or less",
                             model.encoder.positions));
  });
  teacher.task = trained.name;
  teacher.weights.checkpoint = std::to_string(found->state.step);
  teacher.hash = to_hex(named([&] { return weights_hash(found->state, trained.name, teacher.weights.average); }));
}

void agree_on_teachers(const std::map<std::string, TeacherOptions>& teachers, Communicator& world) {
  std::string mine;
  for (const auto& [task, teacher] : teachers) mine += teacher.hash + "\n";
  const std::vector<std::string> all = world.all_gather_strings("teachers", mine);
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    const auto differs = std::mismatch(all[0].begin(), all[0].end(), all[rank].begin(), all[rank].end()).first;
    const auto& [task, teacher] = *std::next(teachers.begin(), std::count(all[0].begin(), differs, '\n'));
    throw Error(Exit::config,
                fmt::format("task {}: its teacher {} has other weights on worker {} than on worker 0; if it is still "
                            "training, set task.{}.teacher_checkpoint to a checkpoint that it keeps",
                            task, teacher.run_dir.string(), rank, task));
  }
}

Teachers::Teachers(const std::map<std::size_t, TeacherOptions>& of, const ModelDescription& student,
                   const std::string& device, int local_rank, int threads) {
  std::map<std::tuple<std::string, std::string, bool>, std::vector<std::size_t>> runs;
  for (const auto& [task, teacher] : of)
    runs[{teacher.run_dir.string(), teacher.weights.checkpoint, teacher.weights.average}].push_back(task);
  for (const auto& [run, tasks] : runs) {
    std::set<std::string> names;
    for (const std::size_t task : tasks) names.insert(of.at(task).task);
    TrainedModel trained = load_trained(std::get<0>(run), of.at(tasks.front()).weights, {names.begin(), names.end()},
                                        device, threads, local_rank);
    Teacher teacher{std::move(trained.model), {}};
    for (const std::size_t task : tasks) {
      const TeacherOptions& options = of.at(task);
      const std::size_t index = trained.description.task(options.task);
      const TrainedTask &here = student.tasks.at(task), &there = trained.description.tasks.at(index);
      if (here.statistics.feature_width != there.statistics.feature_width)
        throw Error(
            Exit::config,
            fmt::format(
                "task {}: its teacher {} reads {}, but the data set has {}; choose a teacher with the same input",
                here.name, options.run_dir.string(), describe_input(there.statistics.feature_width),
                describe_input(here.statistics.feature_width)));
      teacher.pupils[task] = {index, options.share, options.temperature};
    }
    teachers_.push_back(std::move(teacher));
  }
}

std::map<std::size_t, Lesson> Teachers::read(const Batch& batch) const {
  const torch::NoGradGuard guard;
  std::map<std::size_t, Lesson> lessons;
  for (const Teacher& teacher : teachers_) {
    std::vector<std::size_t> slices;
    for (std::size_t i = 0; i < batch.slices.size(); ++i)
      if (teacher.pupils.contains(batch.slices[i].task)) slices.push_back(i);
    if (slices.empty()) continue;
    Batch part = slices_of(batch, slices);
    std::vector<Pupil> pupils;
    for (TaskSlice& slice : part.slices) {
      pupils.push_back(teacher.pupils.at(slice.task));
      slice.task = pupils.back().task;
    }
    std::vector<HeadInput> inputs = teacher.model->forward(part, false);
    for (std::size_t i = 0; i < slices.size(); ++i)
      lessons.emplace(slices[i], Lesson{&teacher.model->head(pupils[i].task), std::move(inputs[i]),
                                        std::move(part.slices[i]), pupils[i].share, pupils[i].temperature});
  }
  return lessons;
}

Teachers make_teachers(const TrainOptions& options, const ModelDescription& student,
                       const std::vector<std::size_t>& held, Communicator& world,
                       const std::function<void(const std::string&)>& warn) {
  std::map<std::string, TeacherOptions> all;
  std::map<std::size_t, TeacherOptions> mine;
  for (std::size_t i = 0; i < options.tasks.size(); ++i) {
    const std::string& name = options.tasks[i];
    const TeacherOptions& teacher = options.task_options.at(name).teacher;
    if (teacher.run_dir.empty()) continue;
    all[name] = teacher;
    if (std::ranges::count(held, i) > 0) mine[i] = teacher;
    if (world.rank() == 0)
      for (const std::string& text : teacher.warnings)
        warn(fmt::format("task {}: a checkpoint of its teacher is skipped: {}", name, text));
  }
  agree_on_teachers(all, world);
  return {mine, student, options.device, options.local_rank, options.threads};
}

}  // namespace polyhead
