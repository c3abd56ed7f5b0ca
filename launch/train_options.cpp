// The table of a training run's options, from the declarations of the structs.
#include "launch/train_options.h"

#include <algorithm>
#include <array>

#include "distributed/options.h"

namespace polyhead {
namespace {

constexpr std::array<std::string_view, 8> kSections = {"",          "run",     "encoder", "attention",
                                                       "optimizer", "mixture", "balance", "task"};

template <class Options>
void add(std::vector<Option>& table, std::string_view section) {
  Options defaults;
  add_rows(table, section, fields(defaults));
}

std::vector<Option> make_table() {
  using enum OptionType;
  std::vector<Option> table = {
      {.key = "config", .type = path, .help = "The configuration file (INI).", .alias = "c"},
      {.key = "print-config",
       .type = flag,
       .help = "Print the value of every option and where it came from, then exit."},
  };
  add<EncoderOptions>(table, "encoder");
  add<PretrainedWeights>(table, "encoder");
  add<AttentionOptions>(table, "attention");
  add<OptimizerOptions>(table, "optimizer");
  add<Mixture>(table, "mixture");
  add<MixtureOptions>(table, "mixture");
  add<BalancerOptions>(table, "balance");
  add<SurgeryOptions>(table, "balance");
  add<TrainOptions>(table, "run");
  add<LaunchOptions>(table, "run");
  add<InitialWeights>(table, "run");
  add<TaskOptions>(table, "task");
  add<LaunchTaskOptions>(table, "task");
  add<ValidationOptions::Task>(table, "task");
  add<HeadOptions>(table, "task");
  add<TeacherOptions>(table, "task");
  add<MaskingOptions>(table, "task");
  std::ranges::stable_sort(table, {},
                           [](const Option& option) { return std::ranges::find(kSections, option.section); });
  return table;
}

}  // namespace

std::span<const Option> train_options() {
  static const std::vector<Option> table = make_table();
  return table;
}

}  // namespace polyhead
