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

TEST(Ini, AValueInQuotesHoldsAnything) {
  const IniFile ini = parse_ini(
      "[a]\nk = \"set #2/t.jsonl\" # a comment\nl = 'x ; y'\nm = \"say \"\"hi\"\"\"\nn = \"\"\no='tis # gone\n"
      "p = 'a', 'b'\nq = \"x=y\"\nr = a \"b\" c\ns = \" blank \"",
      "f.ini");
  ASSERT_EQ(ini.entries.size(), 9U);
  const auto value = [&](std::size_t i) { return ini.entries[i].value; };
  EXPECT_EQ(value(0), "set #2/t.jsonl");
  EXPECT_EQ(value(1), "x ; y");
  EXPECT_EQ(value(2), "say \"hi\"");
  EXPECT_EQ(value(3), "");
  EXPECT_EQ(value(4), "'tis");
  EXPECT_EQ(value(5), "'a', 'b'");
  EXPECT_EQ(value(6), "x=y");
  EXPECT_EQ(value(7), "a \"b\" c");
  EXPECT_EQ(value(8), " blank ");
  EXPECT_EQ(ini.entries[0].whole, "");
  EXPECT_EQ(ini.entries[4].whole, "'tis # gone");
}

TEST(Ini, WhatIsWrittenIsReadBack) {
  for (const char* value :
       {"plain", "", "a#b", "a #b", "a ;b", "\"", "\"a\" b", " a", "a ", "'x'", "it's", "#", "x = y"})
    EXPECT_EQ(parse_ini("[s]\nk = " + ini_value(value, "k"), "f.ini").entries.at(0).value, value);
  EXPECT_EQ(ini_value("a#b", "k"), "a#b");
  EXPECT_EQ(ini_value("a #\"b", "k"), "\"a #\"\"b\"");
  expect_contains(error_of(Exit::config, [] { ini_value("a\nb", "run.data"); }), "run.data: the value");
}

TEST(Ini, ErrorsNameFileAndLine) {
  const auto message = [](const char* text) { return error_of(Exit::config, [&] { parse_ini(text, "f.ini"); }); };
  expect_contains(message("[a]\n[run\n"), "f.ini:2: '[run' opens a section without closing it");
  expect_contains(message("[ ]\n"), "f.ini:1: '[]' is a section without a name");
  expect_contains(message("[a]\n\nsteps 5\n"), "f.ini:3: 'steps 5' is neither a [section] nor 'key = value'");
  expect_contains(message("[a]\n = 5\n"), "f.ini:2: '= 5' has no key");
  expect_contains(message("x = 5\n"), "f.ini:1: 'x' is before the first [section]");
  expect_contains(message("[a]\nx = \"y\n"), "f.ini:2: the quote in \"y is not closed");
  expect_contains(message("[a]\nx = \"y\" z\n"), "f.ini:2: text follows the closing quote");
  expect_contains(message("[a]\nx=1\ny=2\nx=3\n"), "f.ini:4: 'x' of [a] is given twice, first in line 2");
}

TEST(Ini, AMissingFileAndAFolderAreErrors) {
  const testing::TemporaryFolder folder;
  expect_contains(error_of(Exit::config, [&] { read_ini(folder.path() / "no.ini"); }), "no.ini: there is no such file");
  expect_contains(error_of(Exit::config, [&] { read_ini(folder.path()); }), "it is not a file");
}

}  // namespace
}  // namespace polyhead
