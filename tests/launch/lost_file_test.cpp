// A mapped shard that another program truncates.
#include "launch/signals.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/base/files.h"
#include "datasets/file_pool.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

TEST(LostFile, EndsTheProcessWithAWordAndACode) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = folder.write("0.h5", std::string(3 << 20, 'x'));
  const auto read_what_is_gone = [&] {
    catch_lost_files();
    const OpenFile mapped(file, true);
    std::filesystem::resize_file(file, 4096);
    volatile std::byte gone = mapped.map()[2 << 20];
    (void)gone;
  };
  EXPECT_EXIT(read_what_is_gone(), ::testing::ExitedWithCode(65), "the shard .*0.h5 became shorter");
  EXPECT_EQ(mapped_file_at(&file), nullptr);
}

}  // namespace
}  // namespace polyhead
