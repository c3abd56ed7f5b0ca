// If workers have found different teachers, all of them report it.
#include "distributed/worker/teacher.h"

#include <gtest/gtest.h>

#include "tests/distributed/world.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

TEST(Teachers, WorkersThatFindOtherWeightsSaySo) {
  const auto teacher = [](const std::string& hash) {
    TeacherOptions options;
    options.run_dir = "/runs/old";
    options.hash = hash;
    return options;
  };
  std::map<std::string, TeacherOptions> teachers = {{"news", teacher("12")}, {"tags", teacher("34")}};
  EXPECT_NO_THROW(agree_on_teachers(teachers, world()));
  EXPECT_NO_THROW(agree_on_teachers({}, world()));
  if (world().size() == 1) return;
  if (world().rank() == world().size() - 1) teachers["tags"].hash = "56";
  const std::string said = testing::error_of(Exit::config, [&] { agree_on_teachers(teachers, world()); });
  testing::expect_contains(said, "task tags: its teacher /runs/old has other weights on worker " +
                                     std::to_string(world().size() - 1) + " than on worker 0");
  testing::expect_contains(said, "task.tags.teacher_checkpoint");
}

}  // namespace
}  // namespace polyhead
