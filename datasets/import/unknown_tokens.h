// Counts the tokens that the vocabulary does not know, and finds their words.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "datasets/tokenizer/tokenizer.h"

namespace polyhead {

class UnknownTokens {
 public:
  // tokens: those of `text`, which may be empty if it is not kept; place: for messages, "FILE line 3". Not thread-safe.
  void add(const Tokenizer& tokenizer, const TokenizerInfo& info, std::span<const std::int64_t> tokens,
           std::string_view text, std::string_view place);

  std::uint64_t tokens() const { return tokens_; }
  std::uint64_t unknown() const { return unknown_; }
  // Returns a warning if more than 5 % of the tokens are unknown: "12.5 % of the tokens of task 'x' are unknown to the
  // vocabulary, …", with the most frequent words; otherwise "". whose: "task 'x'".
  std::string warning(std::string_view whose) const;

 private:
  std::uint64_t tokens_ = 0, unknown_ = 0, looked_at_ = 0;
  std::map<std::string, std::uint64_t, std::less<>> words_;
  std::string first_;
};

}  // namespace polyhead
