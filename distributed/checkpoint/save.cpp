// A save has three parts: begin, write, publish. After each part, all workers agree whether it succeeded.
#include "distributed/checkpoint/save.h"

#include <fmt/format.h>

#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "distributed/checkpoint/fence.h"
#include "distributed/checkpoint/writer.h"

namespace polyhead {

namespace fs = std::filesystem;
namespace {

// The outcome of one part of a save, equal on all workers.
struct Agreed {
  std::vector<std::string> said;  // by rank: what act() returned
  std::string error;              // of the first worker that failed; "": all succeeded
};

// Collective. Runs act(), and shares what it returns, or its Error(cannot_write), with all workers.
template <class Act>
Agreed agree(Communicator& world, const std::string& name, const Act& act) {
  std::string mine = "+";
  try {
    mine += act();
  } catch (const Error& error) {
    if (error.code() != Exit::cannot_write) throw;
    mine = "-" + std::string(error.what());
  }
  Agreed agreed;
  agreed.said = world.all_gather_strings(name, mine);
  for (std::size_t rank = 0; rank < agreed.said.size(); ++rank) {
    std::string& text = agreed.said[rank];
    if (text.starts_with('-') && agreed.error.empty())
      agreed.error = agreed.said.size() == 1 ? text.substr(1) : fmt::format("worker {}: {}", rank, text.substr(1));
    text.erase(0, 1);
  }
  return agreed;
}

}  // namespace

Saved save_checkpoint(CheckpointStore& store, CheckpointState& state, const Model& model, const Optimizers& optimizers,
                      const std::vector<std::size_t>& led, std::int64_t keep, Communicator& world) {
  const bool first = world.rank() == 0;
  const Agreed begun =
      agree(world, "checkpoint.begin", [&] { return first ? store.begin(state.step).string() : std::string(); });
  if (!begun.error.empty()) return {.folder = {}, .error = begun.error, .warnings = {}};
  const fs::path beside = begun.said.front();
  const auto failed = [&](const std::string& error) -> Saved {
    if (first) store.discard(beside);
    return {.folder = {}, .error = error, .warnings = {}};
  };

  const Snapshot snapshot = take_snapshot(model, optimizers, led, world);
  const Agreed written = agree(world, "checkpoint.files", [&] {
    std::string lines;  // "hash name"
    for (const auto& [name, hash] : write_snapshot(beside, snapshot)) lines += fmt::format("{} {}\n", hash, name);
    return lines;
  });
  if (!written.error.empty()) return failed(written.error);

  state.files.clear();
  for (const std::string& lines : written.said) {
    std::istringstream in(lines);
    for (std::string hash, name; in >> hash && std::getline(in.ignore(), name);) state.files[name] = hash;
  }
  state.optimizer_steps = snapshot.optimizer_steps;
  Saved saved;
  const Agreed published = agree(world, "checkpoint.end", [&]() -> std::string {
    if (!first) return "";
    write_file_atomically(beside / "state.json", to_json(state, world.size()));
    fence().check();  // checked again, because writing may have taken long
    return store.publish(beside, state.step, best_pointers(state.validation), keep, saved.warnings).string();
  });
  if (!published.error.empty()) return failed(published.error);
  saved.folder = published.said.front();
  return saved;
}

}  // namespace polyhead
