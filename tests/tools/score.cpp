// The metrics as a filter, for comparison with other implementations: JSONL cases in, JSONL scores out. Texts are
// hexadecimal, so that invalid UTF-8 can be given.
#include <charconv>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/metrics/answers.h"
#include "core/metrics/scores.h"

namespace {

using nlohmann::json;

std::string from_hex_bytes(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    unsigned value = 0;
    std::from_chars(digits.data() + i, digits.data() + i + 2, value, 16);
    bytes.push_back(static_cast<char>(static_cast<unsigned char>(value)));
  }
  return bytes;
}

json score_texts(const json& request) {
  std::array<double, polyhead::kBleuSums> bleu{};
  std::array<double, polyhead::kChrfSums> chrf{};
  json tokens = json::array();
  for (std::size_t i = 0; i < request.at("hypotheses").size(); ++i) {
    const std::string hypothesis = from_hex_bytes(request.at("hypotheses").at(i).get<std::string>());
    const std::string reference = from_hex_bytes(request.at("references").at(i).get<std::string>());
    polyhead::add_bleu(bleu, hypothesis, reference);
    polyhead::add_chrf(chrf, hypothesis, reference);
    tokens.push_back(polyhead::tokenize_13a(hypothesis));
  }
  return {{"bleu", polyhead::bleu(bleu)}, {"chrf", polyhead::chrf(chrf)}, {"tokens", tokens}};
}

json score_answers(const json& request) {
  std::vector<std::string> references;
  for (const json& reference : request.at("answers"))
    references.push_back(from_hex_bytes(reference.get<std::string>()));
  const polyhead::AnswerScore score =
      polyhead::score_answer(from_hex_bytes(request.at("answer").get<std::string>()), references);
  return {{"exact_match", score.exact_match}, {"f1", score.f1}};
}

json score_classes(const json& request) {
  const auto classes = request.at("classes").get<std::int64_t>();
  polyhead::Scores scores;
  for (std::size_t i = 0; i < request.at("gold").size(); ++i)
    polyhead::add_prediction(scores, classes, request.at("gold").at(i).get<std::int64_t>(),
                             request.at("predicted").at(i).get<std::int64_t>());
  return {{"accuracy", polyhead::accuracy(scores, classes)},
          {"macro_f1", polyhead::macro_f1(scores, classes)},
          {"matthews", polyhead::matthews(scores, classes)}};
}

json score_labels(const json& request) {
  const auto gold = request.at("labels").get<std::vector<double>>();
  const auto told = request.at("probabilities").get<std::vector<double>>();
  const auto all = polyhead::multilabel_metrics(gold, told, request.at("width").get<std::size_t>());
  return {{"micro_f1", all.micro_f1},
          {"macro_f1", all.macro_f1},
          {"average_precision", all.average_precision},
          {"subset_accuracy", all.subset_accuracy}};
}

json score_values(const json& request) {
  const auto gold = request.at("values").get<std::vector<double>>();
  const auto told = request.at("predicted").get<std::vector<double>>();
  const auto all = polyhead::regression_metrics(gold, told, request.at("width").get<std::size_t>());
  return {{"mse", all.mse}, {"mae", all.mae}, {"r2", all.r2}, {"pearson", all.pearson}, {"spearman", all.spearman}};
}

// A case: sentences of tags, by their index among labels.
json score_entities(const json& request) {
  const auto labels = request.at("bio").get<std::vector<std::string>>();
  std::array<double, polyhead::kEntitySums> sums{};
  for (std::size_t i = 0; i < request.at("gold").size(); ++i)
    polyhead::add_entities(sums, request.at("gold").at(i).get<std::vector<std::int64_t>>(),
                           request.at("predicted").at(i).get<std::vector<std::int64_t>>(), labels);
  return {{"is_bio", polyhead::is_bio(labels)}, {"entity_f1", polyhead::entity_f1(sums)}};
}

json score_pairs(const json& request) {
  const auto first = request.at("first").get<std::vector<std::vector<double>>>();
  const auto second = request.at("second").get<std::vector<std::vector<double>>>();
  const auto draws = polyhead::paired_bootstrap(first, second, request.at("draws").get<int>(),
                                                request.at("seed").get<std::uint64_t>());
  json out = {{"first", json::array()}, {"second", json::array()}};
  std::vector<double> differences;
  for (const auto& [one, other] : draws) {
    out["first"].push_back(one);
    out["second"].push_back(other);
    differences.push_back(other - one);
  }
  const auto [low, high] = polyhead::interval_of(differences);
  out["low"] = low;
  out["high"] = high;
  return out;
}

json score(const json& request) {
  if (request.contains("first")) return score_pairs(request);
  if (request.contains("bio")) return score_entities(request);
  if (request.contains("classes")) return score_classes(request);
  if (request.contains("labels")) return score_labels(request);
  if (request.contains("values")) return score_values(request);
  if (request.contains("answer")) return score_answers(request);
  return score_texts(request);
}

}  // namespace

int main() {
  try {
    for (std::string line; std::getline(std::cin, line);) {
      const json request = json::parse(line);
      std::cout << score(request).dump() << "\n";
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "score: %s\n", error.what());
    return 1;
  }
  return 0;
}
