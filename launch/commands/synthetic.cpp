// polyhead synthetic: JSONL files of planted tasks.
#include "datasets/synthetic.h"

#include <cstdio>

#include "launch/commands/commands.h"

namespace polyhead {

std::span<const Option> synthetic_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {"", "out", path, "", "The folder for TASK.SPLIT.jsonl and synthetic.ini."},
      {"", "seed", integer, "1", "The same seed gives the same bytes.", false, ">=0"},
      {"", "train", integer, "2000", "Samples of train for each task.", false, ">=1"},
      {"", "valid", integer, "200", "Samples of valid for each task.", false, ">=1"},
      {"", "test", integer, "200", "Samples of test for each task.", false, ">=1"},
  };
  return table;
}

int run_synthetic(const Config& config, Communicator&) {
  const auto count = [&](const char* name) { return static_cast<std::uint64_t>(config.integer(name)); };
  const auto folder = config.path("out");
  write_synthetic(folder,
                  {.seed = count("seed"), .train = count("train"), .valid = count("valid"), .test = count("test")});
  std::fprintf(stderr, "wrote planted tasks; next: polyhead import -c %s --out DIR\n",
               (folder / "synthetic.ini").c_str());
  return 0;
}

}  // namespace polyhead
