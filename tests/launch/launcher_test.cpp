// Which launcher started a process, and known mistakes, by the environment variables of each launcher.
#include "launch/launcher.h"

#include <cstdlib>

#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::error_of;

// Only these of the launchers' variables are set while it lives.
class Environment {
 public:
  explicit Environment(const std::vector<std::pair<const char*, const char*>>& set) {
    for (const char* name : kNames) {
      const char* value = std::getenv(name);
      before_.emplace_back(name, value == nullptr ? "" : value);
      unsetenv(name);
    }
    for (const auto& [name, value] : set) setenv(name, value, 1);
  }
  ~Environment() {
    for (const auto& [name, value] : before_) value.empty() ? unsetenv(name) : setenv(name, value.c_str(), 1);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  static constexpr const char* kNames[] = {
      "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMIX_RANK",   "PMI_RANK", "PMI_SIZE",
      "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS",         "SLURM_PROCID"};
  std::vector<std::pair<const char*, std::string>> before_;
};

TEST(Launcher, NobodyIsAWorldOfOne) {
  const Environment here({});
  const Launcher launcher = find_launcher();
  EXPECT_EQ(launcher.name, "none");
  EXPECT_EQ(launcher.processes, 1);
  EXPECT_FALSE(launcher.mpi);
  EXPECT_EQ(alone_in_job(launcher), "");
}

TEST(Launcher, MpirunInsideAJobIsNotTakenForSrun) {
  // The batch script's SLURM_PROCID, and the step in which mpirun starts its daemons.
  const Environment here({{"OMPI_COMM_WORLD_SIZE", "4"},
                          {"OMPI_COMM_WORLD_RANK", "3"},
                          {"PMIX_RANK", "3"},
                          {"SLURM_PROCID", "0"},
                          {"SLURM_STEP_NUM_TASKS", "1"},
                          {"SLURM_NTASKS", "2"}});
  const Launcher launcher = find_launcher();
  EXPECT_EQ(launcher.name, "mpirun");
  EXPECT_EQ(launcher.because, "OMPI_COMM_WORLD_SIZE=4");
  EXPECT_EQ(launcher.processes, 4);
  EXPECT_EQ(launcher.rank, 3);
  EXPECT_EQ(alone_in_job(launcher), "");
}

TEST(Launcher, SrunWithPmixSaysItsTasks) {
  const Environment here({{"PMIX_RANK", "1"}, {"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}});
  const Launcher launcher = find_launcher();
  EXPECT_EQ(launcher.name, "srun with PMIx");
  EXPECT_EQ(launcher.because, "SLURM_STEP_NUM_TASKS=2");
  EXPECT_EQ(launcher.processes, 2);
  EXPECT_EQ(launcher.rank, 1);
}

TEST(Launcher, ForeignMpiexecSaysItsSize) {
  const Environment here({{"PMI_RANK", "1"}, {"PMI_SIZE", "3"}});
  EXPECT_EQ(find_launcher().name, "mpiexec with PMI");
  EXPECT_EQ(find_launcher().processes, 3);
}

TEST(Launcher, SrunWithoutPmiIsAnErrorThatNamesTheCure) {
  const Environment here({{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}});
  int argc = 0;
  char** argv = nullptr;
  const std::string error = error_of(Exit::config, [&] { make_world(&argc, &argv); });
  EXPECT_NE(error.find("2 tasks (SLURM_STEP_NUM_TASKS=2)"), std::string::npos) << error;
  EXPECT_NE(error.find("--mpi=pmix"), std::string::npos) << error;
}

TEST(Launcher, AWorldSmallerThanTheLauncherSaysIsAnError) {
  const Environment here({{"PMI_RANK", "0"}, {"SLURM_STEP_NUM_TASKS", "4"}});
  const Launcher launcher = find_launcher();
  EXPECT_NO_THROW(check_world_size(launcher, 4));
  const std::string error = error_of(Exit::config, [&] { check_world_size(launcher, 1); });
  for (const char* words : {"srun with PMI started 4", "SLURM_STEP_NUM_TASKS=4", "world has 1", "--mpi=pmix"})
    EXPECT_NE(error.find(words), std::string::npos) << error;
}

TEST(Launcher, AProcessAloneInAJobOfSeveralTasksIsTold) {
  const Environment here({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}});
  const std::string said = alone_in_job(find_launcher());
  EXPECT_NE(said.find("SLURM_NTASKS=4"), std::string::npos) << said;
  EXPECT_NE(said.find("mpirun"), std::string::npos) << said;
}

}  // namespace
}  // namespace polyhead
