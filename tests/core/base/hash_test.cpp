// Hashes: known values of xxh3-64, the rolling hash of a step's samples, hexadecimal forms.
#include "core/base/hash.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace polyhead {
namespace {

TEST(Hash, KnownValues) {
  // From the xxhash package of Python, xxh3_64.
  EXPECT_EQ(hash_bytes(""), 0x2d06800538d394c2ULL);
  EXPECT_EQ(hash_bytes("section"), 0x98fbc77397e0f195ULL);
  EXPECT_EQ(hash_bytes(std::string_view("section"), 7), 0xc3cdcc1288446687ULL);
  // Of a pointer and a number, the number is the size.
  EXPECT_EQ(hash_bytes("section with more", 7), 0x98fbc77397e0f195ULL);
  EXPECT_EQ(hash_id("section", 7), 0xc3cdcc1288446687ULL);
  EXPECT_EQ(roll_ids(1, 2), 0x07ee86c281446befULL);
}

TEST(Hash, ASumOfIdsDoesNotDependOnTheirOrder) {
  const std::uint64_t forward = hash_id("a", 1) + hash_id("a", 2) + hash_id("b", 1);
  EXPECT_EQ(forward, hash_id("b", 1) + hash_id("a", 2) + hash_id("a", 1));
  EXPECT_NE(forward, hash_id("a", 1) + hash_id("b", 2) + hash_id("b", 1));
  EXPECT_NE(roll_ids(roll_ids(0, 1), 2), roll_ids(roll_ids(0, 2), 1));
}

TEST(Hash, Hexadecimal) {
  EXPECT_EQ(to_hex(0x1fULL), "000000000000001f");
  EXPECT_EQ(to_hex(~0ULL), "ffffffffffffffff");
  for (const std::uint64_t value : {0ULL, 1ULL, 0x98fbc77397e0f195ULL, ~0ULL})
    EXPECT_EQ(from_hex(to_hex(value)), value);
}

TEST(Hash, OtherTextIsNoHash) {
  for (const char* text : {"", "1f", "000000000000001g", "0000000000000001f", "-00000000000001f", "0x0000000000001f",
                           " 00000000000001f"}) {
    try {
      from_hex(text);
      ADD_FAILURE() << "'" << text << "' was read as a hash";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data);
      EXPECT_NE(std::string(error.what()).find("16 hexadecimal digits"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace polyhead
