// What balancers keep between steps, and save with checkpoints.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

// Rows of numbers with names. As text they are a JSON object, {"method": …, "tasks": …, NAME: [numbers], …}, from which
// all finite numbers return bit for bit.
class BalancerState {
 public:
  BalancerState(std::string_view method, std::size_t tasks) : method_(method), tasks_(tasks) {}
  BalancerState(const BalancerState&) = delete;
  BalancerState& operator=(const BalancerState&) = delete;

  std::size_t tasks() const { return tasks_; }
  // Adds a row, whose size stays the same. The reference is valid as long as this object.
  std::vector<double>& add(const std::string& name, std::size_t size, double value = 0);

  // Returns "" if there are no rows.
  std::string text() const;
  // Throws Error(data), and changes nothing, for a text that another method, another number of tasks or another program
  // wrote.
  void restore(const std::string& text);

 private:
  std::string method_;
  std::size_t tasks_;
  std::map<std::string, std::vector<double>> rows_;
};

}  // namespace polyhead
