// Whether a vocabulary may put texts into Unicode's form KC, so that targets keep their characters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace polyhead {

// Of texts, by a vocabulary that is trained. automatic: nfkc, unless it replaces characters of translation targets.
enum class Normalization { automatic, nfkc, none };

// Counts the characters of targets that form KC replaces. White space does not count.
class TargetForms {
 public:
  void add(std::string_view target);
  void add(const TargetForms& other);
  // Whether the form replaces at most 0.02 % of the characters, the share of rare ones that a vocabulary leaves out
  // anyway.
  bool allow_nfkc() const;
  // Some of the characters that it replaces: "， ！ ½".
  const std::string& replaced() const { return replaced_; }

 private:
  std::uint64_t characters_ = 0, changed_ = 0;
  std::string replaced_;
  std::unordered_map<std::string, bool> known_;  // character -> whether it is replaced
};

}  // namespace polyhead
