// The INI line reader: comments, lines, and every error.
#include "launch/ini.h"

#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::error_of;
using testing::expect_contains;

TEST(Ini, ReadsSectionsKeysAndLines) {
  const IniFile ini = parse_ini(
      "\xef\xbb\xbf# first\r\n[run]\r\n steps = 5 # of many\r\n\n[empty]\n[task.en-it]\nname=a#b;c\nx =\n", "f.ini");
  ASSERT_EQ(ini.sections.size(), 3U);
  EXPECT_EQ(ini.sections[1].name, "empty");
  EXPECT_EQ(ini.sections[2].line, 6);
  ASSERT_EQ(ini.entries.size(), 3U);
  EXPECT_EQ(ini.entries[0].section, "run");
  EXPECT_EQ(ini.entries[0].key, "steps");
  EXPECT_EQ(ini.entries[0].value, "5");
  EXPECT_EQ(ini.entries[0].line, 3);
  EXPECT_EQ(ini.entries[1].value, "a#b;c");
  EXPECT_EQ(ini.entries[1].line, 7);
  EXPECT_EQ(ini.entries[2].value, "");
}

TEST(Ini, ASectionMayBeContinued) {
  const IniFile ini = parse_ini("[a]\nx=1\n[b]\n[a]\ny=2", "f.ini");
  EXPECT_EQ(ini.sections.size(), 2U);
  EXPECT_EQ(ini.entries[1].section, "a");
}

TEST(Ini, CommentsBeginAtTheLineOrAfterSpace) {
  const IniFile ini = parse_ini("; x\n  # y\n[a]\nk = v ; w\nu = #z\n", "f.ini");
  ASSERT_EQ(ini.entries.size(), 2U);
  EXPECT_EQ(ini.entries[0].value, "v");
  EXPECT_EQ(ini.entries[1].value, "");
}

TEST(Ini, ErrorsNameFileAndLine) {
  const auto message = [](const char* text) { return error_of(Exit::config, [&] { parse_ini(text, "f.ini"); }); };
  expect_contains(message("[a]\n[run\n"), "f.ini:2: '[run' opens a section without closing it");
  expect_contains(message("[ ]\n"), "f.ini:1: '[]' is a section without a name");
  expect_contains(message("[a]\n\nsteps 5\n"), "f.ini:3: 'steps 5' is neither a [section] nor 'key = value'");
  expect_contains(message("[a]\n = 5\n"), "f.ini:2: '= 5' has no key");
  expect_contains(message("x = 5\n"), "f.ini:1: 'x' stands before the first [section]");
  expect_contains(message("[a]\nx=1\ny=2\nx=3\n"), "f.ini:4: 'x' of [a] is given twice, first in line 2");
}

TEST(Ini, AMissingFileAndAFolderAreErrors) {
  const testing::TemporaryFolder folder;
  expect_contains(error_of(Exit::config, [&] { read_ini(folder.path() / "no.ini"); }), "no.ini: there is no such file");
  expect_contains(error_of(Exit::config, [&] { read_ini(folder.path()); }), "it is not a file");
}

}  // namespace
}  // namespace polyhead
