// A temporary folder for a test, and a check that a call throws an Error with certain words.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/temporary_folder.h"

namespace polyhead {

class FolderTest : public ::testing::Test {
 protected:
  const TemporaryFolder temporary_{"test"};
  std::filesystem::path folder_ = temporary_.path();
};

inline void expect_error(Exit code, const std::vector<std::string>& words, const std::function<void()>& call) {
  try {
    call();
    ADD_FAILURE() << "no error; expected: " << words.front();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& word : words)
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos)
          << "'" << word << "' is not in: " << error.what();
  }
}

}  // namespace polyhead
