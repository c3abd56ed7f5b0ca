// Converts the options of a training run to the structs of the lower layers.
#include "launch/run_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "core/balancing/balancer.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/host.h"
#include "core/base/names.h"
#include "core/base/nearest.h"
#include "core/base/numbers.h"
#include "core/exchange/hugging_face.h"
#include "core/heads/registry.h"
#include "core/kinds/registry.h"
#include "datasets/tokenizer/pretrained.h"
#include "distributed/evaluation/early_stopping.h"
#include "distributed/planning/workload.h"
#include "distributed/worker/initial_weights.h"
#include "distributed/worker/teacher.h"
#include "launch/launcher.h"
#include "launch/mixture_options.h"

namespace polyhead {
namespace {

constexpr double kForEver = 1e9;  // seconds

std::vector<std::string> names_of(const Manifest& manifest) {
  std::vector<std::string> names;
  for (const TaskInfo& task : manifest.tasks) names.push_back(task.name);
  return names;
}

[[noreturn]] void fail(const std::string& what) {
  throw Error(Exit::config, what);
}

void check_task(const std::string& name, const std::string& where, const Manifest& manifest) {
  const std::vector<std::string> names = names_of(manifest);
  if (std::ranges::count(names, name) == 0)
    fail(fmt::format("{}: the data set {} has no task '{}'{}; its tasks are {}", where, manifest.name, name,
                     did_you_mean(name, names), fmt::join(names, ", ")));
}

// Costs must be given for all tasks or for none, because measured and estimated costs cannot be compared.
void check_costs(const Config& config, const std::vector<std::string>& tasks) {
  std::string given, missing;
  for (const std::string& task : tasks) {
    const std::string key = fmt::format("task.{}.cost", task);
    std::string& first = config.has(key) ? given : missing;
    if (first.empty()) first = key;
  }
  if (!given.empty() && !missing.empty())
    fail(fmt::format("{}: {} is not given; costs are given for all tasks of the run or for none", config.quote(given),
                     missing));
}

TaskOptions task_options(Config& config, const TaskInfo& info) {
  const std::string section = "task." + info.name;
  const auto key = [&](std::string_view name) { return fmt::format("{}.{}", section, name); };
  if (!config.has(key("dropout"))) config.resolve(key("dropout"), config.text("encoder.dropout"), "encoder.dropout");
  if (!config.has(key("label_smoothing")))
    config.resolve(key("label_smoothing"), fmt::format("{}", task_kind(info.kind).traits().label_smoothing), "default");
  TaskOptions task;
  read_into(task, config, section);
  read_into(task.masking, config, section);
  read_into(task.head, config, section);
  if (task.masking.mask + task.masking.random > 1)
    fail(fmt::format("{} and {}: the two shares together must be at most 1", config.quote(key("mask_token")),
                     config.quote(key("mask_random"))));
  if (config.has(key("head")))
    if (const auto heads = heads_of(info.kind); std::ranges::count(heads, task.head.head) == 0)
      fail(fmt::format("{}: this program has no such head for {}{}; it has {}", config.quote(key("head")),
                       name_of(info.kind), did_you_mean(task.head.head, heads), fmt::join(heads, ", ")));
  return task;
}

TeacherOptions teacher_options(Config& config, const TaskInfo& info, const Manifest& manifest,
                               const std::filesystem::path& run_dir) {
  const auto key = [&](std::string_view name) { return fmt::format("task.{}.{}", info.name, name); };
  TeacherOptions teacher;
  if (!config.has(key("teacher"))) {
    for (const char* name :
         {"teacher_checkpoint", "teacher_weights", "teacher_task", "teacher_hash", "distill", "distill_temperature"})
      if (config.has(key(name)))
        fail(fmt::format("{}: the task has no teacher; give {} the folder of a run, or leave this out",
                         config.quote(key(name)), key("teacher")));
    return teacher;
  }
  const auto fill_in = [&](std::string_view name, const std::string& value) {
    if (!config.has(key(name))) config.resolve(key(name), value, "default");
  };
  fill_in("teacher_checkpoint", teacher.weights.checkpoint);
  fill_in("teacher_weights", "last");
  fill_in("distill", fmt::format("{}", teacher.share));
  fill_in("distill_temperature", fmt::format("{}", teacher.temperature));
  read_into(teacher, config, "task." + info.name);
  resolve_teacher(teacher, info, manifest, run_dir);
  if (config.has(key("teacher_hash")) && config.text(key("teacher_hash")) != teacher.hash)
    fail(fmt::format(
        "{}: the weights of the teacher {} after step {} have another hash, {}, so this is another teacher; "
        "give the one that the run was started with, or start a new run without {}",
        config.quote(key("teacher_hash")), teacher.run_dir.string(), teacher.weights.checkpoint, teacher.hash,
        key("teacher_hash")));
  for (const auto& [name, value] : {std::pair("teacher_checkpoint", teacher.weights.checkpoint),
                                    std::pair("teacher_task", teacher.task), std::pair("teacher_hash", teacher.hash)})
    config.resolve(key(name), value, "teacher");
  return teacher;
}

// Reads the options of validation that tasks have, and checks all of them.
void complete_validation(ValidationOptions& validation, Config& config, const std::vector<std::string>& tasks,
                         const Manifest& manifest) {
  std::map<std::string, ValidatedTask> with_valid;
  for (const std::string& name : tasks) {
    const std::string patience = fmt::format("task.{}.patience", name);
    if (!config.has(patience)) config.resolve(patience, config.text("run.task_patience"), "run.task_patience");
    read_into(validation.tasks[name], config, "task." + name);
    const TaskInfo& info = manifest.task(name);
    const auto valid = info.splits.find("valid");
    validation.tasks[name].has_valid = valid != info.splits.end() && valid->second.samples > 0;
    if (!validation.tasks[name].has_valid) continue;
    const std::string head = fmt::format("task.{}.head", name);
    const TaskView view{info.labels, info.outputs, config.has(head) ? config.text(head) : ""};
    with_valid[name] = {info.kind, valid_metrics(info.kind, view)};
  }
  check(validation, with_valid);
  if (validation.used() && config.integer("run.eval_every") == 0)
    fail(fmt::format("{}: early stopping and run.best need evaluations during training: give run.eval_every",
                     config.quote("run.eval_every")));
}

void read_trace(const Config& config, const std::string& text, TrainOptions& options) {
  long long first = 0, last = 0;
  int read = 0;
  const int found = std::sscanf(text.c_str(), "steps %lld-%lld%n", &first, &last, &read);
  if (found != 2 || static_cast<std::size_t>(read) != text.size() || first < 1 || last < first)
    fail(fmt::format("{}: expected the first and the last step, such as 'steps 10-20'", config.quote("run.trace")));
  options.trace_first = first;
  options.trace_last = last;
}

// Returns a hash of what the run trains on: the tokenizer, and the kinds, labels and train shards of its tasks. Other
// tasks of the data set do not matter.
std::string data_hash(const Manifest& manifest, const std::vector<std::string>& tasks) {
  std::string content = manifest.tokenizer.kind + '\n' + manifest.tokenizer.sha256 + '\n';
  for (const std::string& name : tasks) {
    const TaskInfo& task = manifest.task(name);
    content += fmt::format("{} {} {} {}\n", name, name_of(task.kind), task.labels, task.outputs);
    if (const auto train = task.splits.find("train"); train != task.splits.end())
      for (const ShardInfo& shard : train->second.shards)
        content += fmt::format("{} {} {} {}\n", shard.file, shard.samples, shard.bytes, shard.sha256);
  }
  return to_hex(hash_bytes(content));
}

void resolve_data_hash(Config& config, const std::string& hash) {
  if (config.has("run.data_hash") && config.text("run.data_hash") != hash)
    fail(fmt::format(
        "{}: the tokenizer and the tasks' train data in {} have another hash, {}, so this is another data set; "
        "give the one that the run was started with, or start a new run without run.data_hash",
        config.quote("run.data_hash"), config.path("run.data").string(), hash));
  config.resolve("run.data_hash", hash, "data set");
}

// Fills in run.tasks, and removes the options of other tasks.
void resolve_tasks(Config& config, TrainOptions& options, const Manifest& manifest) {
  for (const TaskMention& task : config.tasks()) check_task(task.name, task.origin, manifest);
  options.tasks = chosen_tasks(config, "run.tasks", manifest);
  if (options.tasks.empty())
    throw Error(Exit::data, fmt::format("the data set {} in {} has no task", manifest.name, options.data.string()));
  config.resolve("run.tasks", fmt::format("{}", fmt::join(options.tasks, ", ")),
                 config.has("run.tasks") ? config.origin("run.tasks") : "data set");
  config.keep_tasks(options.tasks);
}

void reproduce_world(const Config& config, const LaunchOptions& launch, TrainOptions& options) {
  options.micro_batch = launch.micro_batch;
  if (options.accumulate > 1)
    fail(
        fmt::format("{}: with run.reproducible = world every {} samples of a task are a micro-batch anyway; leave it "
                    "out, or choose run.micro_batch",
                    config.quote("run.accumulate"), options.micro_batch));
  if (options.device == "cuda")
    fail(fmt::format("{}: run.reproducible = world computes on CPUs; leave it out", config.quote("run.device")));
  options.device = "cpu";
}

// Fills in the options of the encoder that a pretrained model determines, and its hash.
void resolve_pretrained(Config& config, PretrainedWeights& options, const Manifest& manifest, bool has_weights) {
  if (!config.has("encoder.from") || (has_weights && config.has("encoder.from_hash"))) return;
  const std::string from = config.quote("encoder.from");
  if (config.has("run.init_from"))
    fail(fmt::format("{} and {}: the encoder can start from one of them only; leave the other out", from,
                     config.quote("run.init_from")));
  const std::filesystem::path folder = config.path("encoder.from");
  const PretrainedEncoder encoder = read_pretrained(folder);
  for (const auto& [key, value] : pretrained_options(encoder)) {
    const std::string name = "encoder." + key;
    if (config.given(name) != nullptr && !same_value(config.text(name), value))
      fail(fmt::format("{}: the pretrained encoder has {} = {}; leave the option out", config.quote(name), key, value));
    config.resolve(name, value, "encoder.from");
  }
  if (const std::string share = config.text("encoder.share"); share == "mmoe" || share == "ple")
    fail(fmt::format("{}: experts would replace feed-forward networks of {}; use another method of sharing",
                     config.quote("encoder.share"), from));
  const std::string cure = fmt::format("import the data with dataset.tokenizer = {}", folder.string());
  if (const std::string what = tokenizer_difference(read_pretrained_tokenizer(folder), manifest.tokenizer);
      !what.empty())
    fail(fmt::format("{}: the data set {} has another tokenizer: {}; {}", from, manifest.name, what, cure));
  if (manifest.tokenizer.vocab_size > encoder.vocab_size)
    fail(fmt::format("{}: the data set {} has a vocabulary of {} pieces, and the model's table only {}; {}", from,
                     manifest.name, manifest.tokenizer.vocab_size, encoder.vocab_size, cure));
  const std::string hash = to_hex(check_pretrained(folder, encoder));
  if (config.has("encoder.from_hash") && config.text("encoder.from_hash") != hash)
    fail(
        fmt::format("{}: the weights in {} have another hash, {}, so the run did not start from them; give the "
                    "weights that it started from, or start a new run without encoder.from_hash",
                    config.quote("encoder.from_hash"), folder.string(), hash));
  config.resolve("encoder.from_hash", hash, "encoder.from");
  options = {.folder = folder, .hash = hash};
}

// Without other weights to start from, frozen parameters would stay random.
void check_frozen(const Config& config, const EncoderOptions& encoder) {
  if (config.has("encoder.from") || config.has("run.init_from")) return;
  const char* option = is_lora(encoder.share)      ? "encoder.share"
                       : encoder.frozen_blocks > 0 ? "encoder.frozen_blocks"
                                                   : nullptr;
  if (option != nullptr)
    fail(
        fmt::format("{}: blocks that are not trained need weights to start from; give encoder.from a pretrained "
                    "model, or run.init_from a run",
                    config.quote(option)));
}

// Reads the options of the encoder, task attention, heads and the optimizer.
void read_model_options(Config& config, TrainOptions& options, const Manifest& manifest) {
  read_into(options.encoder, config, "encoder");
  check(options.encoder);
  check_frozen(config, options.encoder);
  check_length(options.encoder, manifest.max_length,
               fmt::format("the data set {} was imported with max_length = {}", manifest.name, manifest.max_length),
               fmt::format("give encoder.positions = {}, or import with dataset.max_length = {} or less",
                           manifest.max_length, options.encoder.positions));
  read_into(options.attention, config, "attention");
  for (const std::string& name : options.tasks) {
    options.task_options[name] = task_options(config, manifest.task(name));
    options.attention.importances.push_back(options.task_options[name].importance);
  }
  auto& importances = options.attention.importances;
  if (std::ranges::count(importances, 1) == std::ssize(importances)) importances.clear();
  check(options.attention, options.encoder.dim);
  read_into(options.optimizer, config, "optimizer");
}

}  // namespace

std::vector<std::string> chosen_tasks(const Config& config, const std::string& option, const Manifest& manifest) {
  const std::vector<std::string> all = names_of(manifest), listed = join_known_names(config.list(option), all);
  if (listed.empty()) return all;
  for (const std::string& name : listed) {
    check_task(name, config.quote(option), manifest);
    if (std::ranges::count(listed, name) > 1)
      fail(fmt::format("{}: task {} is listed twice; keep one", config.quote(option), name));
  }
  std::vector<std::string> chosen;
  std::ranges::copy_if(all, std::back_inserter(chosen),
                       [&](const std::string& n) { return std::ranges::count(listed, n) > 0; });
  return chosen;
}

void check_balance(const Config& config, const TrainOptions& options) {
  const auto balancer = make_balancer(options.balancer, options.tasks, options.seed);
  const bool gradients = balancer->reads() >= Balancer::Reads::norms;
  const std::string method = config.quote("balance.method");
  const char* idle = options.surgery.every != 1                   ? "balance.every"
                     : options.surgery.scope != BalanceScope::all ? "balance.scope"
                                                                  : nullptr;
  if (!gradients && idle != nullptr)
    fail(
        fmt::format("{}: it has no effect with {}, which does not read gradients; leave it out, or choose a method "
                    "that does",
                    config.quote(idle), method));
  if (options.surgery.exact && balancer->reads() != Balancer::Reads::losses)
    fail(fmt::format("{}: it has no effect with {}, which does not read losses; leave it out",
                     config.quote("balance.exact"), method));
  if (options.surgery.exact && (options.accumulate > 1 || options.micro_batch > 0))
    fail(
        fmt::format("{}: the losses of all micro-batches would have to be known before the first backward; give "
                    "run.accumulate = 1 and run.reproducible = run, or leave it out",
                    config.quote("balance.exact")));
  if (gradients && options.micro_batch > 0)
    fail(
        fmt::format("{}: run.reproducible = world adds up gradients as integers over all tasks, but this method needs "
                    "those of each task; use run.reproducible = run",
                    method));
  if (balancer->buffer(1).kind == TaskBuffer::Kind::none) return;
  if (options.surgery.scope != BalanceScope::all)
    fail(fmt::format("{}: {} keeps buffers as long as the encoder's gradient; give balance.scope = all",
                     config.quote("balance.scope"), method));
  if (options.surgery.every > 1)
    fail(fmt::format("{}: {} changes its buffers in every step; give balance.every = 1", config.quote("balance.every"),
                     method));
}

TrainOptions train_options_of(Config& config, const Manifest& manifest, bool has_weights) {
  TrainOptions options;
  LaunchOptions launch;
  read_into(options.balancer, config, "balance");
  read_into(options.surgery, config, "balance");
  read_into(options, config, "run");
  read_into(launch, config, "run");
  resolve_tasks(config, options, manifest);
  resolve_data_hash(config, data_hash(manifest, options.tasks));

  if (options.init_timeout == 0) options.init_timeout = kForEver;
  if (!launch.trace.empty()) read_trace(config, launch.trace, options);
  options.host = host_name();
  options.device = launch.device;
  options.threads = launch.threads;
  if (launch.reproducible_world) reproduce_world(config, launch, options);
  resolve_pretrained(config, options.pretrained, manifest, has_weights);
  read_model_options(config, options, manifest);
  options.mixture = mixture_options(config, options.tasks, launch.phases);
  complete_validation(options.validation, config, options.tasks, manifest);
  for (const std::string& name : options.tasks)
    options.task_options[name].teacher = teacher_options(config, manifest.task(name), manifest, options.run_dir);
  check_costs(config, options.tasks);
  check_balance(config, options);
  // Throws before the run folder is created.
  phase_quotas(options.mixture, options.tasks, train_samples(manifest, options.tasks));
  return options;
}

void resolve_initial(Config& config, TrainOptions& options, const Manifest& manifest, bool has_weights) {
  if (!config.has("run.init_from") || (has_weights && config.has("run.init_hash"))) return;
  InitialWeights& initial = options.initial;
  read_into(initial, config, "run");
  resolve_initial_weights(initial, describe_model(options, manifest));
  if (config.has("run.init_hash") && config.text("run.init_hash") != initial.hash)
    fail(
        fmt::format("{}: the weights of {} after step {} have another hash, {}, so the run did not start from them; "
                    "give the weights that it started from, or start a new run without run.init_hash",
                    config.quote("run.init_hash"), initial.run_dir.string(), initial.weights.checkpoint, initial.hash));
  config.resolve("run.init_checkpoint", initial.weights.checkpoint, "run.init_from");
  config.resolve("run.init_weights", initial.weights.average ? "average" : "last", "run.init_from");
  config.resolve("run.init_hash", initial.hash, "run.init_from");
}

Manifest read_data_set(const Config& config) {
  const std::filesystem::path data = config.path("run.data");
  const std::string origin = config.origin("run.data");
  std::error_code code;
  if (origin != "command line" && !std::filesystem::exists(data / "dataset.json", code))
    throw Error(Exit::data, fmt::format("there is no data set in {}, the place that {} gives as run.data; if it has "
                                        "moved, give the new place with --data DIR",
                                        data.string(), origin));
  return read_manifest(data);
}

TaskKinds kinds_of(const Manifest& manifest) {
  TaskKinds kinds;
  for (const TaskInfo& task : manifest.tasks) kinds[task.name] = task.kind;
  return kinds;
}

void require_effects_of(const Config& config, const Manifest& manifest, const Config* before) {
  require_effects(config, kinds_of(manifest), before);
}

}  // namespace polyhead
