// verify_dataset on shards that only HDF5's C API, or a changed address, can produce.
#include "datasets/verify.h"

#include <cstdlib>

#include "core/base/files.h"
#include "datasets/hdf5.h"
#include "datasets/shard_writer.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

class VerifyTest : public FolderTest {
 protected:
  VerifyTest() {
    ShardContent c;
    c.task = "t", c.split = "train", c.kind = Kind::classification, c.vocab_size = 10;
    c.input.values = {2, 5, 3, 2, 6, 7, 3, 2, 3};
    c.input.offsets = {0, 3, 7, 9};
    c.label = {1, 0, 1};
    write_shard(folder_ / "0.h5", c);
    write_file_atomically(folder_ / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\ne\n");
    manifest_.name = "d";
    manifest_.tokenizer = {.kind = "wordpiece", .file = "vocab.txt", .sha256 = "", .vocab_size = 10};
    TaskInfo task;
    task.name = "t", task.labels = {"a", "b"};
    task.splits["train"].samples = 3;
    task.splits["train"].shards = {{"0.h5", 3, 0, ""}};
    manifest_.tasks = {task};
    write_manifest(folder_, manifest_);
  }
  VerifyReport verify() const { return verify_dataset(folder_, manifest_, {}); }
  void expect_fault(const std::vector<std::string>& words) const {
    const VerifyReport report = verify();
    ASSERT_EQ(report.all_faults().size(), 1U);
    for (const std::string& word : words)
      EXPECT_NE(report.all_faults()[0].find(word), std::string::npos) << report.all_faults()[0];
  }
  template <class Edit>
  void edit(Edit change) const {
    const hdf5::Session session;
    const hdf5::Handle file(POLYHEAD_HDF5(H5Fopen((folder_ / "0.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT)), H5Fclose);
    change(static_cast<hid_t>(file));
  }
  Manifest manifest_;
};

TEST_F(VerifyTest, AWholeDataSet) {
  const VerifyReport report = verify();
  EXPECT_TRUE(report.all_faults().empty());
  EXPECT_TRUE(report.warnings.empty());
  ASSERT_EQ(report.shards.size(), 1U);
  EXPECT_EQ(report.shards[0].samples, 3U);
  EXPECT_EQ(report.shards[0].input_tokens, 9U);
  EXPECT_TRUE(report.shards[0].warnings.empty());
  EXPECT_EQ(report.shards[0].bytes, std::filesystem::file_size(folder_ / "0.h5"));
}

TEST_F(VerifyTest, AUserDefinedLink) {
  edit([](hid_t file) {
    H5L_class_t type{};
    type.version = H5L_LINK_CLASS_T_VERS;
    type.id = static_cast<H5L_type_t>(100);
    type.comment = "leads elsewhere";
    type.trav_func = [](const char*, hid_t, const void*, size_t, hid_t, hid_t) -> hid_t { std::abort(); };
    POLYHEAD_HDF5(H5Lregister(&type));
    POLYHEAD_HDF5(H5Ldelete(file, "target/label", H5P_DEFAULT));
    POLYHEAD_HDF5(H5Lcreate_ud(file, "target/label", type.id, "x", 1, H5P_DEFAULT, H5P_DEFAULT));
  });
  // The link's class is still known here: following it would abort.
  expect_fault({"0.h5", "/target/label is a user-defined link"});
}

TEST_F(VerifyTest, TwoDatasetsMayNotDisagreeByLyingOnTheSameBytes) {
  // An address cannot be set through HDF5; the offsets' own message is moved onto the labels'.
  std::uint64_t offsets = 0, labels = 0;
  edit([&](hid_t file) {
    const auto address = [&](const char* path) {
      const hdf5::Handle set(POLYHEAD_HDF5(H5Dopen2(file, path, H5P_DEFAULT)), H5Dclose);
      return H5Dget_offset(set);
    };
    offsets = address("input/offsets"), labels = address("target/label");
  });
  std::string bytes = read_file(folder_ / "0.h5");
  const std::string old(reinterpret_cast<const char*>(&offsets), 8);
  const std::size_t at = bytes.find(old);
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 8, reinterpret_cast<const char*>(&labels), 8);
  write_file_atomically(folder_ / "0.h5", bytes);
  expect_fault({"0.h5", "checksum"});  // HDF5's own, of the object header
}

}  // namespace
}  // namespace polyhead
