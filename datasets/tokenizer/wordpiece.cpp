// WordPiece as in BERT: cleans the text, splits it at spaces, punctuation and CJK characters, and matches the longest
// pieces first.
#include "datasets/tokenizer/wordpiece.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json_text.h"

namespace polyhead {
namespace {

using Code = utf8proc_int32_t;

constexpr std::size_t kMaxWord = 100;  // characters; longer words become unk, as in BERT's own tokenizer

bool is_space(Code c) {
  const auto category = utf8proc_category(c);
  return c == '\t' || c == '\n' || c == '\r' || category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

// Characters that are removed: control, format and private use. Unassigned characters are kept, because a later version
// of Unicode may assign them.
bool is_control(Code c) {
  const auto category = utf8proc_category(c);
  return c == 0 || c == 0xfffd || category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_CS || category == UTF8PROC_CATEGORY_CO;
}

bool is_punctuation(Code c) {
  if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126)) return true;
  const auto category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool is_cjk(Code c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
         (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b820 && c <= 0x2ceaf) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

void append(std::string& text, Code c) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto size = utf8proc_encode_char(c, bytes.data());
  text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(size));
}

// Returns the characters of a text, with U+FFFD for each byte that is not UTF-8.
std::vector<Code> characters(std::string_view text) {
  std::vector<Code> out;
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    Code c = 0xfffd;
    utf8proc_ssize_t used = utf8proc_iterate(at, left, &c);
    if (used <= 0) used = 1, c = 0xfffd;
    out.push_back(c);
    at += used;
    left -= used;
  }
  return out;
}

class WordPiece : public Tokenizer {
 public:
  WordPiece(const std::filesystem::path& file, TokenizerInfo& info) {
    std::string_view rest = content_ = read_file(file);
    while (!rest.empty()) {
      std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.ends_with('\r')) line.remove_suffix(1);
      ids_.emplace(line, static_cast<std::int64_t>(pieces_.size()));
      pieces_.push_back(line);
      // An upper-case letter without a lower-case form (such as ℝ, which uncased vocabularies contain) does not count.
      if (!line.starts_with('['))
        for (const Code c : characters(line))
          lower_ = lower_ && (utf8proc_category(c) != UTF8PROC_CATEGORY_LU || utf8proc_tolower(c) == c);
    }
    if (info.lowercase == lower_) info.lowercase.reset();
    lower_ = info.lowercase.value_or(lower_);
    const auto id = [&](const char* piece) {
      const auto found = ids_.find(piece);
      if (found == ids_.end())
        throw Error(
            Exit::data,
            fmt::format("the WordPiece vocabulary {} with {} lines lacks {}; give a vocab.txt of the BERT family, "
                        "one piece a line",
                        file.string(), pieces_.size(), piece));
      return found->second;
    };
    info.kind = "wordpiece";
    info.vocab_size = static_cast<std::int64_t>(pieces_.size());
    info.pad = id("[PAD]"), info.unk = id("[UNK]"), info.bos = id("[CLS]"), info.eos = id("[SEP]"),
    info.mask = id("[MASK]");
    unk_ = info.unk;
    special_ = {info.pad, info.bos, info.eos, info.mask};
  }

  std::vector<std::int64_t> encode(std::string_view text) const override { return encode_with_characters(text).ids; }

  EncodedText encode_with_characters(std::string_view text) const override {
    EncodedText out;
    Word word;
    const auto flush = [&] {
      if (!word.text.empty()) match(word, out);
      word = {};
    };
    std::uint32_t at = 0;
    for (const Code raw : characters(text)) {
      const CharacterRange here = {at, at + 1};
      ++at;
      if (is_space(raw)) {
        flush();
        continue;
      }
      if (is_control(raw)) continue;
      const bool alone = is_cjk(raw);
      if (alone) flush();
      const std::vector<Code> folded = fold(raw);
      if (folded.empty() && !word.from.empty()) word.from.back().end = here.end;  // an accent of the last character
      for (const Code c : folded) {
        const bool mark = !alone && is_punctuation(c);
        if (mark) flush();
        append(word.text, c);
        word.from.resize(word.text.size(), here);
        if (mark) flush();
      }
      if (alone) flush();
    }
    flush();
    return out;
  }

  std::string piece(std::int64_t id) const override { return std::string(pieces_[static_cast<std::size_t>(id)]); }

  std::string decode(std::span<const std::int64_t> ids) const override {
    std::string text;
    for (const std::int64_t id : ids) {
      if (id < 0 || id >= static_cast<std::int64_t>(pieces_.size()) ||
          std::find(special_.begin(), special_.end(), id) != special_.end())
        continue;
      std::string_view piece = pieces_[static_cast<std::size_t>(id)];
      if (piece.starts_with("##"))
        piece.remove_prefix(2);
      else if (!text.empty())
        text += ' ';
      text += piece;
    }
    return text;
  }

 private:
  // Returns the character, or its lower-case form decomposed and without combining marks.
  std::vector<Code> fold(Code c) const {
    if (!lower_) return {c};
    std::array<Code, 32> parts{};
    int boundary = 0;
    const auto count =
        utf8proc_decompose_char(utf8proc_tolower(c), parts.data(), parts.size(), UTF8PROC_DECOMPOSE, &boundary);
    std::vector<Code> out;
    for (utf8proc_ssize_t i = 0; i < std::min<utf8proc_ssize_t>(count, parts.size()); ++i)
      if (const Code part = parts[static_cast<std::size_t>(i)]; utf8proc_category(part) != UTF8PROC_CATEGORY_MN)
        out.push_back(part);
    return out;
  }

  struct Word {
    std::string text;
    std::vector<CharacterRange> from;  // of each byte, the characters that it comes from
  };

  // Matches the longest piece first, repeatedly. If a rest does not match any piece, the whole word becomes one unk.
  void match(const Word& whole, EncodedText& out) const {
    const std::string_view word = whole.text;
    const auto count = static_cast<std::size_t>(
        std::count_if(word.begin(), word.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
    EncodedText found;
    std::string piece;
    std::size_t first = 0;
    while (count <= kMaxWord && first < word.size()) {
      std::size_t last = word.size();
      for (; last > first; --last) {
        if (last < word.size() && (static_cast<unsigned char>(word[last]) & 0xc0) == 0x80) continue;
        piece.assign(first > 0 ? "##" : "");
        piece += word.substr(first, last - first);
        if (const auto at = ids_.find(piece); at != ids_.end()) {
          found.ids.push_back(at->second);
          found.characters.push_back({whole.from[first].begin, whole.from[last - 1].end});
          break;
        }
      }
      if (last == first) break;
      first = last;
    }
    if (first < word.size()) found = {{unk_}, {{whole.from.front().begin, whole.from.back().end}}};
    out.ids.insert(out.ids.end(), found.ids.begin(), found.ids.end());
    out.characters.insert(out.characters.end(), found.characters.begin(), found.characters.end());
  }

  std::string content_;
  std::vector<std::string_view> pieces_;
  std::unordered_map<std::string_view, std::int64_t> ids_;
  std::array<std::int64_t, 4> special_{};
  std::int64_t unk_ = 0;
  bool lower_ = true;
};

}  // namespace

bool implied_lowercase(const std::filesystem::path& file) {
  TokenizerInfo info;
  info.lowercase = true;
  load_wordpiece(file, info);
  return !info.lowercase.has_value();
}

std::optional<bool> stated_lowercase(const std::filesystem::path& vocabulary) {
  const std::filesystem::path file = vocabulary.parent_path() / "tokenizer_config.json";
  if (!std::filesystem::exists(file)) return std::nullopt;
  try {
    const auto config = parse_json<nlohmann::json>(read_file(file));
    const auto found = config.find("do_lower_case");
    if (found == config.end() || !found->is_boolean()) return std::nullopt;
    return found->get<bool>();
  } catch (const JsonError& error) {
    throw Error(Exit::data, fmt::format("{}, next to the vocabulary, {}; correct it, or move the vocabulary elsewhere",
                                        file.string(), error.what()));
  }
}

std::unique_ptr<Tokenizer> load_wordpiece(const std::filesystem::path& file, TokenizerInfo& info) {
  return std::make_unique<WordPiece>(file, info);
}

}  // namespace polyhead
