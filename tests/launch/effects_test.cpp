// Options that need others: which ones have no effect, the messages, and every condition of the tables.
#include "launch/effects.h"

#include <fmt/format.h>

#include "launch/commands/commands.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::error_of;
using testing::expect_contains;
using testing::TemporaryFolder;

const TaskKinds kKinds = {{"c", Kind::classification}, {"t", Kind::tagging}, {"r", Kind::regression}};

Config train(const std::vector<std::string>& words) {
  return parse_options("train", train_options(), words);
}

std::vector<std::string> idle(const std::vector<std::string>& words) {
  return without_effect(train(words), kKinds);
}

TEST(Effects, WhatNeedsAnotherOptionHasNoneWithoutIt) {
  using Words = std::vector<std::string>;
  const std::vector<std::pair<Words, Words>> cases = {
      // an option, and what gives it an effect
      {{"--task.c.weight", "3"}, {"--balance.method", "static"}},
      {{"--task.c.rate", "3"}, {"--mixture.kind", "explicit"}},
      {{"--encoder.experts", "8"}, {"--encoder.share", "ple"}},
      {{"--encoder.task_experts", "2"}, {"--encoder.share", "ple"}},
      {{"--encoder.adapter_dim", "8"}, {"--encoder.share", "mtan"}},
      {{"--encoder.positions", "64"}, {"--encoder.form", "bert"}},
      {{"--run.micro_batch", "4"}, {"--run.reproducible", "world"}},
      {{"--run.task_patience", "2"}, {"--run.eval_every", "5"}},
      {{"--task.c.patience", "2"}, {"--run.eval_every", "5"}},
      {{"--mixture.cap", "9", "--mixture.kind", "uniform"}, {"--mixture.phases", "5 temperature 2"}},
      {{"--task.r.delta", "2"}, {"--task.r.loss", "huber"}},
      {{"--task.c.distill", "0.3"}, {"--task.c.teacher", "run"}},
      {{"--task.c.metric", "accuracy"}, {"--run.best", "mean"}},
      {{"--task.c.head_options", "a=b"}, {"--task.c.head", "own"}},
  };
  for (const auto& [option, cure] : cases) {
    const std::string name = option[0].substr(2);
    EXPECT_EQ(idle(option), Words{name});
    Words both = option;
    both.insert(both.end(), cure.begin(), cure.end());
    for (const std::string& left : idle(both)) EXPECT_NE(left, name);
  }
  EXPECT_EQ(idle({"--mixture.kind", "uniform", "--mixture.temperature", "5"}), Words{"mixture.temperature"});
  EXPECT_EQ(idle({"--attention.mode", "mean", "--attention.heads", "2"}), Words{"attention.heads"});
  EXPECT_EQ(idle({"--run.patience", "2", "--run.best", "mean"}), (Words{"run.best", "run.patience"}));
}

TEST(Effects, WhatIsOfOneKindHasNoneOnAnother) {
  for (const auto& [option, value, good, bad] :
       {std::tuple("focal_gamma", "2", "c", "t"), std::tuple("class_weights", "balanced", "c", "r"),
        std::tuple("label_smoothing", "0.1", "c", "t"), std::tuple("loss", "huber", "r", "c")}) {
    const auto name = [&, option = option](const char* task) { return fmt::format("task.{}.{}", task, option); };
    EXPECT_TRUE(idle({"--" + name(good), value}).empty()) << option;
    EXPECT_EQ(idle({"--" + name(bad), value}), std::vector{name(bad)});
    EXPECT_TRUE(idle({"--" + name("other"), value}).empty()) << "a task of which nothing is known";
    EXPECT_TRUE(idle({"--" + name(bad), value, fmt::format("--task.{}.head", bad), "own"}).empty()) << option;
  }
  for (const char* option : {"mask_share", "mask_token", "mask_random"})
    EXPECT_EQ(idle({fmt::format("--task.c.{}", option), "0.5"}).size(), 1U) << option;
  for (const char* option : {"decoder_layers", "max_target"})
    EXPECT_EQ(idle({fmt::format("--task.c.{}", option), "5"}).size(), 1U) << option;
}

TEST(Effects, AnOptionThatAKindDoesNotHaveIsRefused) {
  const auto message = [](const std::vector<std::string>& words, const Config* before = nullptr) {
    return error_of(Exit::config, [&] { require_effects(train(words), kKinds, before); });
  };
  EXPECT_EQ(message({"--task.t.focal_gamma", "2"}),
            "task.t.focal_gamma = 2 (command line): task t is of the kind tagging, which does not have this option; "
            "classification has it. Leave task.t.focal_gamma out");
  expect_contains(message({"--task.r.label_smoothing", "0.1"}),
                  "task r is of the kind regression, which does not have this option; classification and translation "
                  "have it");
  // The kind is named even if another condition is not met either.
  expect_contains(message({"--task.c.delta", "2"}), "task c is of the kind classification");
  expect_contains(message({"--task.c.mask_share", "0.5", "--task.c.head", "classification"}), "masked_lm has it");
  // What holds for all tasks is accepted, whatever their kinds.
  require_effects(
      train({"--encoder.dropout", "0.3", "--task.c.focal_gamma", "2", "--task.c.dropout", "0.2", "--task.t.dropout",
             "0.2", "--task.r.dropout", "0.2", "--run.eval_every", "5", "--run.task_patience", "2"}),
      kKinds);
}

TEST(Effects, TheDefaultIsNoComplaint) {
  EXPECT_TRUE(idle({"--task.c.weight", "1.0", "--encoder.experts", "4", "--task.t.label_smoothing", "0",
                    "--task.c.patience", "0", "--run.patience", "0", "--task.t.loss", "mse"})
                  .empty());
  // All of a run's own config.ini.
  Config config = train({"--task.c.dropout", "0.2"});
  config.resolve("task.t.label_smoothing", "0", "default");
  const TemporaryFolder folder;
  EXPECT_TRUE(without_effect(read_config(train_options(), folder.write("config.ini", config.ini())), kKinds).empty());
}

TEST(Effects, TheErrorNamesWhatIsNeededAndWhatWasFound) {
  const auto message = [](const std::vector<std::string>& words) {
    return error_of(Exit::config, [&] { require_effects(train(words), kKinds); });
  };
  expect_contains(message({"--task.c.weight", "3"}),
                  "task.c.weight = 3 (command line): it has no effect without balance.method = static or stch or "
                  "aligned_mtl or upgrad or dual_proj, but there is balance.method = equal (default); give that too, "
                  "or leave task.c.weight out");
  expect_contains(message({"--task.r.delta", "2"}), "task.r.loss = huber, but there is task.r.loss = mse (default)");
  expect_contains(message({"--task.c.distill", "0.1"}), "without task.c.teacher, but task.c.teacher is not given");
  expect_contains(message({"--encoder.experts", "8"}), "without encoder.share = mmoe or ple, but");
  expect_contains(
      error_of(Exit::usage,
               [] {
                 require_effects(parse_options("predict", predict_options(), {"--length-penalty", "0.9"}), {});
               }),
      "--length-penalty 0.9: it has no effect without --beam above 1, but there is --beam 1");
}

TEST(Effects, WhatTheRunBeforeHadIsLetPass) {
  const Config before = train({"--task.c.weight", "3"}), same = train({"--task.c.weight", "3.0"});
  require_effects(same, kKinds, &before);
  error_of(Exit::config, [&] { require_effects(train({"--task.c.weight", "4"}), kKinds, &before); });
}

TEST(Effects, EveryConditionOfTheTablesNamesAnOption) {
  for (const auto& table : {train_options(), import_options(), predict_options(), evaluate_options()}) {
    std::vector<std::string> names;
    for (const Option& option : table) names.push_back(fmt::format("{}.{}", option.section, option.key));
    for (const Option& option : table) {
      if (option.needs.empty()) continue;
      const std::string words = needs_in_words(option);
      EXPECT_EQ(words.find_first_of("!~|"), std::string::npos) << words;
      // Asked with every other option at its default, a condition on an unknown name throws.
      Config config(table);
      const std::string name = option.section == "task" ? fmt::format("task.x.{}", option.key)
                               : option.section.empty() ? std::string(option.key)
                                                        : fmt::format("{}.{}", option.section, option.key);
      const std::string value = option.type == OptionType::choice
                                    ? std::string(option.allowed.substr(option.allowed.rfind('|') + 1))
                                : option.type == OptionType::flag   ? "true"
                                : option.type == OptionType::number ? "0.01"
                                : option.allowed.ends_with("<=2")   ? "1"
                                                                    : "7";
      config.set(name, {value, "command line", {}});
      EXPECT_NO_THROW(without_effect(config, {{"x", Kind::multilabel}})) << name;
    }
  }
}

}  // namespace
}  // namespace polyhead
