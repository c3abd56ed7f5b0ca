// Decides whether a vocabulary may convert texts to Unicode's form KC, without losing characters of translation
// targets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace polyhead {

// Normalization of texts by a vocabulary that is trained. automatic: nfkc, unless it replaces characters of translation
// targets.
enum class Normalization { automatic, nfkc, none };

// Counts the characters of targets that form KC replaces. White space does not count.
class TargetForms {
 public:
  void add(std::string_view target);
  void add(const TargetForms& other);
  // Whether the form replaces at most 0.02 % of the characters. A vocabulary leaves out about as many rare characters
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
