// The functions that make the balancers, one for each method. Their files describe the formulas.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/balancing/balancer.h"

namespace polyhead {

// What a balancer is made from.
struct BalancerSpec {
  BalancerOptions options;
  std::vector<std::string> tasks;  // names
  std::uint64_t seed = 1;          // of random choices
};

// Weights of 1 / (number of active tasks).
std::unique_ptr<Balancer> make_equal(const BalancerSpec& spec);
// Weights proportional to the static weights, so that those of the active tasks sum to 1.
std::unique_ptr<Balancer> make_static(const BalancerSpec& spec);
// Random weights that sum to 1.
std::unique_ptr<Balancer> make_rlw(const BalancerSpec& spec);

// From losses (core/balancing/loss_balancer.h).
std::unique_ptr<Balancer> make_uncertainty(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_dwa(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_gls(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_imtl_l(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_famo(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_stch(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_go4align(const BalancerSpec& spec);

// From norms of gradients (core/balancing/gram_balancer.h).
std::unique_ptr<Balancer> make_gradnorm(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_db_mtl(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_excess_mtl(const BalancerSpec& spec);

// From the Gram matrix of the gradients (core/balancing/gram_balancer.h).
std::unique_ptr<Balancer> make_pcgrad(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_gradvac(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_cagrad(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_mgda(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_imtl_g(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_nash_mtl(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_fairgrad(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_aligned_mtl(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_upgrad(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_dual_proj(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_con_fig(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_pcd(const BalancerSpec& spec);
std::unique_ptr<Balancer> make_krum(const BalancerSpec& spec);

}  // namespace polyhead
