// Weights of samples need a head that uses them.
#include "distributed/worker/task_groups.h"

#include <gtest/gtest.h>

#include "core/heads/classification.h"
#include "tests/core/expect_error.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

// A head from outside of the source tree, which knows no weights.
struct PlainHead : ClassificationHead {
  using ClassificationHead::ClassificationHead;
  bool uses_weights() const override { return false; }
};

TEST(Weights, AHeadThatDoesNotUseThemIsRefused) {
  Manifest manifest;
  const std::vector<std::string> tasks = {"a", "b"};
  for (const std::string& name : tasks) manifest.tasks.emplace_back().name = name;
  SmallOptions options;
  Model model(options.encoder, options.attention, kVocabulary, 2, {});
  HeadSpec spec = small_spec(0, options);
  spec.options.head = "plain";
  model.add_head(0, std::make_unique<PlainHead>(spec));
  model.add_head(1, make_head(small_spec(0, options)));
  EXPECT_FALSE(check_weights(manifest, tasks, model));
  manifest.tasks[1].weights = true;
  EXPECT_TRUE(check_weights(manifest, tasks, model));
  manifest.tasks[0].weights = true;
  expect_error([&] { check_weights(manifest, tasks, model); }, Exit::config,
               {"task.a.head = plain", "does not use the weights of samples", "weights = no"});
  EXPECT_TRUE(check_weights(manifest, {"b"}, Model(options.encoder, options.attention, kVocabulary, 1, {})));
}

}  // namespace
}  // namespace polyhead
