// A bounded, fair sample of the texts, to train a tokenizer. Its content and order depend only on the texts themselves.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/hash.h"

namespace polyhead {

// Keeps the texts with the smallest hashes, without duplicates.
class TextSample {
 public:
  void add(std::string&& text) {
    const std::uint64_t hash = hash_bytes(text);
    if (dropped_ && !texts_.empty() && hash > texts_.rbegin()->first) return;
    const std::size_t size = text.size();
    if (!texts_.try_emplace(hash, std::move(text)).second) return;
    bytes_ += size;
    while (texts_.size() > kTexts || bytes_ > kBytes) {
      const auto last = std::prev(texts_.end());
      bytes_ -= last->second.size();
      texts_.erase(last);
      dropped_ = true;
    }
  }
  bool empty() const { return texts_.empty(); }
  std::vector<std::string> take() {
    std::vector<std::string> all;
    for (auto& [hash, text] : texts_) all.push_back(std::move(text));
    texts_.clear();
    return all;
  }

 private:
  static constexpr std::size_t kTexts = 200'000;
  static constexpr std::size_t kBytes = 32ULL << 20;  // SentencePiece needs about 20 times as much memory
  std::map<std::uint64_t, std::string> texts_;
  std::size_t bytes_ = 0;
  bool dropped_ = false;
};

}  // namespace polyhead
