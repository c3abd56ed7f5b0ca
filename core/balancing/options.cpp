#include "core/balancing/options.h"

namespace polyhead {
namespace {

// Of the methods that read losses.
std::vector<Field> loss_fields(BalancerOptions& options) {
  return {
      {.name = "loss_floor",
       .member = &options.loss_floor,
       .help = "A number below all losses, which is subtracted from them; differences below 1e-8 count as 1e-8.",
       .needs = "balance.method=uncertainty|dwa|gls|imtl_l|famo|stch|go4align|gradnorm"},
      {.name = "uncertainty_lr",
       .member = &options.uncertainty_lr,
       .help = "Learning rate of the log-variances, which Adam updates.",
       .range = ">=0",
       .needs = "balance.method=uncertainty"},
      {.name = "imtl_l_lr",
       .member = &options.imtl_l_lr,
       .help = "Learning rate of the logarithmic scales, which gradient descent updates.",
       .range = ">=0,<1",
       .needs = "balance.method=imtl_l"},
      {.name = "dwa_temperature",
       .member = &options.dwa_temperature,
       .help = "Temperature of the softmax over the rates at which losses fall; a higher one makes weights more equal.",
       .range = ">0",
       .needs = "balance.method=dwa"},
      {.name = "dwa_window",
       .member = &options.dwa_window,
       .help = "Number of a task's steps over which its loss is averaged; two such means are compared.",
       .range = ">=1",
       .needs = "balance.method=dwa"},
      {.name = "famo_lr",
       .member = &options.famo_lr,
       .help = "Learning rate of FAMO's logits, which Adam updates.",
       .range = ">=0",
       .needs = "balance.method=famo"},
      {.name = "famo_decay",
       .member = &options.famo_decay,
       .help = "Weight decay of FAMO's logits.",
       .range = ">=0",
       .needs = "balance.method=famo"},
      {.name = "stch_mu",
       .member = &options.stch_mu,
       .help = "Smoothing of the maximum over the tasks: a small number attends to the worst task only.",
       .range = ">0",
       .needs = "balance.method=stch"},
      {.name = "stch_warmup",
       .member = &options.stch_warmup,
       .help = "Number of a task's first steps whose mean loss its later ones are divided by, before their logarithms "
               "are compared. 0 compares the losses themselves.",
       .range = ">=0",
       .needs = "balance.method=stch"},
      {.name = "go4align_groups",
       .member = &options.go4align_groups,
       .help = "Maximum number of groups of tasks; the tasks of a group have the same weight.",
       .range = ">=1",
       .needs = "balance.method=go4align"},
      {.name = "go4align_lr",
       .member = &options.go4align_lr,
       .help = "How fast the weight of a task falls with its losses.",
       .range = ">=0",
       .needs = "balance.method=go4align"},
  };
}

// Of the methods that read the norms of the gradients.
std::vector<Field> norm_fields(BalancerOptions& options) {
  return {
      {.name = "gradnorm_alpha",
       .member = &options.gradnorm_alpha,
       .help = "How strongly tasks that train slowly get larger gradients; 0 makes all norms equal.",
       .range = ">=0",
       .needs = "balance.method=gradnorm"},
      {.name = "gradnorm_lr",
       .member = &options.gradnorm_lr,
       .help = "Learning rate of the logits of the weights, which Adam updates.",
       .range = ">=0",
       .needs = "balance.method=gradnorm"},
      {.name = "db_mtl_beta",
       .member = &options.db_mtl_beta,
       .help = "Decay of the moving averages of the gradients; 0 uses those of the step only.",
       .range = ">=0,<1",
       .needs = "balance.method=db_mtl"},
      {.name = "db_mtl_sigma",
       .member = &options.db_mtl_sigma,
       .help = "How fast that decay falls: in step k, it is db_mtl_beta / k^db_mtl_sigma.",
       .range = ">=0",
       .needs = "balance.method=db_mtl"},
      {.name = "excess_mtl_lr",
       .member = &options.excess_mtl_lr,
       .help = "How fast the weight of a task rises with its excess risk, an estimate of how far its loss is above the "
               "smallest possible one.",
       .range = ">=0",
       .needs = "balance.method=excess_mtl"},
  };
}

// Of the methods that read the Gram matrix.
std::vector<Field> gram_fields(BalancerOptions& options) {
  return {
      {.name = "gradvac_beta",
       .member = &options.gradvac_beta,
       .help = "How fast the target cosines follow the measured ones; 0 gives PCGrad.",
       .range = ">=0,<=1",
       .needs = "balance.method=gradvac"},
      {.name = "cagrad_c",
       .member = &options.cagrad_c,
       .help = "Distance of the direction from the mean gradient, relative to its norm; 0 gives the mean gradient.",
       .range = ">=0",
       .needs = "balance.method=cagrad"},
      {.name = "mgda_normalize",
       .member = NamedMember(&options.mgda_normalize),
       .help =
           "What the gradients are divided by: nothing (none), their norms (l2), the losses (loss), or both (loss+).",
       .needs = "balance.method=mgda"},
      {.name = "fairgrad_alpha",
       .member = &options.fairgrad_alpha,
       .help = "Fairness: 1 gives nash_mtl, and a large number attends to the worst task.",
       .range = ">=0.01,<=1000",
       .needs = "balance.method=fairgrad"},
      {.name = "aligned_mtl_scale",
       .member = NamedMember(&options.aligned_mtl_scale),
       .help = "The eigenvalue of the Gram matrix that all components get: the smallest (min), the median, or the mean "
               "(rmse).",
       .needs = "balance.method=aligned_mtl"},
      {.name = "primary",
       .member = &options.primary,
       .help = "The task that has priority; if not given, it is the first task.",
       .needs = "balance.method=pcd",
       .resolved = true},
      {.name = "pcd_tau",
       .member = &options.pcd_tau,
       .help = "Share of the progress along its own gradient that every task but the primary one keeps.",
       .range = ">=0,<=1",
       .needs = "balance.method=pcd"},
      {.name = "pcd_beta",
       .member = &options.pcd_beta,
       .help = "Decay of the averages of squared norms; gradients are divided by the square roots of these averages.",
       .range = ">=0,<1",
       .needs = "balance.method=pcd"},
      {.name = "krum_byzantine",
       .member = &options.krum_byzantine,
       .help = "Number of tasks whose gradients may be arbitrary.",
       .range = ">=0",
       .needs = "balance.method=krum"},
      {.name = "krum_selected",
       .member = &options.krum_selected,
       .help = "Number of tasks whose gradients are averaged.",
       .range = ">=1",
       .needs = "balance.method=krum"},
  };
}

}  // namespace

std::vector<Field> fields(BalancerOptions& options) {
  std::vector<Field> all = {
      {.name = "method",
       .member = NamedMember(&options.method, balancer_names()),
       .help =
           "How the tasks are weighted. equal and static (by task.NAME.weight) need no measurement, rlw draws random "
           "weights. uncertainty, dwa, gls, imtl_l, famo, stch and go4align use the losses; gradnorm, db_mtl and "
           "excess_mtl the norms of the tasks' gradients of the encoder; the others the inner products of these "
           "gradients. docs/guides/balancing.md describes them."},
  };
  for (const auto& part : {loss_fields(options), norm_fields(options), gram_fields(options)})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace polyhead
