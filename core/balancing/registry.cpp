// The balancers by name: one line each.
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/balancing/balancer.h"
#include "core/base/error.h"

namespace polyhead {
namespace {

constexpr std::array<std::pair<std::string_view, Balancer>, 2> kBalancers = {{
    {"equal", balance_equal},
    {"static", balance_static},
}};

}  // namespace

Balancer find_balancer(const std::string& method) {
  std::vector<std::string_view> names;
  for (const auto& [name, balancer] : kBalancers) {
    if (name == method) return balancer;
    names.push_back(name);
  }
  throw Error(Exit::config, fmt::format("balance.method = {}: there is no such balancer; there are {}", method,
                                        fmt::join(names, ", ")));
}

}  // namespace polyhead
