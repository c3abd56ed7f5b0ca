// states RUN < LINES: for each line {"ids": [...], "second": K}, the states that the encoder of the run's latest
// checkpoint computes, [ids, dim], as {"states": [[...], ...]}. second: where the second text begins, if there is one.
#include <cstdio>
#include <iostream>

#include <nlohmann/json.hpp>

#include "distributed/checkpoint/trained.h"

int main(int argc, char** argv) {
  using namespace polyhead;
  using nlohmann::json;
  if (argc != 2) return 2;
  const TrainedModel trained = load_trained(argv[1], {}, {}, "cpu", 1);
  const torch::NoGradGuard guard;
  for (std::string line; std::getline(std::cin, line);) {
    const json in = json::parse(line);
    const auto ids = in.at("ids").get<std::vector<std::int64_t>>();
    const std::int64_t length = std::ssize(ids), second = in.value("second", length);
    Encoder::Input input;
    input.tokens = torch::tensor(ids, torch::kInt64);
    if (second < length) {
      input.pair_rows = torch::arange(length);
      input.second = input.pair_rows.ge(second).to(torch::kInt64);
    }
    const torch::Tensor states = trained.model->encoder()
                                     .forward(input, Segments::from({0, length}, torch::kCPU), {})
                                     .states.to(torch::kFloat64);
    json rows = json::array();
    for (std::int64_t row = 0; row < length; ++row) {
      const double* values = states[row].const_data_ptr<double>();
      rows.push_back(std::vector<double>(values, values + states.size(1)));
    }
    std::printf("%s\n", json{{"states", rows}}.dump().c_str());
  }
}
