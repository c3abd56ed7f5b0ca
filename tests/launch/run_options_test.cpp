// From options to structs: what follows from the data set, and the checks.
#include "launch/run_options.h"
#include "launch/host.h"

#include "distributed/communicator/local/local.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::error_of;
using testing::expect_contains;
using testing::TemporaryFolder;

class RunOptions : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_.write("dataset.json", "{}");
    const auto add = [&](const char* name, Kind kind, std::uint64_t samples) {
      TaskInfo task;
      task.name = name;
      task.kind = kind;
      if (samples > 0) task.splits["train"].samples = samples;
      manifest_.tasks.push_back(task);
    };
    manifest_.name = "debmix";
    add("section", Kind::classification, 100);
    add("en-it", Kind::translation, 200);
    add("bare", Kind::tagging, 0);
  }

  Config config(std::vector<std::string> words) const {
    words.insert(words.end(), {"--data", folder_.path().string(), "--run-dir", (folder_.path() / "run").string()});
    return parse_options("train", train_options(), words);
  }
  TrainOptions options_of(const std::vector<std::string>& words) const {
    Config c = config(words);
    return train_options_of(c, manifest_);
  }
  std::string error(Exit code, const std::vector<std::string>& words) const {
    return error_of(code, [&] { options_of(words); });
  }

  TemporaryFolder folder_;
  Manifest manifest_;
};

TEST_F(RunOptions, FillsTheStructs) {
  Config c = config({"--run.tasks",
                     "en-it, section",
                     "--encoder.dropout",
                     "0.3",
                     "--task.section.dropout",
                     "0.2",
                     "--task.en-it.decoder_layers",
                     "1",
                     "--mixture.kind",
                     "explicit",
                     "--task.en-it.rate",
                     "3",
                     "--task.section.rate",
                     "1",
                     "--task.bare.weight",
                     "2",
                     "--attention.floor",
                     "0.05",
                     "--attention.importance",
                     "fixed",
                     "--attention.entropy_bonus",
                     "0.2",
                     "--task.en-it.importance",
                     "3",
                     "--optimizer.head_clip",
                     "0",
                     "--run.seed",
                     "9"});
  const TrainOptions options = train_options_of(c, manifest_);
  EXPECT_EQ(options.tasks, (std::vector<std::string>{"section", "en-it"}));
  EXPECT_EQ(options.data, folder_.path());
  EXPECT_EQ(options.seed, 9U);
  EXPECT_EQ(options.encoder.dropout, 0.3);
  EXPECT_EQ(options.attention.floor, 0.05);
  EXPECT_EQ(options.attention.mode, AttentionMode::competitive);
  EXPECT_EQ(options.attention.importance, Importance::fixed);
  EXPECT_EQ(options.attention.entropy_bonus, 0.2);
  EXPECT_EQ(options.attention.importances, (std::vector<double>{1, 3}));  // of the run's tasks, in their order
  EXPECT_EQ(options.optimizer.head_clip, 0);
  EXPECT_EQ(options.optimizer.beta2, 0.98);
  EXPECT_EQ(options.task_options.at("section").head.dropout, 0.2);
  EXPECT_EQ(options.task_options.at("section").head.label_smoothing, 0);
  EXPECT_EQ(options.task_options.at("en-it").head.dropout, 0.3);
  EXPECT_EQ(options.task_options.at("en-it").head.label_smoothing, 0.1);
  EXPECT_EQ(options.task_options.at("en-it").head.decoder_layers, 1);
  EXPECT_EQ(options.task_options.at("en-it").masking.share, 0.15);
  EXPECT_EQ(options.mixture.phases.at(0).mixture.rates.at("en-it"), 3);
  EXPECT_EQ(options.task_options.size(), 2U);
  EXPECT_EQ(c.text("run.tasks"), "section, en-it");
  EXPECT_EQ(c.text("run.data_hash").size(), 16U);
  EXPECT_EQ(c.tasks().size(), 2U);  // not those of the others
}

TEST_F(RunOptions, ATasksPatienceIsThatOfTheRunWhenNotGiven) {
  for (std::size_t task = 0; task < 2; ++task) manifest_.tasks[task].splits["valid"].samples = 5;
  Config c = config({"--run.tasks", "section, en-it", "--run.task_patience", "3", "--task.en-it.patience", "0",
                     "--task.section.metric", "macro_f1", "--run.eval_every", "10", "--run.best", "en-it:perplexity"});
  const ValidationOptions found = train_options_of(c, manifest_).validation;
  EXPECT_EQ(found.best, "en-it:perplexity");
  EXPECT_EQ(found.tasks.at("section").patience, 3);
  EXPECT_EQ(found.tasks.at("section").metric, "macro_f1");
  EXPECT_EQ(found.tasks.at("en-it").patience, 0);
  EXPECT_EQ(found.tasks.at("en-it").metric, "loss");
  EXPECT_EQ(c.text("task.section.patience"), "3");  // config.ini has it
}

TEST_F(RunOptions, AResolvedConfigurationResolvesToItself) {
  Config first = config({"--run.tasks", "section,en-it"});
  train_options_of(first, manifest_);
  Config second = read_config(train_options(), folder_.write("config.ini", first.ini()));
  train_options_of(second, manifest_);
  EXPECT_EQ(first.ini(), second.ini());
}

TEST_F(RunOptions, AllTasksByDefault) {
  manifest_.tasks.pop_back();
  Config c = config({});
  EXPECT_EQ(train_options_of(c, manifest_).tasks.size(), 2U);
  EXPECT_EQ(c.origin("run.tasks"), "data set");
}

TEST_F(RunOptions, TheDataHashIsOfTheTasksTrained) {
  const auto hash = [&] {
    Config c = config({"--run.tasks", "section, en-it"});
    train_options_of(c, manifest_);
    return c.text("run.data_hash");
  };
  const std::string before = hash();
  manifest_.tasks.emplace_back().name = "later";
  EXPECT_EQ(hash(), before);
  manifest_.tasks[0].labels.push_back("one more");
  const std::string relabelled = hash();
  EXPECT_NE(relabelled, before);
  manifest_.tasks[0].splits.at("train").shards.emplace_back().file = "section/train-more.h5";
  EXPECT_NE(hash(), relabelled);
  const std::string enlarged = hash();
  manifest_.tokenizer.sha256 = "another";
  EXPECT_NE(hash(), enlarged);
}

TEST_F(RunOptions, Errors) {
  expect_contains(error(Exit::config, {"--run.tasks", "sektion"}),
                  "has no task 'sektion' (did you mean section?); its tasks are section, en-it, bare");
  expect_contains(error(Exit::config, {"--run.tasks", "section, section"}), "task section is listed twice");
  expect_contains(error(Exit::config, {"--task.en-ti.weight", "2"}),
                  "command line: the data set debmix has no task 'en-ti' (did you mean en-it?)");
  expect_contains(error(Exit::data, {"--run.tasks", "bare"}), "task 'bare' has no training samples");
  expect_contains(error(Exit::config, {"--encoder.heads", "3"}), "dim / heads must be an even whole number");
  expect_contains(error(Exit::config, {"--encoder.heads", "256"}), "dim / heads must be an even whole number");
  EXPECT_NO_THROW(options_of({"--encoder.form", "bert", "--encoder.heads", "256", "--run.tasks", "section"}));
  manifest_.max_length = 600;
  EXPECT_NO_THROW(options_of({"--run.tasks", "section"}));
  EXPECT_NO_THROW(options_of({"--encoder.form", "bert", "--encoder.positions", "600", "--run.tasks", "section"}));
  const std::string longer = error(Exit::config, {"--encoder.form", "bert", "--run.tasks", "section"});
  for (const char* part : {"debmix was imported with max_length = 600", "512 positions", "encoder.positions = 600",
                           "dataset.max_length = 512 or less"})
    expect_contains(longer, part);
  expect_contains(error(Exit::config, {"--attention.heads", "3"}),
                  "attention.heads = 3: it must divide encoder.dim = 256");
  expect_contains(error(Exit::config, {"--run.tasks", "section, en-it", "--mixture.batch", "1"}),
                  "mixture.batch is 1, but there are 2 tasks");
  expect_contains(error(Exit::config, {"--mixture.kind", "explicit"}),
                  "task 'section' has no rate: give task.section.rate, 0 to leave it out");
  expect_contains(error(Exit::config, {"--run.tasks", "section", "--task.section.mask_random", "0.3"}),
                  "together must be at most 1");
  expect_contains(error(Exit::config, {"--run.data_hash", "0"}), "this is another data set");
  expect_contains(error(Exit::config, {"--run.tasks", "section", "--run.task_patience", "2"}),
                  "task section has no valid samples");
  manifest_.tasks[0].splits["valid"].samples = 5;
  expect_contains(error(Exit::config, {"--run.tasks", "section", "--run.task_patience", "2"}), "give run.eval_every");
  manifest_.tasks.clear();
  expect_contains(error(Exit::data, {}), "has no task");
}

TEST_F(RunOptions, PhasesOfTheMixture) {
  Config c = config({"--run.tasks", "section, en-it", "--mixture.cap", "150", "--mixture.phases",
                     "200 uniform,  400 temperature 5 ,600 explicit section=2 en-it=0.5, 800 explicit en-it=1"});
  const MixtureOptions options = train_options_of(c, manifest_).mixture;
  ASSERT_EQ(options.phases.size(), 5U);
  const auto said = [&](std::size_t phase) {
    return std::to_string(options.phases[phase].step) + " " + describe(options.phases[phase].mixture);
  };
  EXPECT_EQ(said(0), "1 temperature 2, cap 150");
  EXPECT_EQ(said(1), "200 uniform");
  EXPECT_EQ(said(2), "400 temperature 5, cap 150");
  EXPECT_EQ(said(3), "600 explicit");
  using Rates = std::map<std::string, double>;
  EXPECT_EQ(options.phases[3].mixture.rates, (Rates{{"section", 2}, {"en-it", 0.5}}));
  EXPECT_EQ(options.phases[4].mixture.rates, (Rates{{"section", 0}, {"en-it", 1}}));
  EXPECT_EQ(read_config(train_options(), folder_.write("config.ini", c.ini())).text("mixture.phases"),
            c.text("mixture.phases"));
}

TEST_F(RunOptions, ErrorsOfPhasesNameThePhaseAndTheCure) {
  const auto says = [&](const std::string& phases, const std::string& part) {
    const std::string message = error(Exit::config, {"--run.tasks", "section, en-it", "--mixture.phases", phases});
    expect_contains(message, "mixture.phases = " + phases + " (command line): the phase '");
    expect_contains(message, part);
  };
  says("uniform", "begins with 'uniform', expected the step");
  says("1 uniform", "begins with '1', expected the step at which it starts, 2 or more");
  says("2x uniform", "begins with '2x'");
  says("20 uniform,, 30 uniform", "the phase '' begins with ''");
  says("20", "has the kind '', expected proportional, uniform, temperature, explicit");
  says("20 temprature 5", "has the kind 'temprature' (did you mean temperature?)");
  says("20 temperature", "needs one number above 0 after temperature");
  says("20 temperature 0", "needs one number above 0 after temperature");
  says("20 temperature nan", "needs one number above 0 after temperature");
  says("20 temperature 5 6", "needs one number above 0 after temperature");
  says("20 uniform 5", "has '5' after uniform, which has no arguments; separate phases with commas");
  says("20 explicit", "needs TASK=RATE after explicit");
  says("20 explicit section", "has 'section', expected TASK=RATE");
  says("20 explicit section=-1", "has 'section=-1', expected TASK=RATE with a rate of 0 or more");
  says("20 explicit section=inf", "has 'section=inf'");
  says("20 explicit sektion=1",
       "names the task 'sektion' (did you mean section?), but the run's tasks are section, en-it");
  says("20 explicit bare=1", "names the task 'bare', but the run's tasks are section, en-it");
  says("20 explicit section=1 section=2", "names task section twice");
  says("20 explicit section=0", "has only rates of 0");
  says("20 uniform, 20 uniform", "does not begin after the one before it (step 20)");
  says("1001 uniform", "never begins, as run.steps is 1000");
  expect_contains(
      error(Exit::config, {"--run.tasks", "section, en-it", "--mixture.batch", "1", "--mixture.kind", "explicit",
                           "--task.section.rate", "1", "--task.en-it.rate", "0", "--mixture.phases", "20 uniform"}),
      "the mixture from step 20 on: mixture.batch is 1, but there are 2 tasks");
  expect_contains(
      error(Exit::config, {"--run.tasks", "section", "--mixture.kind", "explicit", "--task.section.rate", "0"}),
      "the rates of all tasks are 0");
}

TEST(Threads, AtLeastOne) {
  const auto world = make_local_communicator();
  EXPECT_GE(cpus_from_affinity(*world).threads(), 1);
}

}  // namespace
}  // namespace polyhead
