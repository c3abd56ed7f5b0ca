// Options: precedence, types, origins, writing back, comparing, and every error.
#include "launch/options.h"

#include "core/base/nearest.h"
#include "launch/commands/commands.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::error_of;
using testing::expect_contains;
using testing::TemporaryFolder;

using Words = std::vector<std::string>;

Config train(const Words& words) {
  return parse_options("train", train_options(), words);
}

std::string train_error(Exit code, const Words& words) {
  return error_of(code, [&] { train(words); });
}

TEST(Options, CommandLineOverFileOverDefault) {
  const TemporaryFolder folder;
  const std::string file =
      folder.write("a.ini", "[run]\nsteps = 7\nseed = 3\n[task.en-it]\nweight = 2\n[task.none]\n").string();
  const Config config = train({"-c", file, "--run.seed", "4", "--task.section.rate=0.5", "--run-dir", "r"});
  EXPECT_EQ(config.integer("run.steps"), 7);
  EXPECT_EQ(config.integer("run.seed"), 4);
  EXPECT_EQ(config.integer("encoder.layers"), 4);
  EXPECT_EQ(config.origin("run.steps"), file + ":2");
  EXPECT_EQ(config.origin("run.seed"), "command line");
  EXPECT_EQ(config.origin("encoder.layers"), "default");
  EXPECT_EQ(config.number("task.en-it.weight"), 2);
  EXPECT_EQ(config.number("task.other.weight"), 1);
  EXPECT_EQ(config.number("task.section.rate"), 0.5);
  EXPECT_FALSE(config.has("task.en-it.rate"));
  EXPECT_EQ(config.quote("run.steps"), "run.steps = 7 (" + file + ":2)");
  ASSERT_EQ(config.tasks().size(), 3U);
  EXPECT_EQ(config.tasks()[1].name, "none");
  EXPECT_EQ(config.tasks()[1].origin, file + ":6");
  EXPECT_EQ(config.path("run.run_dir"), std::filesystem::current_path() / "r");
}

TEST(Options, SectionsAreTakenByAnotherTable) {
  const TemporaryFolder folder;
  const std::string file =
      folder.write("a.ini", "[run]\ndata = d\nsteps = 7\n[task.none]\n[task.x]\nrate = 1\n").string();
  const Config from = train({"-c", file, "--run.seed", "4", "--task.y.rate", "2"});
  Config all(train_options()), some(train_options());
  all.take_sections(from, false);
  EXPECT_EQ(all.ini(true), from.ini(true)) << "values, origins and the order of tasks";
  EXPECT_FALSE(all.has("config"));
  some.take_sections(from, true);
  EXPECT_EQ(some.integer("run.seed"), 4);
  EXPECT_EQ(some.number("task.y.rate"), 2);
  EXPECT_EQ(some.integer("run.steps"), 1000);
  EXPECT_EQ(some.tasks().size(), 1U);
}

TEST(Options, PathsInAFileAreRelativeToIt) {
  const TemporaryFolder folder;
  const std::string file = folder.write("a.ini", "[run]\ndata = sub/../data\n").string();
  EXPECT_EQ(train({"-c", file}).path("run.data"), folder.path() / "data");
  EXPECT_EQ(train({"-c", file, "--data", "d"}).path("run.data"), std::filesystem::current_path() / "d");
}

TEST(Options, ListsFlagsAndNegativeNumbers) {
  EXPECT_EQ(train({"--run.tasks", "a, b ,c"}).list("run.tasks"), (Words{"a", "b", "c"}));
  EXPECT_TRUE(train({"--run.tasks", ""}).list("run.tasks").empty());
  EXPECT_TRUE(train({"--print-config"}).flag("print-config"));
  EXPECT_FALSE(train({}).flag("print-config"));
  expect_contains(train_error(Exit::config, {"--run.seed", "-1"}), "run.seed is '-1', expected a whole number >= 0");
}

TEST(Options, ErrorsOfTheCommandLine) {
  expect_contains(train_error(Exit::usage, {"--run.stpes", "5"}), "no option --run.stpes (did you mean --run.steps?)");
  expect_contains(train_error(Exit::usage, {"--run.st", "5"}), "no option --run.st (did you mean --run.steps?)");
  expect_contains(train_error(Exit::usage, {"--steps", "5"}), "no option --steps (did you mean --run.steps?)");
  expect_contains(train_error(Exit::usage, {"--weight", "5"}), "did you mean --task.NAME.weight?");
  expect_contains(train_error(Exit::usage, {"--dat", "5"}), "did you mean --data?");
  expect_contains(train_error(Exit::usage, {"--task.en.wieght", "5"}), "did you mean --task.en.weight?");
  expect_contains(train_error(Exit::usage, {"--task.weight", "5"}), "no option --task.weight");
  expect_contains(train_error(Exit::config, {"--run.steps", "5", "--run.steps=6"}), "--run.steps is given twice");
  expect_contains(train_error(Exit::config, {"--data", "a", "--run.data", "b"}), "is given twice");
  expect_contains(train_error(Exit::usage, {"more"}), "unexpected word 'more'");
  expect_contains(train_error(Exit::usage, {"--run.steps"}), "--run.steps has no value;");
  expect_contains(train_error(Exit::usage, {"--data", "--run-dir", "r"}),
                  "--data has no value, as '--run-dir' follows it");
  expect_contains(train_error(Exit::usage, {"--data", "--runs", "r"}), "--data has no value, as '--runs' follows it");
  expect_contains(train_error(Exit::usage, {"-c"}), "-c has no value");
  expect_contains(train_error(Exit::usage, {"--print-config=5"}), "--print-config");
  expect_contains(train_error(Exit::usage, {"-x"}), "-x");
}

TEST(Options, ErrorsOfTheFile) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& text) {
    return train_error(Exit::config, {"-c", folder.write("a.ini", text).string()});
  };
  expect_contains(message("[run]\n\nstpes = 5\n"),
                  "a.ini:3: [run] has no key 'stpes' (did you mean steps?); its keys are data");
  expect_contains(message("[run]\nsteps.x = 5\n"), "a.ini:2: [run] has no key 'steps.x'");
  expect_contains(message("[rum]\n"),
                  "a.ini:1: there is no section [rum] (did you mean [run]?); the sections are [run], [encoder]");
  expect_contains(message("[task]\n"), "a.ini:1: there is no section [task]");
  expect_contains(message("[task.x]\nwieght = 1\n"), "a.ini:2: [task.x] has no key 'wieght' (did you mean weight?)");
  expect_contains(message("[run]\nsteps = 5x\n"), "a.ini:2: run.steps is '5x', expected a whole number >= 1");
  expect_contains(message("[run]\nsteps = 0\n"), "expected a whole number >= 1");
  expect_contains(message("[run]\nsteps =\n"), "run.steps is ''");
  expect_contains(message("[encoder]\ndropout = 1\n"), "encoder.dropout is '1', expected a number >= 0 and < 1");
  expect_contains(message("[encoder]\ndropout = nan\n"), "expected a number");
  expect_contains(message("[mixture]\nkind = even\n"), "expected one of proportional, uniform, temperature, explicit");
  expect_contains(message("[run]\ntasks = a,,b\n"), "expected names separated by commas");
}

TEST(Options, AMissingValueSaysWhatItIs) {
  expect_contains(error_of(Exit::config, [] { train({}).path("run.data"); }),
                  "--data is missing: The data set's folder");
  EXPECT_FALSE(train({}).has("run.data"));
  expect_contains(error_of(Exit::internal, [] { train({}).integer("run.stepz"); }), "unknown option 'run.stepz'");
}

TEST(Options, BytesHaveUnits) {
  EXPECT_EQ(parse_bytes("64MiB"), 64 << 20);
  EXPECT_EQ(parse_bytes("2 KiB"), 2048);
  EXPECT_EQ(parse_bytes("1GiB"), 1 << 30);
  EXPECT_EQ(parse_bytes("4096"), 4096);
  for (const char* wrong : {"", "MiB", "64MB", "-1", "1.5MiB", "9999999999GiB"})
    EXPECT_EQ(parse_bytes(wrong), -1) << wrong;
}

TEST(Options, WrittenAndReadBack) {
  const TemporaryFolder folder;
  const Config config =
      train({"--data", "d#1", "--run.tasks", "a,b", "--task.a.weight", "3", "--optimizer.lr", "1e-3"});
  const Config back = read_config(train_options(), folder.write("config.ini", config.ini()));
  EXPECT_TRUE(config.differences(back).empty());
  EXPECT_EQ(back.path("run.data"), std::filesystem::current_path() / "d#1");
  EXPECT_EQ(back.text("optimizer.lr"), "1e-3");
  EXPECT_EQ(back.number("task.a.weight"), 3);
  EXPECT_EQ(back.ini(), config.ini());
}

TEST(Options, AnnotatedSaysWhereFrom) {
  const std::string text = train({"--run.steps", "5"}).ini(true);
  expect_contains(text, "\n[encoder]\n");
  std::size_t found = 0;
  for (const IniEntry& entry : parse_ini(text, "x").entries)
    found += entry.key == "steps" && entry.value == "5" ? 1 : 0;
  EXPECT_EQ(found, 1U);
  const std::size_t steps = text.find("steps = 5");
  ASSERT_NE(steps, std::string::npos);
  expect_contains(text.substr(steps, text.find('\n', steps) - steps), "# command line");
}

TEST(Options, WrittenInQuotesWhereNeeded) {
  const TemporaryFolder folder;
  for (const char* value : {"/a #b", "/a ;b", "/\"a\"", "/a b", "/it's", "/#"}) {
    const std::string text = train({"--data", value, "--run.best", "'x'"}).ini();
    const Config back = read_config(train_options(), folder.write("config.ini", text));
    EXPECT_EQ(back.path("run.data"), value);
    EXPECT_EQ(back.text("run.best"), "'x'");
    EXPECT_EQ(back.ini(), text);
  }
}

TEST(Options, AValueThatAnIniFileCannotHoldIsRefused) {
  expect_contains(error_of(Exit::config, [] { train({"--data", "/a\nb"}).ini(); }), "run.data");
}

TEST(Options, AValueThatACommentCutsIsSaid) {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& line) {
    return train({"-c", folder.write("a.ini", "[run]\n" + line + "\n").string()});
  };
  EXPECT_TRUE(read("data = d # of many").warnings().empty());
  EXPECT_TRUE(read("data = d ## of many").warnings().empty());
  EXPECT_TRUE(read("data = \"d #2\"").warnings().empty());
  EXPECT_TRUE(read("steps = 5 #five").warnings().empty());
  ASSERT_EQ(read("data = d #2").warnings().size(), 1U);
  expect_contains(
      read("data = d ;2").warnings()[0],
      "a.ini:2: 'd ;2' is cut to 'd', as ';' after white space begins a comment; if it belongs to the value, "
      "put that in quotes: write data = \"d ;2\"");
  std::filesystem::create_directory(folder.path() / "set # 2");
  expect_contains(error_of(Exit::config, [&] { read("data = set # 2"); }),
                  "put it in quotes: write data = \"set # 2\"");
}

TEST(Options, NumbersAreReadAsPeopleWriteThem) {
  const Config config = train({"--optimizer.lr", "+1e-3", "--run.steps", "+60", "--optimizer.weight_decay", "1e-400"});
  EXPECT_EQ(config.number("optimizer.lr"), 1e-3);
  EXPECT_EQ(config.integer("run.steps"), 60);
  EXPECT_EQ(config.number("optimizer.weight_decay"), 0);
  expect_contains(train_error(Exit::config, {"--optimizer.lr", "1e999"}), "optimizer.lr is '1e999'");
}

TEST(Options, NamesOfOtherSystemsAreAnswered) {
  for (const auto& [given, meant] :
       {std::pair("--lr", "did you mean --optimizer.lr?"), std::pair("--batch_size", "did you mean --mixture.batch?"),
        std::pair("--batch-size", "did you mean --mixture.batch?"), std::pair("--epochs", "did you mean --run.steps?"),
        std::pair("--epochs", "counted in steps of mixture.batch samples"),
        std::pair("--learning_rate", "did you mean --optimizer.lr?"),
        std::pair("--output_dir", "did you mean --run-dir?"), std::pair("--run_dir", "did you mean --run-dir?"),
        std::pair("--gpus", "mpirun -n 4 polyhead train"),
        std::pair("--label_smoothing_factor", "did you mean --task.NAME.label_smoothing?"),
        std::pair("--pretrained", "did you mean --encoder.from?")})
    expect_contains(train_error(Exit::usage, {given, "5"}), meant);
  const TemporaryFolder folder;
  expect_contains(train_error(Exit::config, {"-c", folder.write("a.ini", "[optimizer]\nlearning_rate = 1\n").string()}),
                  "a.ini:2: [optimizer] has no key 'learning_rate' (did you mean --optimizer.lr?)");
  expect_contains(error_of(Exit::usage,
                           [] {
                             parse_options("predict", predict_options(), {"--batch_size", "5"});
                           }),
                  "did you mean --batch?");
}

TEST(Options, AFileOfAnotherCommandSaysWhatItIs) {
  const TemporaryFolder folder;
  for (const char* text : {"[dataset]\nname = x\n", "[task.a]\nkind = tagging\n"})
    expect_contains(train_error(Exit::config, {"-c", folder.write("d.ini", text).string()}),
                    "this file is an import description; create a data set from it with 'polyhead import -c ");
  expect_contains(
      error_of(
          Exit::config,
          [&] {
            parse_options("import", import_options(), {"-c", folder.write("t.ini", "[run]\nsteps = 5\n").string()});
          }),
      "this file configures a training run; use it with 'polyhead train -c'");
}

TEST(Options, DifferencesAreOfIdentityKeysByValue) {
  const Config a = train({"--run.seed", "1", "--optimizer.lr", "5e-4", "--run.tasks", "a, b", "--run.threads", "2"});
  const Config same =
      train({"--optimizer.lr", "0.0005", "--run.tasks", "a,b", "--run.stop_at", "3", "--task.a.weight", "1.0"});
  EXPECT_TRUE(a.differences(same).empty());
  const Config other = train({"--run.seed", "2", "--run.tasks", "a,b", "--task.a.rate", "2"});
  EXPECT_EQ(a.differences(other), (Words{"run.seed: 1 there, 2 here", "task.a.rate: not given there, 2 here"}));
}

TEST(Options, TasksThatAreKept) {
  Config config = train({"--task.a.weight", "2", "--task.b.weight", "3"});
  config.keep_tasks({"c", "b"});
  ASSERT_EQ(config.tasks().size(), 2U);
  EXPECT_EQ(config.tasks()[0].name, "c");
  EXPECT_EQ(config.number("task.b.weight"), 3);
  EXPECT_EQ(config.number("task.a.weight"), 1);
}

TEST(Options, HelpShowsEveryOption) {
  const std::string help = help_text("train", "Trains.", train_options());
  for (const Option& option : train_options()) expect_contains(help, std::string(option.key));
  expect_contains(help, "--run.steps");
  expect_contains(help, "--task.NAME.weight");
  expect_contains(help, "--run.data, --data");
  expect_contains(help, "[1000]");
  expect_contains(help, "Needs balance.method = static or stch or aligned_mtl or upgrad or dual_proj. [1]");
  expect_contains(help, "Needs kind = regression and loss = huber. [1]");
  expect_contains(help_text("predict", "", predict_options()), "Needs --beam above 1. [0.6]");
}

TEST(Options, EveryDefaultIsAllowed) {
  const TemporaryFolder folder;
  const std::string text = train({"--task.x.weight", "1"}).ini();
  EXPECT_EQ(read_config(train_options(), folder.write("c.ini", text)).ini(), text);
}

TEST(Nearest, PrefixThenDistance) {
  EXPECT_EQ(nearest("ste", {"seed", "steps"}), "steps");
  EXPECT_EQ(nearest("sead", {"seed", "steps"}), "seed");
  EXPECT_EQ(nearest("banana", {"seed", "steps"}), "");
  EXPECT_EQ(nearest("x", {"ab"}), "");
  EXPECT_EQ(nearest("", {"ab"}), "");
}

}  // namespace
}  // namespace polyhead
