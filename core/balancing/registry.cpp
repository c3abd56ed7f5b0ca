// The registry of balancers, one line each.
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/balancing/balancer.h"
#include "core/balancing/methods.h"
#include "core/base/error.h"

namespace polyhead {
namespace {

constexpr std::array<std::pair<std::string_view, std::unique_ptr<Balancer> (*)(const BalancerSpec&)>, 2> kBalancers = {{
    {"equal", make_equal},
    {"static", make_static},
}};

}  // namespace

void Balancer::restore(const std::string& state) {
  if (!state.empty())
    throw Error(Exit::data, fmt::format("a state '{}' was saved for a balancer that keeps none", state.substr(0, 40)));
}

std::vector<std::string_view> balancer_names() {
  std::vector<std::string_view> names;
  for (const auto& [name, make] : kBalancers) names.push_back(name);
  return names;
}

std::unique_ptr<Balancer> make_balancer(const BalancerOptions& options, const std::vector<std::string>& tasks,
                                        std::uint64_t seed) {
  for (const auto& [name, make] : kBalancers)
    if (name == options.method) return make({options, tasks, seed});
  throw Error(Exit::config, fmt::format("balance.method = {}: there is no such balancer; there are {}", options.method,
                                        fmt::join(balancer_names(), ", ")));
}

}  // namespace polyhead
