// Reads what a task needs from a line, and adds the keys of its kind.
#include "launch/prediction.h"

#include <fmt/format.h>

#include <cmath>
#include <sstream>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/kinds/registry.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kUsualLength =
    128;  // maximum length of a text in tokens, if the run does not record the length at which its data were truncated

// The values of a line, with the same checks as in import.
class Fields {
 public:
  Fields(const JsonLine& line, const InputNames::Keys& keys, const std::string& where)
      : line_(line), keys_(keys), where_(where) {}
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(Exit::data, fmt::format("{}: {}", where_, what));
  }
  const std::string& key(std::string_view part) const { return keys_.of(part); }
  std::optional<json> get(std::string_view part) const { return line_.value(key(part)); }
  // Returns a text that is not blank.
  std::string text(std::string_view part) const {
    const std::optional<json> value = get(part);
    const std::string& key = this->key(part);
    if (!value || !value->is_string()) fail(fmt::format("expected the key \"{}\" with a string", key));
    auto text = value->get<std::string>();
    if (blank(text)) fail(fmt::format("\"{}\" is empty; leave the line out", key));
    return text;
  }
  // As in import, null, "" and white space are not a second text.
  std::optional<std::string> second() const {
    const std::optional<json> value = get("second");
    if (!value) return std::nullopt;
    if (!value->is_string())
      fail(fmt::format("has a \"{}\" of type {}, expected a string", key("second"), value->type_name()));
    auto text = value->get<std::string>();
    return blank(text) ? std::nullopt : std::optional(std::move(text));
  }

 private:
  const JsonLine& line_;
  const InputNames::Keys& keys_;
  const std::string& where_;
};

std::vector<std::string> read_words(const Fields& fields) {
  std::vector<std::string> words;
  const std::string& key = fields.key("words");
  if (const auto list = fields.get("words")) {
    if (!list->is_array()) fields.fail(fmt::format("\"{}\" must be a list of strings", key));
    for (const json& word : *list) {
      if (!word.is_string()) fields.fail(fmt::format("\"{}\" must hold strings", key));
      words.push_back(word.get<std::string>());
      if (words.back().empty() || words.back().find_first_of(kBlanks) != std::string::npos)
        fields.fail(fmt::format("has '{}' in \"{}\", which is empty or holds white space; split it or take it out",
                                words.back(), key));
    }
  } else if (const auto text = fields.get("text"); text && text->is_string()) {
    std::istringstream in(text->get<std::string>());
    for (std::string word; in >> word;) words.push_back(word);
  } else {
    fields.fail(
        fmt::format("expected \"{}\": a list of words, or \"{}\": words separated by spaces", key, fields.key("text")));
  }
  if (words.empty()) fields.fail("there is no word to tag");
  return words;
}

void read_vectors(const Fields& fields, std::size_t width, Sample& sample) {
  const std::string& key = fields.key("features");
  const auto list = fields.get("features");
  if (!list || !list->is_array() || list->empty())
    fields.fail(fmt::format("expected the key \"{}\": a list of vectors of {} numbers", key, width));
  for (const std::string_view part : {"text", "words"})
    if (fields.get(part))
      fields.fail(fmt::format("has both \"{}\" and \"{}\"; an input is one of them, so leave the other out", key,
                              fields.key(part)));
  for (const json& vector : *list) {
    if (!vector.is_array() || vector.size() != width)
      fields.fail(fmt::format("\"{}\" must hold vectors of {} numbers, as the task was trained with", key, width));
    for (const json& value : vector) {
      if (!value.is_number()) fields.fail(fmt::format("\"{}\" must hold numbers", key));
      sample.features.push_back(value.get<float>());
      if (!std::isfinite(sample.features.back()))
        fields.fail(fmt::format("\"{}\" holds a number beyond 32-bit floats", key));
    }
  }
  sample.width = width;
}

}  // namespace

Predictor::Predictor(const TrainedModel& trained, const std::string& task, std::size_t max_length,
                     const SearchOptions& search, bool attention, std::map<std::string, std::string> columns)
    : trained_(trained),
      index_(trained.description.task(task)),
      task_(trained.description.tasks[index_]),
      max_length_(max_length),
      search_(search),
      attention_(attention),
      names_(task_.kind, task_.statistics.feature_width > 0, task_.statistics.pairs, std::move(columns)) {}

InputKind Predictor::input_kind() const {
  if (task_.statistics.feature_width > 0) return InputKind::vectors;
  return target_of(task_.kind).input_form() == InputForm::words ? InputKind::words : InputKind::texts;
}

Sample Predictor::sample_of(const JsonLine& line, const InputNames::Keys& keys, const std::string& where) const {
  const Fields fields(line, keys, where);
  const TrainStatistics& trained = task_.statistics;
  const InputForm form = target_of(task_.kind).input_form();
  const bool context = form == InputForm::context;
  Sample sample;
  if (trained.feature_width > 0)
    read_vectors(fields, static_cast<std::size_t>(trained.feature_width), sample);
  else if (fields.get("features"))
    fields.fail("has \"features\", but the task was trained on text; leave them out, or choose another --task");
  else if (form == InputForm::words)
    sample.words = read_words(fields);
  else
    sample.text = fields.text(context ? "question" : "text");
  if (context) sample.second = fields.text("text");
  const bool text = sample.width == 0 && form == InputForm::text;
  if (text && trained.pairs)
    sample.second = fields.second();
  else if (fields.get("second"))
    fields.fail(
        fmt::format("has a \"{}\" text, but no sample that the task was trained on has one; leave the key out or "
                    "rename it{}",
                    keys.of("second"), keys.found.empty() ? "" : ", or say which key is the text with --columns"));
  if (text && trained.only_pairs && !sample.second)
    fields.fail(
        "has no \"second\" text, but every sample that the task was trained on has one; add it, or say which key "
        "it is with --columns second:KEY");
  return sample;
}

std::size_t Predictor::cut(const Sample& sample, const std::string& where) const {
  const EncoderOptions& encoder = trained_.description.encoder;
  const bool bounded = encoder.form == EncoderForm::bert;
  const auto positions = static_cast<std::size_t>(encoder.positions);
  if (max_length_ > 0) return max_length_;
  if (sample.width == 0) return bounded ? std::min(kUsualLength, positions) : kUsualLength;
  const std::size_t rows = sample.features.size() / sample.width;
  if (bounded && rows > positions)
    throw Error(Exit::data, fmt::format("{}: \"features\" holds {} vectors; the model has encoder.positions = {}, so "
                                        "give at most that many",
                                        where, rows, positions));
  return rows;
}

PredictionLine Predictor::read(std::string text, const std::string& where) const {
  PredictionLine line{JsonLine(std::move(text), where), {}, {}, 0, {}, 0, {}};
  const auto fail = [&](const std::string& what) { throw Error(Exit::data, fmt::format("{}: {}", where, what)); };
  const InputNames::Keys keys = names_.keys(line.json, fail);
  line.found = keys.found;
  const Sample sample = sample_of(line.json, keys, where);
  line.text = sample.text;
  if (sample.second) line.text += " " + *sample.second;
  if (target_of(task_.kind).input_form() == InputForm::context) line.context = *sample.second;
  for (const std::string& word : sample.words) line.text += word + " ";
  line.words = sample.width > 0 ? sample.features.size() / sample.width : sample.words.size();
  line.max_length = cut(sample, where);
  line.input = encode_sample(
      *trained_.tokenizer, trained_.description.tokenizer,
      {.kind = task_.kind, .max_length = line.max_length, .mask_marks = task_kind(task_.kind).traits().fills_masks},
      sample, fail);
  return line;
}

std::vector<std::string> Predictor::predict(std::span<const PredictionLine> lines) const {
  Batch batch;
  batch.offsets = {0};
  TaskSlice slice;
  slice.task = index_;
  for (const auto& [json, input, text, words, context, max_length, found] : lines) {
    batch.tokens.insert(batch.tokens.end(), input.tokens.begin(), input.tokens.end());
    batch.offsets.push_back(static_cast<std::int64_t>(batch.tokens.size()));
    batch.keys.push_back(0);
    batch.second.push_back(static_cast<std::int64_t>(input.second));
    slice.features.insert(slice.features.end(), input.features.begin(), input.features.end());
    ++slice.sequences;
  }
  slice.feature_width = task_.statistics.feature_width;
  batch.slices = {slice};
  const torch::NoGradGuard no_gradient;
  const HeadInput input = trained_.model->forward(batch, false).front();
  const Predicted predicted = trained_.model->head(index_).generate(input, search_);
  const std::vector<double> weights = attention_ ? to_host_double(input.task_weights.mean(0)) : std::vector<double>();
  std::vector<std::string> out;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    ordered_json added = members(lines[i], predicted, i);
    if (attention_) added["attention"] = attention(lines[i], weights, input.segments.offsets[i]);
    out.push_back(lines[i].json.with(added, "prediction"));
  }
  return out;
}

ordered_json Predictor::members(const PredictionLine& line, const Predicted& predicted, std::size_t i) const {
  const auto label = [&](std::int64_t id) {
    const std::string& name = task_.labels[static_cast<std::size_t>(id)];
    return task_.label_type.empty() ? ordered_json(name) : ordered_json::parse(name);
  };
  const auto range = [&](std::int64_t first, std::int64_t last) -> TextRange {
    const auto from = static_cast<std::size_t>(first), to = static_cast<std::size_t>(last);
    const CharacterRange found = covering(std::span(line.input.characters).subspan(from, to - from + 1));
    const std::u32string text = decode_utf8(line.context);
    return {encode_utf8(text.substr(found.begin, found.end - found.begin)), found.begin, found.end};
  };
  return task_kind(task_.kind)
      .prediction({.task = task_.view(),
                   .decode = [&](const auto& tokens) { return trained_.tokenizer->decode(tokens); },
                   .label = label,
                   .predicted = predicted,
                   .index = i,
                   .first_piece = line.input.first_piece,
                   .words = line.words,
                   .masks = line.input.masks,
                   .range = range});
}

// weights: [tokens of all lines, slots], averaged over attention heads.
ordered_json Predictor::attention(const PredictionLine& line, const std::vector<double>& weights,
                                  std::int64_t first_token) const {
  ordered_json words = ordered_json::array(), tasks = ordered_json::object();
  for (const std::int64_t token : line.input.tokens)
    words.push_back(token == kNoToken ? ordered_json() : ordered_json(trained_.tokenizer->piece(token)));
  const Encoder& encoder = trained_.model->encoder();
  const std::int64_t slots = encoder.slot(trained_.description.tasks.size());
  const auto of = [&](std::int64_t slot) {
    ordered_json out = ordered_json::array();
    for (std::int64_t i = 0; i < std::ssize(line.input.tokens);
         ++i)  // further digits are rounding errors of 32-bit floats
      out.push_back(std::round(weights[static_cast<std::size_t>((first_token + i) * slots + slot)] * 1e6) / 1e6);
    return out;
  };
  for (std::size_t t = 0; t < trained_.description.tasks.size(); ++t)
    tasks[trained_.description.tasks[t].name] = of(encoder.slot(t));
  ordered_json out = {{"words", words}, {"weights", tasks}};
  if (encoder.first_slot() > 0) out["no_task"] = of(0);
  return out;
}

}  // namespace polyhead
