// Finds and reads the tokenizer in the folder of a pretrained model.
#include "datasets/tokenizer/pretrained.h"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/json_text.h"
#include "datasets/tokenizer/tokenizer.h"
#include "datasets/tokenizer/wordpiece.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

bool is_there(const fs::path& file) {
  std::error_code code;
  return fs::is_regular_file(file, code);
}

// tokenizer.json or tokenizer_config.json; null if there is no such file.
json read_json(const fs::path& file) {
  if (!is_there(file)) return {};
  try {
    json root = parse_json<json>(read_file(file));
    if (root.is_object()) return root;
  } catch (const JsonError& error) {
    throw Error(Exit::data, fmt::format("{} {}", file.string(), error.what()));
  }
  throw Error(Exit::data, fmt::format("{} is not a JSON object", file.string()));
}

// Returns root[key], or null where there is none.
json inner(const json& root, const char* key) {
  return root.is_object() && root.contains(key) ? root.at(key) : json();
}

// Returns root[key] if it is true or false.
std::optional<bool> choice_of(const json& root, const char* key) {
  const json value = inner(root, key);
  return value.is_boolean() ? std::optional(value.get<bool>()) : std::nullopt;
}

[[noreturn]] void refuse(const fs::path& file, const std::string& what) {
  throw Error(Exit::config, fmt::format("{}: {}", file.string(), what));
}

// The vocabulary of tokenizer.json as the lines of a vocab.txt.
std::string vocabulary_of(const json& model, const fs::path& file) {
  const auto fail = [&](const std::string& what) {
    throw Error(Exit::data, fmt::format("{}: {}", file.string(), what));
  };
  const json vocab = inner(model, "vocab");
  if (!vocab.is_object()) fail("model.vocab is not an object");
  std::vector<const std::string*> pieces(vocab.size(), nullptr);
  for (const auto& [piece, id] : vocab.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= pieces.size() ||
        pieces[id.get<std::size_t>()] != nullptr)
      fail(fmt::format("the ids of model.vocab are not 0 to {}, each once", pieces.size() - 1));
    if (piece.find_first_of("\r\n") != std::string::npos) fail("a piece of model.vocab has a line break");
    pieces[id.get<std::size_t>()] = &piece;
  }
  std::string lines;
  for (const std::string* piece : pieces) lines += *piece + "\n";
  return lines;
}

// What BERT's tokenizer can do and this program cannot.
void check_normalizer(const json& settings, const fs::path& file, const char* accents, const char* chinese,
                      std::optional<bool> lowercase) {
  if (const auto strip = choice_of(settings, accents); strip && lowercase && *strip != *lowercase)
    refuse(file, fmt::format("{} = {} with lower case = {}; only tokenizers that strip accents exactly if they "
                             "lower-case texts can be read",
                             accents, *strip, *lowercase));
  if (choice_of(settings, chinese) == false)
    refuse(file, fmt::format("{} = false; only tokenizers that separate Chinese characters can be read", chinese));
}

PretrainedTokenizer read_wordpiece(const fs::path& folder) {
  PretrainedTokenizer found{.kind = "wordpiece", .file = "vocab.txt", .content = {}, .lowercase = {}, .source = {}};
  const fs::path file = folder / "tokenizer.json", settings = folder / "tokenizer_config.json";
  const json root = read_json(file), config = read_json(settings);
  const json model = inner(root, "model"), normalizer = inner(root, "normalizer");
  found.source = folder / "vocab.txt";
  if (is_there(found.source)) {
    found.content = read_file(found.source);
  } else {
    found.source = file;
    if (const json prefix = inner(model, "continuing_subword_prefix"); !prefix.is_null() && prefix != "##")
      refuse(file, fmt::format("continuing_subword_prefix is {}; only \"##\" can be read", prefix.dump()));
    if (!normalizer.is_null() && inner(normalizer, "type") != "BertNormalizer")
      refuse(file,
             fmt::format("the normalizer is {}; only BertNormalizer can be read", inner(normalizer, "type").dump()));
    found.content = vocabulary_of(model, file);
  }
  found.lowercase = choice_of(config, "do_lower_case");
  if (!found.lowercase) found.lowercase = choice_of(normalizer, "lowercase");
  check_normalizer(config, settings, "strip_accents", "tokenize_chinese_chars", found.lowercase);
  if (!is_there(folder / "vocab.txt"))
    check_normalizer(normalizer, file, "strip_accents", "handle_chinese_chars", found.lowercase);
  return found;
}

}  // namespace

PretrainedTokenizer read_pretrained_tokenizer(const fs::path& folder) {
  const json model = inner(read_json(folder / "tokenizer.json"), "model");
  if (is_there(folder / "vocab.txt") || inner(model, "type") == "WordPiece") return read_wordpiece(folder);
  const auto sentencepiece = [&](const char* name, const char* kind) {
    return PretrainedTokenizer{.kind = kind,
                               .file = "tokenizer.model",
                               .content = read_file(folder / name),
                               .lowercase = {},
                               .source = folder / name};
  };
  if (is_there(folder / "sentencepiece.bpe.model")) return sentencepiece("sentencepiece.bpe.model", "xlm_roberta");
  for (const char* name : {"tokenizer.model", "spiece.model", "spm.model"})
    if (is_there(folder / name)) return sentencepiece(name, "sentencepiece");
  const std::string known =
      "tokenizers that can be read are vocab.txt or tokenizer.json (WordPiece), and sentencepiece.bpe.model, "
      "tokenizer.model, spiece.model or spm.model (SentencePiece)";
  if (!model.is_null())
    refuse(folder / "tokenizer.json", fmt::format("its model has the type {}; {}", inner(model, "type").dump(), known));
  for (const char* name : {"merges.txt", "vocab.json"})
    if (is_there(folder / name))
      refuse(folder / name, fmt::format("it belongs to a byte-level BPE tokenizer; {}", known));
  refuse(folder, fmt::format("there is no tokenizer; {}", known));
}

std::string tokenizer_difference(const PretrainedTokenizer& pretrained, const TokenizerInfo& info) {
  if (pretrained.kind != info.kind) return fmt::format("its kind is {} instead of {}", info.kind, pretrained.kind);
  if (!info.sha256.empty() && info.sha256 != sha256(pretrained.content)) return "it has other pieces";
  // Neither is known where the vocabulary itself says it, and then it is the same vocabulary.
  if (pretrained.lowercase && info.lowercase && *pretrained.lowercase != *info.lowercase)
    return "only one of them lower-cases texts";
  return "";
}

void write_pretrained_tokenizer(const fs::path& folder, const fs::path& from, const TokenizerInfo& info,
                                std::int64_t max_length) {
  const fs::path file = from / info.file;
  const bool wordpiece = info.kind == "wordpiece", roberta = info.kind == "xlm_roberta";
  const char* name = wordpiece ? "vocab.txt" : roberta ? "sentencepiece.bpe.model" : "tokenizer.model";
  write_file_atomically(folder / name, read_file(file));
  if (!wordpiece && !roberta) return;
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(from, info);
  json special = {{"pad_token", tokenizer->piece(info.pad)},
                  {"unk_token", tokenizer->piece(info.unk)},
                  {"cls_token", tokenizer->piece(info.bos)},
                  {"sep_token", tokenizer->piece(info.eos)},
                  {"mask_token", tokenizer->piece(info.mask)}};
  if (roberta) special.update({{"bos_token", tokenizer->piece(info.bos)}, {"eos_token", tokenizer->piece(info.eos)}});
  json config = special;
  config.update(
      {{"tokenizer_class", wordpiece ? "BertTokenizer" : "XLMRobertaTokenizer"}, {"model_max_length", max_length}});
  if (wordpiece) config["do_lower_case"] = info.lowercase.value_or(implied_lowercase(file));
  write_file_atomically(folder / "tokenizer_config.json", config.dump(2) + "\n");
  write_file_atomically(folder / "special_tokens_map.json", special.dump(2) + "\n");
}

}  // namespace polyhead
