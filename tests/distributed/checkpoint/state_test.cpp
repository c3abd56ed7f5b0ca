// state.json: every field is read within its bounds, every changed bit is found, and earlier versions are read.
#include "distributed/checkpoint/state.h"

#include <gtest/gtest.h>

#include <random>

#include <nlohmann/json.hpp>

#include "core/base/hash.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using nlohmann::json;
using testing::error_of;
using testing::expect_contains;

CheckpointState some_state() {
  CheckpointState state;
  state.model.encoder = {.layers = 1, .dim = 8, .heads = 2, .ffn = 8};
  state.model.tokenizer.kind = "wordpiece";
  state.model.tokenizer.file = "vocab.txt";
  state.model.tokenizer.vocab_size = 10;
  for (const char* name : {"a", "my task"}) {
    TrainedTask& task = state.model.tasks.emplace_back();
    task.name = name;
    task.labels = {"x", "y"};
  }
  state.step = 20;
  state.ids_hash = 0x1234'5678'9abc'def0;
  state.parameter_hash = 0xfedc'ba98'7654'3210;
  state.mixture = {{.step = 1, .quota = {12, 8}, .first = {0, 0}}, {.step = 11, .quota = {20, 0}, .first = {120, 80}}};
  state.validation.run = {.value = 0.5, .step = 10, .since = 1};
  state.validation.tasks["a"] = {.value = 1.25, .step = 20, .since = 0};
  state.validation.finished["my task"] = 10;
  state.fingerprint["threads"] = "2";
  for (const std::string& owner : checkpoint_owners(state.model)) {
    state.optimizer_steps[owner] = 20;
    for (const char* ending : {kWeightsFile, kOptimizerFile}) state.files[owner + ending] = to_hex(hash_bytes(owner));
  }
  return state;
}

std::string text_of(const CheckpointState& state) {
  return to_json(state, 2);
}

// The text without its hash, as earlier versions wrote it, with one value changed.
std::string changed(const std::string& pointer, const json& value) {
  json in = json::parse(text_of(some_state()));
  in.erase("state_hash");
  in[json::json_pointer(pointer)] = value;
  return in.dump(1) + "\n";
}

TEST(CheckpointState, IsReadAsItWasWritten) {
  const CheckpointState state = some_state();
  const std::string text = text_of(state);
  const CheckpointState read = checkpoint_state_from_json(text, "state.json");
  EXPECT_EQ(text_of(read), text);
  EXPECT_EQ(read.mixture, state.mixture);
  EXPECT_EQ(read.validation, state.validation);
  EXPECT_EQ(json::parse(text).at("version"), 1);
}

TEST(CheckpointState, HoldsTheBestStepsOfSeveralValues) {
  CheckpointState state = some_state();
  EXPECT_EQ(best_pointers(state.validation), (std::map<std::string, std::int64_t>{{"best", 10}}));
  EXPECT_EQ(text_of(state).find("\"best\""), std::string::npos);
  state.validation.best = {{"a:loss", state.validation.run}, {"b/c:accuracy", {.value = 1, .step = 20, .since = 0}}};
  EXPECT_EQ(checkpoint_state_from_json(text_of(state), "state.json").validation, state.validation);
  EXPECT_EQ(best_pointers(state.validation),
            (std::map<std::string, std::int64_t>{{"best", 10}, {"best-a:loss", 10}, {"best-b%2Fc:accuracy", 20}}));
  json in = json::parse(text_of(state));
  in.erase("state_hash");
  in["validation"]["best"]["a:loss"]["step"] = 21;
  EXPECT_THROW(checkpoint_state_from_json(in.dump(1), "state.json"), Error);
}

TEST(CheckpointState, HoldsTheStateOfABalancerThatHasOne) {
  CheckpointState state = some_state();
  EXPECT_EQ(text_of(state).find("balancer"), std::string::npos);
  state.balance.balancer = R"({"weights": [0.5, 0.25]})";
  EXPECT_EQ(checkpoint_state_from_json(text_of(state), "state.json").balance.balancer, state.balance.balancer);
  expect_contains(error_of(Exit::data, [] { checkpoint_state_from_json(changed("/balancer", 7), "state.json"); }),
                  "state.json: it is not the state of a whole checkpoint: balancer is 7, expected a text");
}

TEST(CheckpointState, EveryBitOfItCounts) {
  const std::string whole = text_of(some_state());
  const auto expect_found = [&](const std::string& text, std::size_t at) {
    try {
      checkpoint_state_from_json(text, "state.json");
      ADD_FAILURE() << "not found at " << at << ": " << text.substr(at < 20 ? 0 : at - 20, 40);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data) << error.what();
      expect_contains(error.what(), "state.json: ");
    }
  };
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string text = whole;
    if (whole[at] >= '0' && whole[at] <= '9') {
      text[at] = whole[at] == '9' ? '0' : static_cast<char>(whole[at] + 1);
      expect_found(text, at);
    }
    text[at] = static_cast<char>(whole[at] ^ (1 << (at % 8)));
    expect_found(text, at);
  }
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) {
    const std::size_t at = random() % whole.size();
    std::string text = whole;
    text[at] = static_cast<char>(whole[at] ^ (1 << (random() % 8)));
    expect_found(text, at);
  }
  for (const std::size_t size : {std::size_t{0}, whole.size() / 2, whole.size() - 1})
    expect_found(whole.substr(0, size), 0);
  expect_found(whole + " ", 0);
}

TEST(CheckpointState, OfAnEarlierVersionHasNoHashOfItsOwn) {
  json in = json::parse(text_of(some_state()));
  for (const char* key : {"state_hash", "validation", "fingerprint", "workers"}) in.erase(key);
  const CheckpointState read = checkpoint_state_from_json(in.dump(), "state.json");
  EXPECT_EQ(read.step, 20);
  EXPECT_EQ(read.validation, ValidationState{});
}

TEST(CheckpointState, EachFieldHasBounds) {
  const json deep = json::parse(std::string(100, '[') + std::string(100, ']'));
  const std::vector<std::tuple<std::string, json, std::string>> cases = {
      {"/format", "polyhead", "format"},
      {"/version", 2, "version"},
      {"/step", -1, "step is -1"},
      {"/step", std::uint64_t{1} << 63, "step is 9223372036854775808"},
      {"/step", 1'000'000'000'000'000'000, "step is 1000000000000000000"},
      {"/step", 20.0, "step is 20.0"},
      {"/step", "20", "step is \"20\""},
      {"/step", deep, "lists and objects within each other"},
      {"/ids_hash", "123", "ids_hash"},
      {"/parameter_hash", "FEDCBA9876543210", "parameter_hash"},
      {"/mixture", json::array(), "mixture has 0 entries"},
      {"/mixture/0/step", 2, "mixture[0].step is 2"},
      {"/mixture/1/step", 1, "mixture[1].step is 1"},
      {"/mixture/0/quota/0", 1'000'000'000'000, "mixture[0].quota[0] is 1000000000000"},
      {"/mixture/0/quota/1", -1, "mixture[0].quota[1] is -1"},
      {"/mixture/0/quota/0", 13, "mixture[1].first[0] is 120"},
      {"/mixture/0/quota", {0, 0}, "mixture[0].quota is 0 for every task"},
      {"/mixture/1/quota/0", 19, "mixture[1].quota has 19 samples per step"},
      {"/mixture/0/first/0", -5, "mixture[0].first[0] is -5"},
      {"/mixture/1/first/1", std::int64_t{1} << 62, "mixture[1].first[1] is 4611686018427387904"},
      {"/mixture/0/quota", {20}, "mixture[0] has 1 quotas"},
      {"/mixture/0/more", 1, "mixture[0].more"},
      {"/validation/run/step", 21, "validation.run.step is 21"},
      {"/validation/run/value", nullptr, "validation.run.value"},
      {"/validation/finished/my task", -1, "validation.finished.my task is -1"},
      {"/fingerprint/threads", 2, "fingerprint.threads is 2"},
      {"/optimizer_steps/encoder", -1, "optimizer_steps.encoder is -1"},
      {"/optimizer_steps/encoder", 21, "optimizer_steps.encoder is 21"},
      {"/optimizer_steps/head.b", 1, "optimizer_steps.head.b"},
      {"/files/~1dev~1zero", "0123456789abcdef", "files./dev/zero"},
      {"/files/..~1x.safetensors", "0123456789abcdef", "files.../x.safetensors"},
      {"/files/encoder.safetensors", "0123456789abcdeg", "files.encoder.safetensors"},
      {"/files/encoder.ema.safetensors", "0123456789abcdef", "files.head.a.ema.safetensors is missing"},
      {"/workers", 0, "workers is 0"},
      {"/stephen", 1, "stephen"},
      {"/model", 1, "model"},
      {"/model/encoder/dim", 1'000'000'000, "model.encoder.dim is 1000000000"},
      {"/model/encoder/dim", 8.5, "model.encoder.dim is 8.5"},
      {"/model/encoder/layers", 1'000'000'000, "model.encoder.layers is 1000000000"},
      {"/model/encoder/layers", -1, "model.encoder.layers is -1"},
      {"/model/encoder/heads", 0, "model.encoder.heads is 0"},
      {"/model/encoder/share", "soft", "model.encoder.share is 'soft', expected one of hard"},
      {"/model/tokenizer/vocab_size", 1'000'000'000, "model.tokenizer.vocab_size is 1000000000"},
      {"/model/tokenizer/vocab_size", std::uint64_t{1} << 63, "model.tokenizer.vocab_size"},
      {"/model/tokenizer/file", "/dev/zero", "model.tokenizer.file is '/dev/zero'"},
      {"/model/tokenizer/file", "../vocab.txt", "model.tokenizer.file"},
      {"/model/tasks/0/name", "my task", "model.tasks has the name 'my task'"},
      {"/model/tasks/0/name", "../a", "optimizer_steps.head...%2Fa is missing"},
      {"/model/tasks/1/head/decoder_layers", 1'000'000'000, "model.tasks[1].head.decoder_layers is 1000000000"},
      {"/model/tasks/0/statistics/feature_width", -1, "model.tasks[0].statistics.feature_width is -1"}};
  for (const auto& [pointer, value, says] : cases) {
    const std::string text = changed(pointer, value);
    SCOPED_TRACE(pointer);
    expect_contains(error_of(Exit::data, [&] { checkpoint_state_from_json(text, "state.json"); }), says);
  }
}

TEST(CheckpointState, HugeOnesAreRefusedAtOnce) {
  const auto refused = [](const std::string& text) {
    return error_of(Exit::data, [&] { checkpoint_state_from_json(text, "state.json"); });
  };
  expect_contains(refused(std::string(1'000'000, '[')), "lists and objects within each other");
  std::string deep = R"({"model":)";
  for (int i = 0; i < 1'000'000; ++i) deep += R"({"a":)";
  expect_contains(refused(deep), "lists and objects within each other");
  std::string many = R"({"mixture":[{"step":1,"quota":[1],"first":[0]})";
  for (int i = 1; i < 1'000'000; ++i) many += R"(,{"step":1,"quota":[1],"first":[0]})";
  expect_contains(refused(many + "]}"), "mixture has a list of more than 100000 objects");
}

TEST(CheckpointState, NamesOfFolders) {
  EXPECT_EQ(checkpoint_name(120), "step-000120");
  EXPECT_EQ(checkpoint_name(12'345'678), "step-12345678");
  EXPECT_EQ(checkpoint_step("step-000120"), 120);
  EXPECT_EQ(checkpoint_step("step-12345678"), 12'345'678);
  for (const char* name :
       {"step-", "step-000120.bak", "step-000120.tmp", "step-00012x", "step--00120", "step-+00120", "step-120",
        "step-0000120", "step-000120 ", "Step-000120", "step-99999999999999999999", "latest", ""})
    EXPECT_FALSE(checkpoint_step(name)) << name;
}

}  // namespace
}  // namespace polyhead
