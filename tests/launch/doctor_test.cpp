// The findings of doctor on good and bad machines.
#include "launch/doctor/doctor.h"

#include <sys/resource.h>

#include <cstdlib>

#include "distributed/communicator/local/local.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::TemporaryFolder;

TEST(Doctor, FindingsSurviveTheWayToRankZero) {
  Finding finding{.subject = "nofile", .verdict = Verdict::fault, .text = "64", .cure = "ulimit -n 4096"};
  finding.values["soft"] = 64;
  EXPECT_EQ(finding_of(json_of(finding)), finding);
}

TEST(Doctor, MoreThreadsThanCpusAreAWarningWithTheCure) {
  EXPECT_EQ(look_at_threads(4, 8, 2, 0)[0].verdict, Verdict::ok);
  const Finding shared = look_at_threads(1, 2, 8, 0)[0];
  EXPECT_EQ(shared.verdict, Verdict::warning);
  EXPECT_NE(shared.cure.find("yield_when_idle"), std::string::npos) << shared.cure;
  const Finding wide = look_at_threads(4, 8, 2, 8)[0];
  EXPECT_EQ(wide.verdict, Verdict::warning);
  EXPECT_NE(wide.cure.find("at most 4"), std::string::npos) << wide.cure;
}

TEST(Doctor, SharedMemoryThatIsNotThereIsAFaultForSeveralWorkers) {
  EXPECT_EQ(look_at_shared_memory("/nowhere/shm", 2)[0].verdict, Verdict::fault);
  EXPECT_EQ(look_at_shared_memory("/nowhere/shm", 1)[0].verdict, Verdict::warning);
  // More workers than any machine's shared memory serves.
  EXPECT_EQ(look_at_shared_memory("/", 1 << 30)[0].verdict, Verdict::warning);
}

TEST(Doctor, TooFewFilesAreAFault) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const auto all = look_at_limits();
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(all[1].subject, "nofile");
  EXPECT_EQ(all[1].verdict, Verdict::fault);
  EXPECT_NE(all[1].cure.find("ulimit -n"), std::string::npos);
}

TEST(Doctor, AnInterfaceThatIsNotThereIsAFault) {
  setenv("OMPI_MCA_btl_tcp_if_include", "lo,ib7", 1);
  const Finding finding = look_at_interfaces(1)[0];
  unsetenv("OMPI_MCA_btl_tcp_if_include");
  EXPECT_EQ(finding.verdict, Verdict::fault);
  EXPECT_NE(finding.text.find("'ib7'"), std::string::npos) << finding.text;
}

TEST(Doctor, TheRunFolderIsTimedAndLeftAsItWas) {
  const TemporaryFolder folder;
  const auto world = make_local_communicator();
  const Finding good = look_at_run_folder(folder.path() / "not" / "yet", *world)[0];
  EXPECT_NE(good.verdict, Verdict::fault) << good.text;
  EXPECT_GT(good.values.at("fsync_ms"), 0.0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  const Finding bad = look_at_run_folder("/proc/runs", *world)[0];
  EXPECT_EQ(bad.verdict, Verdict::fault);
  EXPECT_NE(bad.cure.find("--run-dir"), std::string::npos);
}

TEST(Doctor, AWorldOfOneHasNoLinks) {
  EXPECT_TRUE(measure_links(*make_local_communicator()).empty());
}

}  // namespace
}  // namespace polyhead
