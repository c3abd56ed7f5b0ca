// The lines that `polyhead balance` reads: one JSON object per step with what a balancer may read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/balancing/balancer.h"

namespace polyhead {

// One line. A key that is missing or null has no value. All lists have an entry for each of `tasks` tasks.
struct BalanceLine {
  std::size_t tasks = 0;                             // 0: the line has no list
  std::optional<SquareMatrix> gram;                  // [tasks, tasks]
  std::optional<std::vector<double>> norms;          // [tasks]
  std::optional<std::vector<double>> losses;         // [tasks]; NaN for null
  std::optional<std::vector<double>> static_weight;  // [tasks]
  std::optional<std::vector<bool>> active;           // [tasks]
  std::optional<std::int64_t> step;
};

// Reads a line. where: "FILE:LINE", with which the message begins. Throws Error(data) for anything else than an object
// with these keys; for lists of different lengths; for inner products that are not symmetric, or that no vectors can
// have; for negative norms and weights.
BalanceLine read_balance_line(std::string_view text, const std::string& where);

// Returns what the balancer reads. step: of the line before it; a line without "step" is the step after that.
// static_weight: [tasks], of tasks whose line gives none. Throws Error(data) if the line lacks what a balancer that
// reads `reads` needs. method: its name, for messages.
BalanceInput balance_input_of(const BalanceLine& line, Balancer::Reads reads, std::string_view method,
                              std::int64_t step, const std::vector<double>& static_weight, const std::string& where);

}  // namespace polyhead
