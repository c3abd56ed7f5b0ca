// Checkpoints of several workers: each worker loads its part of what another one wrote, and damage is found by the
// workers that read it.
#include "distributed/checkpoint/save.h"

#include "distributed/checkpoint/load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <optional>

#include "tests/distributed/world.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::error_of;
using testing::expect_contains;
using testing::TemporaryFolder;

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    description_.encoder = {.layers = 1, .dim = 8, .heads = 2, .ffn = 8};
    description_.tokenizer.kind = "wordpiece";
    description_.tokenizer.vocab_size = 10;
    for (const auto& [name, kind] : {std::pair("a", Kind::classification), std::pair("b", Kind::tagging)}) {
      TrainedTask& task = description_.tasks.emplace_back();
      task.name = name;
      task.kind = kind;
      task.labels = {"x", "y"};
    }
    // Rank 0's folder, seen by all.
    if (world().rank() == 0) folder_.emplace();
    run_dir_ = world().all_gather_strings("folder", folder_ ? folder_->path().string() : "").front();
  }
  ~CheckpointTest() override { world().barrier("folder"); }

  // Task a lives on rank 0, task b on the last rank.
  std::vector<std::size_t> held() const {
    std::vector<std::size_t> tasks;
    if (world().rank() == 0) tasks.push_back(0);
    if (world().rank() == world().size() - 1) tasks.push_back(1);
    return tasks;
  }
  std::unique_ptr<Model> model(std::uint64_t seed) const {
    auto made = build_model(description_, held());
    made->finish(seed, torch::kFloat32);
    return made;
  }
  // A checkpoint of the model with seed 1 after some steps.
  CheckpointState save() {
    const auto saved = model(1);
    Optimizers optimizers(*saved);
    optimizers.encoder.steps = 7;
    optimizers.encoder.mean.fill_(2);
    for (auto& [task, optimizer] : optimizers.heads) optimizer.steps = 5 + task, optimizer.square.fill_(3);
    CheckpointState state;
    state.model = description_;
    state.step = 7;
    state.mixture = {{.step = 1, .quota = {2, 2}, .first = {0, 0}}};
    state.parameter_hash = parameter_hash(*saved, description_, held(), world());
    CheckpointStore store(run_dir_);
    const Saved done = save_checkpoint(store, state, *saved, optimizers, held(), 2, world());
    EXPECT_EQ(done.error, "");
    checkpoint_ = done.folder;
    return state;
  }
  // Changes one byte in the middle of a file.
  void flip(const std::string& name) const {
    std::fstream file(checkpoint_ / name, std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(std::filesystem::file_size(checkpoint_ / name) / 2);
    file.seekg(middle);
    const auto byte = static_cast<char>(file.get() ^ 1);
    file.seekp(middle).put(byte);
  }
  // The same by rank 0, for all.
  void damage(const std::string& name) const {
    world().barrier("before damage");
    if (world().rank() == 0) flip(name);
    world().barrier("after damage");
  }

  ModelDescription description_;
  std::optional<TemporaryFolder> folder_;
  std::filesystem::path run_dir_, checkpoint_;
};

TEST_F(CheckpointTest, EveryWorkerLoadsWhatItHolds) {
  const CheckpointState saved = save();
  const CheckpointState state = verify_checkpoint(checkpoint_);
  EXPECT_EQ(state.files, saved.files);
  EXPECT_EQ(state.files.size(), 6U);
  EXPECT_EQ(state.parameter_hash, saved.parameter_hash);
  const auto loaded = model(2);
  Optimizers optimizers(*loaded);
  EXPECT_NE(parameter_hash(*loaded, description_, held(), world()), saved.parameter_hash);
  load_checkpoint(checkpoint_, state, *loaded, &optimizers);
  EXPECT_EQ(parameter_hash(*loaded, description_, held(), world()), saved.parameter_hash);
  EXPECT_EQ(optimizers.encoder.steps, 7);
  for (const std::size_t task : held()) EXPECT_EQ(optimizers.heads.at(task).steps, task == 0 ? 5 : 6);
  for (const Parameter& parameter : loaded->encoder().arena().parameters())
    EXPECT_EQ(optimizers.encoder.mean[parameter.offset].item<float>(), 2) << parameter.name;
}

TEST_F(CheckpointTest, DamageIsFoundByTheWorkersThatLoadTheFile) {
  save();
  const CheckpointState state = read_checkpoint_state(checkpoint_);
  const auto expect_damage = [&](const std::string& name, bool concerned, bool moments) {
    damage(name);
    expect_contains(error_of(Exit::data, [&] { verify_checkpoint(checkpoint_); }), name + ": its content has changed");
    const auto loaded = model(2);
    Optimizers optimizers(*loaded);
    const auto load = [&] { load_checkpoint(checkpoint_, state, *loaded, moments ? &optimizers : nullptr); };
    if (concerned)
      expect_contains(error_of(Exit::data, load), (checkpoint_ / name).string() + ": its content has changed");
    else
      EXPECT_NO_THROW(load());
    damage(name);  // the same bit again: whole
  };
  const auto holds = [&](std::size_t task) { return std::ranges::count(held(), task) > 0; };
  expect_damage("head.b.safetensors", holds(1), false);
  expect_damage("head.a.optimizer.safetensors", holds(0), true);
  expect_damage("head.a.optimizer.safetensors", false, false);
  expect_damage("encoder.safetensors", true, false);
  EXPECT_NO_THROW(verify_checkpoint(checkpoint_));
}

TEST_F(CheckpointTest, DamageAfterACheckpointWasFoundWholeIsNoticed) {
  save();
  if (world().rank() != 0) return;
  CheckpointStore store(run_dir_);
  std::vector<std::string> warnings;
  const auto damage_it = [&](const CheckpointState&) { flip("encoder.safetensors"); };  // it has been verified by then
  ASSERT_NE(store.find(damage_it, warnings), nullptr);
  EXPECT_TRUE(warnings.empty());
  const std::filesystem::path beside = store.begin(8);
  std::filesystem::copy(checkpoint_, beside, std::filesystem::copy_options::recursive);
  store.publish(beside, 8, {}, 2, warnings);
  ASSERT_EQ(warnings.size(), 1U);
  expect_contains(warnings[0], "encoder.safetensors: its content has changed");
  expect_contains(warnings[0], "renamed to step-000007.damaged");
}

TEST_F(CheckpointTest, AFileThatTheStateDoesNotNameIsNotLoaded) {
  CheckpointState state = save();
  state.files.erase("encoder.safetensors");
  const auto loaded = model(2);
  expect_contains(error_of(Exit::data, [&] { load_checkpoint(checkpoint_, state, *loaded, nullptr); }),
                  "encoder.safetensors: it is not listed in the checkpoint's state.json");
}

}  // namespace
}  // namespace polyhead
