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

using Maker = std::unique_ptr<Balancer> (*)(const BalancerSpec&);

constexpr std::array<std::pair<std::string_view, Maker>, 26> kBalancers = {{
    {"equal", make_equal},
    {"static", make_static},
    {"rlw", make_rlw},
    {"uncertainty", make_uncertainty},
    {"dwa", make_dwa},
    {"gls", make_gls},
    {"imtl_l", make_imtl_l},
    {"famo", make_famo},
    {"stch", make_stch},
    {"go4align", make_go4align},
    {"gradnorm", make_gradnorm},
    {"db_mtl", make_db_mtl},
    {"excess_mtl", make_excess_mtl},
    {"pcgrad", make_pcgrad},
    {"gradvac", make_gradvac},
    {"cagrad", make_cagrad},
    {"mgda", make_mgda},
    {"imtl_g", make_imtl_g},
    {"nash_mtl", make_nash_mtl},
    {"fairgrad", make_fairgrad},
    {"aligned_mtl", make_aligned_mtl},
    {"upgrad", make_upgrad},
    {"dual_proj", make_dual_proj},
    {"con_fig", make_con_fig},
    {"pcd", make_pcd},
    {"krum", make_krum},
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
  for (const auto& [name, make] : kBalancers) {
    if (name != options.method) continue;
    check_ranges("balance", options);
    return make({options, tasks, seed});
  }
  throw Error(Exit::config, fmt::format("balance.method = {}: there is no such balancer; there are {}", options.method,
                                        fmt::join(balancer_names(), ", ")));
}

}  // namespace polyhead
