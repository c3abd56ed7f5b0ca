// The options of balancers.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/choice.h"
#include "core/base/field.h"

namespace polyhead {

// Returns the names of all balancers (core/balancing/registry.cpp).
std::vector<std::string_view> balancer_names();

// What MGDA divides the gradients by: nothing, their norms, the losses, or both.
enum class MgdaNormalize { none, l2, loss, loss_l2 };
constexpr std::array<std::string_view, 4> choices(MgdaNormalize) {
  return {"none", "l2", "loss", "loss+"};
}

// Which eigenvalue of the Gram matrix Aligned-MTL gives to all components: the smallest, the median or the mean.
enum class AlignedScale { min, median, rmse };
constexpr std::array<std::string_view, 3> choices(AlignedScale) {
  return {"min", "median", "rmse"};
}

struct BalancerOptions {
  std::string method = "equal";  // the name of a balancer
  std::string primary = {};      // pcd: the name of a task; "": the first one
  double loss_floor = 0;         // a number below all losses
  double uncertainty_lr = 0.01;
  double imtl_l_lr = 0.01;
  double dwa_temperature = 2;
  std::int64_t dwa_window = 100;  // steps of a task
  double famo_lr = 0.025, famo_decay = 0.001;
  double stch_mu = 0.5;
  std::int64_t stch_warmup = 100;  // steps of a task; 0: compare the losses themselves
  std::int64_t go4align_groups = 2;
  double go4align_lr = 1e-4;
  double gradnorm_alpha = 1.5, gradnorm_lr = 0.025;
  double db_mtl_beta = 0.9, db_mtl_sigma = 0;
  double excess_mtl_lr = 0.01;
  double gradvac_beta = 0.5;
  double cagrad_c = 0.4;
  MgdaNormalize mgda_normalize = MgdaNormalize::none;
  double fairgrad_alpha = 2;
  AlignedScale aligned_mtl_scale = AlignedScale::min;
  double pcd_tau = 0.02, pcd_beta = 0.999;
  std::int64_t krum_byzantine = 0, krum_selected = 1;
};

// [balance]
std::vector<Field> fields(BalancerOptions& options);

}  // namespace polyhead
