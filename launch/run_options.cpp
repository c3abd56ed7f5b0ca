// Converts the options of a training run to the structs of the lower layers.
#include "launch/run_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/host.h"
#include "core/base/names.h"
#include "core/heads/registry.h"
#include "core/kinds/registry.h"
#include "core/model/device.h"
#include "distributed/evaluation/early_stopping.h"
#include "distributed/planning/workload.h"
#include "distributed/worker/initial_weights.h"
#include "distributed/worker/teacher.h"
#include "launch/launcher.h"
#include "launch/mixture_options.h"
#include "launch/nearest.h"
#include "launch/threads.h"

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

// The value of a choice; the table of options has the names of its enum.
template <Choice E>
E choice(const Config& config, const std::string& name) {
  return choice_from<E>(config.text(name)).value();
}

EncoderOptions encoder_options(const Config& config) {
  EncoderOptions encoder;
  encoder.form = choice<EncoderForm>(config, "encoder.form");
  encoder.layers = config.integer("encoder.layers");
  encoder.dim = config.integer("encoder.dim");
  encoder.heads = config.integer("encoder.heads");
  encoder.ffn = config.integer("encoder.ffn");
  encoder.positions = config.integer("encoder.positions");
  encoder.dropout = config.number("encoder.dropout");
  encoder.attention_dropout = config.number("encoder.attention_dropout");
  encoder.drop_path = config.number("encoder.drop_path");
  encoder.activation_checkpointing = config.text("encoder.activation_checkpointing") == "blocks";
  encoder.share = choice<Sharing>(config, "encoder.share");
  encoder.adapter_dim = config.integer("encoder.adapter_dim");
  encoder.experts = config.integer("encoder.experts");
  encoder.expert_layers = config.integer("encoder.expert_layers");
  encoder.task_experts = config.integer("encoder.task_experts");
  check(encoder);
  return encoder;
}

AttentionOptions attention_options(const Config& config, const std::vector<std::string>& tasks) {
  AttentionOptions attention;
  attention.mode = choice<AttentionMode>(config, "attention.mode");
  attention.importance = choice<Importance>(config, "attention.importance");
  attention.entropy_bonus = config.number("attention.entropy_bonus");
  for (const std::string& task : tasks)
    attention.importances.push_back(config.number(fmt::format("task.{}.importance", task)));
  if (std::ranges::count(attention.importances, 1) == std::ssize(tasks)) attention.importances.clear();
  attention.heads = config.integer("attention.heads");
  attention.temperature = config.number("attention.temperature");
  attention.floor = config.number("attention.floor");
  check(attention, config.integer("encoder.dim"));
  return attention;
}

OptimizerOptions optimizer_options(const Config& config) {
  OptimizerOptions optimizer;
  optimizer.lr = config.number("optimizer.lr");
  optimizer.warmup = config.integer("optimizer.warmup");
  optimizer.schedule = choice<Schedule>(config, "optimizer.schedule");
  optimizer.layer_decay = config.number("optimizer.layer_decay");
  optimizer.weight_decay = config.number("optimizer.weight_decay");
  optimizer.beta1 = config.number("optimizer.beta1");
  optimizer.beta2 = config.number("optimizer.beta2");
  optimizer.epsilon = config.number("optimizer.epsilon");
  optimizer.clip = config.number("optimizer.clip");
  optimizer.head_clip = config.number("optimizer.head_clip");
  optimizer.ema = config.number("optimizer.ema");
  return optimizer;
}

// Parses "KEY=VALUE, KEY=VALUE".
std::map<std::string, std::string> own_options(const Config& config, const std::string& option) {
  const auto trimmed = [](const std::string& text) {
    const std::size_t first = text.find_first_not_of(' ');
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
  };
  std::map<std::string, std::string> own;
  for (const std::string& entry : config.list(option)) {
    const std::size_t equals = std::min(entry.find('='), entry.size());
    const std::string key = trimmed(entry.substr(0, equals)),
                      value = equals < entry.size() ? trimmed(entry.substr(equals + 1)) : "";
    if (key.empty() || value.empty()) fail(fmt::format("{}: '{}' is not KEY=VALUE", config.quote(option), entry));
    if (!own.emplace(key, value).second)
      fail(fmt::format("{}: {} is given twice; keep one", config.quote(option), key));
  }
  return own;
}

// Converts "0, 2, 4-7" to ranks, ascending.
std::vector<int> pinned_workers(const Config& config, const std::string& key) {
  std::vector<int> workers;
  for (const std::string& text : config.list(key)) {
    constexpr int kMost = 1'000'000;
    int first = -1, last = -1;
    const char* const end = text.data() + text.size();
    auto read = std::from_chars(text.data(), end, first);
    last = first;
    if (read.ec == std::errc() && read.ptr != end && *read.ptr == '-') read = std::from_chars(read.ptr + 1, end, last);
    if (read.ec != std::errc() || read.ptr != end || first < 0 || last < first || last >= kMost)
      fail(fmt::format("{}: '{}' is not a worker; workers are numbered from 0 and listed as in 0, 2, 4-7",
                       config.quote(key), text));
    for (int worker = first; worker <= last; ++worker) workers.push_back(worker);
  }
  std::ranges::sort(workers);
  if (const auto twice = std::ranges::adjacent_find(workers); twice != workers.end())
    fail(fmt::format("{}: worker {} is listed twice; keep one", config.quote(key), *twice));
  return workers;
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
  const auto key = [&](std::string_view name) { return fmt::format("task.{}.{}", info.name, name); };
  if (!config.has(key("dropout"))) config.resolve(key("dropout"), config.text("encoder.dropout"), "encoder.dropout");
  if (!config.has(key("label_smoothing")))
    config.resolve(key("label_smoothing"), fmt::format("{}", task_kind(info.kind).traits().label_smoothing), "default");
  TaskOptions task;
  task.weight = config.number(key("weight"));
  if (config.has(key("cost"))) task.cost = config.number(key("cost"));
  task.workers = pinned_workers(config, key("workers"));
  task.masking.share = config.number(key("mask_share"));
  task.masking.mask = config.number(key("mask_token"));
  task.masking.random = config.number(key("mask_random"));
  if (task.masking.mask + task.masking.random > 1)
    fail(fmt::format("{} and {}: the two shares together must be at most 1", config.quote(key("mask_token")),
                     config.quote(key("mask_random"))));
  if (config.has(key("head"))) {
    task.head.head = config.text(key("head"));
    if (const auto heads = heads_of(info.kind); std::ranges::count(heads, task.head.head) == 0)
      fail(fmt::format("{}: this program has no such head for {}{}; it has {}", config.quote(key("head")),
                       name_of(info.kind), did_you_mean(task.head.head, heads), fmt::join(heads, ", ")));
  }
  task.head.own = own_options(config, key("head_options"));
  task.head.dropout = config.number(key("dropout"));
  task.head.label_smoothing = config.number(key("label_smoothing"));
  task.head.class_weights = choice<ClassWeights>(config, key("class_weights"));
  task.head.focal_gamma = config.number(key("focal_gamma"));
  task.head.loss = choice<RegressionLoss>(config, key("loss"));
  task.head.delta = config.number(key("delta"));
  task.head.decoder_layers = config.integer(key("decoder_layers"));
  task.head.max_target = config.integer(key("max_target"));
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
  teacher.run_dir = config.path(key("teacher"));
  teacher.weights = {config.text(key("teacher_checkpoint")), config.text(key("teacher_weights")) == "average"};
  if (config.has(key("teacher_task"))) teacher.task = config.text(key("teacher_task"));
  teacher.share = config.number(key("distill"));
  teacher.temperature = config.number(key("distill_temperature"));
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

ValidationOptions validation_options(Config& config, const std::vector<std::string>& tasks, const Manifest& manifest) {
  ValidationOptions validation;
  if (config.has("run.best")) validation.best = config.text("run.best");
  validation.patience = config.integer("run.patience");
  std::map<std::string, ValidatedTask> with_valid;
  for (const std::string& name : tasks) {
    const std::string patience = fmt::format("task.{}.patience", name);
    if (!config.has(patience)) config.resolve(patience, config.text("run.task_patience"), "run.task_patience");
    validation.tasks[name] = {config.text(fmt::format("task.{}.metric", name)), config.integer(patience)};
    const TaskInfo& info = manifest.task(name);
    const auto valid = info.splits.find("valid");
    if (valid == info.splits.end() || valid->second.samples == 0) continue;
    const std::string head = fmt::format("task.{}.head", name);
    const TaskView view{info.labels, info.outputs, config.has(head) ? config.text(head) : ""};
    with_valid[name] = {info.kind, valid_metrics(info.kind, view)};
  }
  check(validation, with_valid);
  if (validation.used() && config.integer("run.eval_every") == 0)
    fail(fmt::format("{}: early stopping and run.best need evaluations during training: give run.eval_every",
                     config.quote("run.eval_every")));
  return validation;
}

void trace_steps(const Config& config, TrainOptions& options) {
  long long first = 0, last = 0;
  int read = 0;
  const std::string text = config.text("run.trace");
  const int found = std::sscanf(text.c_str(), "steps %lld-%lld%n", &first, &last, &read);
  if (found != 2 || static_cast<std::size_t>(read) != text.size() || first < 1 || last < first)
    fail(fmt::format("{}: expected the first and the last step, as in 'steps 10-20'", config.quote("run.trace")));
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

TrainOptions train_options_of(Config& config, const Manifest& manifest) {
  TrainOptions options;
  options.data = config.path("run.data");
  if (config.has("run.run_dir")) options.run_dir = config.path("run.run_dir");  // --print-config needs none
  for (const TaskMention& task : config.tasks()) check_task(task.name, task.origin, manifest);
  options.tasks = chosen_tasks(config, "run.tasks", manifest);
  if (options.tasks.empty())
    throw Error(Exit::data, fmt::format("the data set {} in {} has no task", manifest.name, options.data.string()));
  config.resolve("run.tasks", fmt::format("{}", fmt::join(options.tasks, ", ")),
                 config.has("run.tasks") ? config.origin("run.tasks") : "data set");
  config.keep_tasks(options.tasks);
  resolve_data_hash(config, data_hash(manifest, options.tasks));

  options.seed = static_cast<std::uint64_t>(config.integer("run.seed"));
  options.steps = config.integer("run.steps");
  options.eval_every = config.integer("run.eval_every");
  options.eval_samples = config.integer("run.eval_samples");
  options.checkpoint_every = config.integer("run.checkpoint_every");
  options.checkpoint_seconds = config.number("run.checkpoint_seconds");
  options.keep = config.integer("run.keep");
  options.stop_at = config.integer("run.stop_at");
  options.init_timeout = config.number("run.init_timeout");
  if (options.init_timeout == 0) options.init_timeout = kForEver;
  if (config.has("run.trace")) trace_steps(config, options);
  options.host = host_name();
  options.dtype = config.text("run.dtype");
  const std::string access = config.text("run.data_access"), verify = config.text("run.verify_data");
  options.read.access = access == "map" ? Access::map : access == "pread" ? Access::pread : Access::automatic;
  options.read.verify = verify == "open" ? Verify::open : verify == "off" ? Verify::off : Verify::blocks;
  options.device = config.text("run.device");
  options.threads = static_cast<int>(config.integer("run.threads"));
  options.prefetch = config.integer("run.prefetch");
  options.accumulate = config.integer("run.accumulate");
  if (config.text("run.reproducible") == "world") {
    options.micro_batch = config.integer("run.micro_batch");
    if (options.accumulate > 1)
      fail(
          fmt::format("{}: with run.reproducible = world every {} samples of a task are a micro-batch anyway; leave it "
                      "out, or choose run.micro_batch",
                      config.quote("run.accumulate"), options.micro_batch));
    if (options.device == "cuda")
      fail(fmt::format("{}: run.reproducible = world computes on CPUs; leave it out", config.quote("run.device")));
    options.device = "cpu";
  }
  options.encoder = encoder_options(config);
  check_length(options.encoder, manifest.max_length,
               fmt::format("the data set {} was imported with max_length = {}", manifest.name, manifest.max_length),
               fmt::format("give encoder.positions = {}, or import with dataset.max_length = {} or less",
                           manifest.max_length, options.encoder.positions));
  options.attention = attention_options(config, options.tasks);
  options.optimizer = optimizer_options(config);
  options.shard_optimizer = config.text("optimizer.shard") == "world";
  options.mixture = mixture_options(config, options.tasks);
  options.balance = config.text("balance.method");
  options.validation = validation_options(config, options.tasks, manifest);
  for (const std::string& name : options.tasks) {
    const TaskInfo& info = manifest.task(name);
    options.task_options[name] = task_options(config, info);
    options.task_options[name].teacher = teacher_options(config, info, manifest, options.run_dir);
  }
  check_costs(config, options.tasks);
  // Throws before the run folder is created.
  phase_quotas(options.mixture, options.tasks, train_samples(manifest, options.tasks));
  return options;
}

void resolve_initial(Config& config, TrainOptions& options, const Manifest& manifest, bool has_weights) {
  if (!config.has("run.init_from") || (has_weights && config.has("run.init_hash"))) return;
  InitialWeights& initial = options.initial;
  initial.run_dir = config.path("run.init_from");
  if (config.has("run.init_checkpoint")) initial.weights.checkpoint = config.text("run.init_checkpoint");
  initial.weights.average = config.has("run.init_weights") && config.text("run.init_weights") == "average";
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

CpuShare cpus_from_affinity(Communicator& world) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  // If there are more CPUs than a cpu_set_t holds, their number is not known, and one thread is used.
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) CPU_SET(0, &mask);
  std::string mine = host_name() + " ";
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) mine += CPU_ISSET(cpu, &mask) ? '1' : '0';
  const std::vector<std::string> all = world.all_gather_strings("launch.affinity", mine);
  return {CPU_COUNT(&mask), static_cast<int>(std::ranges::count(all, mine))};
}

void resolve_host(TrainOptions& options, const CpuShare& cpus, Communicator& world) {
  if (options.threads == 0 && options.micro_batch > 0) options.threads = 1;
  if (options.threads == 0) options.threads = threads_of_environment();
  if (options.threads == 0) options.threads = cpus.threads();
  options.device = resolve_device(options.device);
  const std::vector<std::string> hosts = world.all_gather_strings("launch.hosts", host_name());
  for (int rank = 0; rank < world.rank(); ++rank)
    options.local_rank += hosts[static_cast<std::size_t>(rank)] == hosts[static_cast<std::size_t>(world.rank())];
  options.worker_threads.clear();
  for (const std::string& threads : world.all_gather_strings("launch.threads", std::to_string(options.threads)))
    options.worker_threads.push_back(std::stoi(threads));
  if (std::ranges::count(options.worker_threads, options.worker_threads.front()) == world.size())
    options.worker_threads.resize(1);
}

}  // namespace polyhead
