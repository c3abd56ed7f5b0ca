// polyhead synthetic: writes JSONL files of synthetic tasks.
#include "datasets/import/synthetic.h"

#include <cstdio>

#include "launch/commands/commands.h"

namespace polyhead {

std::span<const Option> synthetic_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {"", "out", path, "", "The folder to write TASK.SPLIT.jsonl and synthetic.ini to."},
      {"", "seed", integer, "1", "Random seed. The same seed gives the same bytes.", false, ">=0"},
      {"", "train", integer, "2000", "Number of train samples per task.", false, ">=1"},
      {"", "valid", integer, "200", "Number of valid samples per task.", false, ">=1"},
      {"", "test", integer, "200", "Number of test samples per task.", false, ">=1"},
  };
  return table;
}

int run_synthetic(const Config& config, Communicator&) {
  const auto count = [&](const char* name) { return static_cast<std::uint64_t>(config.integer(name)); };
  const auto folder = config.path("out");
  write_synthetic(folder,
                  {.seed = count("seed"), .train = count("train"), .valid = count("valid"), .test = count("test")});
  std::fprintf(stderr, "wrote synthetic tasks; next: polyhead import -c %s --out DIR\n",
               (folder / "synthetic.ini").c_str());
  return 0;
}

}  // namespace polyhead
