// `polyhead predict`: JSONL in, JSONL out, in the same order, other keys kept.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "datasets/unicode.h"
#include "launch/commands/commands.h"

namespace polyhead {
namespace {

using nlohmann::ordered_json;

// One line of input, ready for the model.
struct Line {
  ordered_json object;
  std::vector<std::int64_t> tokens;       // kNoToken for each vector
  std::vector<float> features;            // of a task whose input is vectors: [tokens, width]
  std::size_t second = 0;                 // where the second text begins, 0: there is none
  std::vector<std::int64_t> first_piece;  // tagging: of each word that is kept
  std::size_t words = 0;
};

std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

class Predictor {
 public:
  Predictor(const TrainedModel& trained, const std::string& task, std::size_t max_length, const SearchOptions& search,
            bool attention)
      : trained_(trained),
        index_(trained.description.task(task)),
        task_(trained.description.tasks[static_cast<std::size_t>(index_)]),
        max_length_(max_length),
        search_(search),
        attention_(attention) {}

  // Throws Error(data) naming line and cure.
  Line read(const std::string& text, const std::string& where) const {
    const auto fail = [&](const std::string& what) { throw Error(Exit::data, fmt::format("{}: {}", where, what)); };
    Line line;
    try {
      line.object = parse_json<ordered_json>(text, Numbers::exact);
    } catch (const JsonError& error) {
      fail(fmt::format("this line {}; expected an object such as {{\"text\": \"…\"}}", printable(error.what())));
    }
    if (!line.object.is_object()) fail("expected a JSON object such as {\"text\": \"…\"}");
    if (task_.statistics.feature_width > 0) {
      read_features(line, fail);
      return line;
    }
    const TokenizerInfo& info = trained_.description.tokenizer;
    if (task_.kind == Kind::tagging) {
      std::vector<std::string> words;
      if (line.object.contains("words") && line.object["words"].is_array()) {
        for (const auto& word : line.object["words"]) {
          if (!word.is_string()) fail("\"words\" must hold strings");
          words.push_back(word.get<std::string>());
        }
      } else if (line.object.contains("text") && line.object["text"].is_string()) {
        words = split_words(line.object["text"].get<std::string>());
      } else {
        fail("expected \"words\": a list of words, or \"text\": words separated by spaces");
      }
      if (words.empty()) fail("there is no word to tag");
      EncodedWords encoded = encode_words(*trained_.tokenizer, info, words, max_length_);
      line.tokens = std::move(encoded.tokens);
      line.first_piece = std::move(encoded.first_piece);
      line.words = words.size();
      return line;
    }
    if (!line.object.contains("text") || !line.object["text"].is_string())
      fail("expected the key \"text\" with a string");
    const auto given = line.object["text"].get<std::string>();
    if (given.find_first_not_of(" \t\r\n") == std::string::npos) fail("\"text\" is empty; leave the line out");
    if (line.object.contains("second") && line.object["second"].is_string()) {
      EncodedPair pair =
          encode_pair(*trained_.tokenizer, info, given, line.object["second"].get<std::string>(), max_length_);
      line.tokens = std::move(pair.tokens);
      line.second = pair.second;
    } else if (task_.kind == Kind::masked_lm) {
      line.tokens = encode_masked(given);
    } else {
      line.tokens = encode_input(*trained_.tokenizer, info, given, max_length_);
    }
    return line;
  }

  // Adds each line's prediction to its object.
  void predict(std::vector<Line>& lines) const {
    Batch batch;
    batch.offsets = {0};
    TaskSlice slice;
    slice.task = index_;
    for (const Line& line : lines) {
      batch.tokens.insert(batch.tokens.end(), line.tokens.begin(), line.tokens.end());
      batch.offsets.push_back(static_cast<std::int64_t>(batch.tokens.size()));
      batch.keys.push_back(0);
      batch.second.push_back(static_cast<std::int64_t>(line.second));
      slice.features.insert(slice.features.end(), line.features.begin(), line.features.end());
      ++slice.sequences;
    }
    slice.feature_width = task_.statistics.feature_width;
    batch.slices = {slice};
    const torch::NoGradGuard no_gradient;
    const HeadInput input = trained_.model->forward(batch, false).front();
    const Predicted predicted = trained_.model->head(index_).generate(input, search_);
    const std::vector<double> weights = attention_ ? to_host_double(input.task_weights.mean(0)) : std::vector<double>();
    for (std::size_t i = 0; i < lines.size(); ++i) {
      ordered_json& object = lines[i].object;
      static const std::vector<std::int64_t> none;
      const std::vector<std::int64_t>& ids = predicted.ids.empty() ? none : predicted.ids[i];
      switch (task_.kind) {
        case Kind::classification:
          object["label"] = task_.labels[static_cast<std::size_t>(ids[0])];
          object["probability"] = predicted.probability[i];
          break;
        case Kind::multilabel: {
          ordered_json labels = ordered_json::array(), probabilities = ordered_json::object();
          for (const std::int64_t id : ids) labels.push_back(task_.labels[static_cast<std::size_t>(id)]);
          for (std::size_t c = 0; c < task_.labels.size(); ++c)
            probabilities[task_.labels[c]] = predicted.values[i * task_.labels.size() + c];
          object["labels"] = labels;
          object["probabilities"] = probabilities;
          break;
        }
        case Kind::regression:
          if (task_.outputs.empty()) {
            object["value"] = predicted.values[i];
          } else {
            ordered_json values = ordered_json::object();
            for (std::size_t k = 0; k < task_.outputs.size(); ++k)
              values[task_.outputs[k]] = predicted.values[i * task_.outputs.size() + k];
            object["values"] = values;
          }
          break;
        case Kind::tagging: {
          // A word that was cut off gets no tag: null, so that there is one a word.
          ordered_json tags = ordered_json::array();
          for (const std::int64_t piece : lines[i].first_piece)
            tags.push_back(task_.labels[static_cast<std::size_t>(ids[static_cast<std::size_t>(piece)])]);
          while (tags.size() < lines[i].words) tags.push_back(nullptr);
          object["tags"] = tags;
          break;
        }
        case Kind::masked_lm: {
          ordered_json tokens = ordered_json::array();
          for (const std::int64_t id : ids) tokens.push_back(trained_.tokenizer->decode(std::span(&id, 1)));
          object["tokens"] = tokens;
          break;
        }
        case Kind::translation:
          object["translation"] = trained_.tokenizer->decode(ids);
          object["log_probability"] = predicted.values[i];
          break;
      }
      if (attention_) object["attention"] = attention(lines[i], weights, input.segments.offsets[i]);
    }
  }

 private:
  // weights: [tokens of all lines, slots], the mean over attention heads.
  ordered_json attention(const Line& line, const std::vector<double>& weights, std::int64_t first_token) const {
    ordered_json words = ordered_json::array(), tasks = ordered_json::object();
    for (const std::int64_t token : line.tokens)
      words.push_back(token == kNoToken ? ordered_json() : ordered_json(trained_.tokenizer->piece(token)));
    const Encoder& encoder = trained_.model->encoder();
    const std::int64_t slots = encoder.slot(std::ssize(trained_.description.tasks));
    const auto of = [&](std::int64_t slot) {
      ordered_json out = ordered_json::array();
      for (std::int64_t i = 0; i < std::ssize(line.tokens); ++i)  // digits beyond these are rounding of 32-bit floats
        out.push_back(std::round(weights[static_cast<std::size_t>((first_token + i) * slots + slot)] * 1e6) / 1e6);
      return out;
    };
    for (std::size_t t = 0; t < trained_.description.tasks.size(); ++t)
      tasks[trained_.description.tasks[t].name] = of(encoder.slot(static_cast<std::int64_t>(t)));
    ordered_json out = {{"words", words}, {"weights", tasks}};
    if (encoder.first_slot() > 0) out["no_task"] = of(0);
    return out;
  }

  template <class Fail>
  void read_features(Line& line, const Fail& fail) const {
    const auto width = static_cast<std::size_t>(task_.statistics.feature_width);
    const auto found = line.object.find("features");
    if (found == line.object.end() || !found->is_array() || found->empty())
      fail(fmt::format("expected the key \"features\": a list of vectors of {} numbers", width));
    for (const auto& vector : *found) {
      if (!vector.is_array() || vector.size() != width)
        fail(fmt::format("\"features\" must hold vectors of {} numbers, as the task was trained with", width));
      for (const auto& value : vector) {
        const auto number = number_of(value);
        if (!number) fail("\"features\" must hold numbers");
        line.features.push_back(static_cast<float>(*number));
        if (!std::isfinite(line.features.back())) fail("\"features\" holds a number beyond 32-bit floats");
      }
      line.first_piece.push_back(static_cast<std::int64_t>(line.tokens.size()));
      line.tokens.push_back(kNoToken);
    }
    line.words = line.tokens.size();
    const EncoderOptions& encoder = trained_.description.encoder;
    if (encoder.form == "bert" && std::ssize(line.tokens) > encoder.positions)
      fail(fmt::format("\"features\" holds {} vectors; the model has encoder.positions = {}, give so many at most",
                       line.tokens.size(), encoder.positions));
  }

  // "<mask>" in the text stands for a masked token.
  std::vector<std::int64_t> encode_masked(const std::string& text) const {
    constexpr std::string_view mark = "<mask>";
    const TokenizerInfo& info = trained_.description.tokenizer;
    std::vector<std::int64_t> tokens = {info.bos};
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t end = std::min(text.find(mark, at), text.size());
      const auto piece = trained_.tokenizer->encode(std::string_view(text).substr(at, end - at));
      tokens.insert(tokens.end(), piece.begin(), piece.end());
      if (end < text.size()) tokens.push_back(info.mask);
      at = end + (end < text.size() ? mark.size() : 1);
    }
    if (tokens.size() + 1 > max_length_) tokens.resize(max_length_ - 1);
    tokens.push_back(info.eos);
    return tokens;
  }

  const TrainedModel& trained_;
  int index_;
  const TrainedTask& task_;
  std::size_t max_length_;
  SearchOptions search_;
  bool attention_;
};

}  // namespace

int run_predict(const Config& config, Communicator& world) {
  for (const char* name : {"run-dir", "task"})
    if (!config.has(name)) throw Error(Exit::usage, fmt::format("--{} is not given", name));
  const std::string task = config.text("task");
  const TrainedModel trained = load_run("predict", config, {task}, world);
  const EncoderOptions& encoder = trained.description.encoder;
  std::uint64_t max_length = trained.description.max_length;
  if (config.has("max-length")) {
    max_length = static_cast<std::uint64_t>(config.integer("max-length"));
    check_length(encoder, max_length, fmt::format("--max-length {}", max_length),
                 fmt::format("give --max-length {} or less", encoder.positions));
  } else if (max_length == 0) {
    max_length = 128;
    if (encoder.form == "bert") max_length = std::min(max_length, static_cast<std::uint64_t>(encoder.positions));
  }
  const Predictor predictor(trained, task, max_length, search_options(config), config.flag("attention"));

  std::ifstream file;
  if (config.has("in")) {
    file.open(config.path("in"));
    if (!file) throw Error(Exit::data, fmt::format("{}: it cannot be opened; check --in", config.path("in").string()));
  }
  std::ofstream out_file;
  if (config.has("out")) {
    out_file.open(config.path("out"));
    if (!out_file)
      throw Error(Exit::cannot_write,
                  fmt::format("{}: it cannot be written; check --out", config.path("out").string()));
  }
  std::istream& in = config.has("in") ? file : std::cin;
  std::ostream& out = config.has("out") ? out_file : std::cout;
  const std::string name = config.has("in") ? config.path("in").string() : "standard input";
  std::vector<Line> lines;
  const auto flush = [&] {
    if (lines.empty()) return;
    predictor.predict(lines);
    for (const Line& line : lines) out << dump_exactly(line.object) << '\n';
    out.flush();
    if (!out)
      throw Error(Exit::cannot_write, "the predictions cannot be written: the output is closed or the disk is full");
    lines.clear();
  };
  std::size_t number = 0;
  for (std::string text; std::getline(in, text);) {
    ++number;
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      lines.push_back(predictor.read(text, fmt::format("{}:{}", name, number)));
    } catch (const Error&) {
      flush();  // what came before the bad line is not lost
      throw;
    }
    if (lines.size() >= static_cast<std::size_t>(config.integer("batch"))) flush();
  }
  flush();
  return 0;
}

}  // namespace polyhead
