// The subcommands. Each takes its options and the world, and returns the exit code.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "core/model/options.h"
#include "distributed/checkpoint/trained.h"
#include "distributed/communicator/communicator.h"
#include "launch/options.h"

namespace polyhead {

std::span<const Option> import_options();
int run_import(const Config& config, Communicator& world);

std::span<const Option> synthetic_options();
int run_synthetic(const Config& config, Communicator& world);

// The options of train are train_options(), in launch/options.h.
int run_train(const Config& config, Communicator& world);

// The options of plan, followed by those of train.
std::span<const Option> plan_options();
int run_plan(const Config& config, Communicator& world);
// Implements --calibrate: runs training steps of the configuration, which needs the options of train, writes the
// machine's figures to `file` and prints task.NAME.cost. Collective.
int run_calibration(const Config& config, const std::filesystem::path& file, Communicator& world);

// Throws Error(usage) if a command would overwrite a file that it reads: `out` is `in`, by any path or link.
void check_not_input(const std::filesystem::path& out, std::string_view out_option, const std::filesystem::path& in,
                     std::string_view in_option);

std::span<const Option> evaluate_options();
int run_evaluate(const Config& config, Communicator& world);

std::span<const Option> compare_options();  // followed by the sections of train_options()
int run_compare(const Config& config, Communicator& world);

std::span<const Option> affinity_options();
int run_affinity(const Config& config, Communicator& world);

std::span<const Option> balance_options();
int run_balance(const Config& config, Communicator& world);

std::span<const Option> inspect_options();
int run_inspect(const Config& config, Communicator& world);

std::span<const Option> verify_options();
int run_verify(const Config& config, Communicator& world);

std::span<const Option> doctor_options();
int run_doctor(const Config& config, Communicator& world);

std::span<const Option> export_options();
int run_export(const Config& config, Communicator& world);

// The options that choose a run's weights: --run-dir, --checkpoint, --weights.
std::vector<Option> weights_options();

std::span<const Option> predict_options();
// Used by evaluate and predict. search_options() reads --beam and --length-penalty. load_run() loads the model of
// --run-dir, --checkpoint, --weights, --threads and --device with the heads of `tasks` (names; empty: all). It reports
// damaged checkpoints that are skipped on stderr. Throws as load_trained().
SearchOptions search_options(const Config& config);
TrainedModel load_run(std::string_view command, const Config& config, const std::vector<std::string>& tasks,
                      Communicator& world);
int run_predict(const Config& config, Communicator& world);

}  // namespace polyhead
