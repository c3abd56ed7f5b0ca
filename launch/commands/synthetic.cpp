// polyhead synthetic: writes JSONL files of synthetic tasks.
#include "datasets/import/synthetic.h"

#include <cstdio>

#include "launch/commands/commands.h"

namespace polyhead {

std::span<const Option> synthetic_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {.key = "out", .type = path, .help = "The folder to write TASK.SPLIT.jsonl and synthetic.ini to."},
      {.key = "seed",
       .type = integer,
       .value = "1",
       .help = "Random seed. The same seed gives the same bytes.",
       .allowed = ">=0"},
      {.key = "train", .type = integer, .value = "2000", .help = "Number of train samples per task.", .allowed = ">=1"},
      {.key = "valid", .type = integer, .value = "200", .help = "Number of valid samples per task.", .allowed = ">=1"},
      {.key = "test", .type = integer, .value = "200", .help = "Number of test samples per task.", .allowed = ">=1"},
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
