// Shared by the tests of launch/: a temporary folder for a test, and the message of an error that a call throws.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/error.h"
#include "core/base/temporary_folder.h"

namespace polyhead::testing {

// A folder of a test.
class TemporaryFolder : public polyhead::TemporaryFolder {
 public:
  TemporaryFolder() : polyhead::TemporaryFolder("test") {}

  std::filesystem::path write(const std::string& name, const std::string& content) const {
    std::ofstream(path() / name, std::ios::binary) << content;
    return path() / name;
  }
};

// Calls `body`, which must throw Error with this code; returns its message.
template <class Body>
std::string error_of(Exit code, Body body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

inline void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in '" << text << "'";
}

}  // namespace polyhead::testing
