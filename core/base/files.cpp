// Reads whole files, writes files atomically (temporary file, fsync, rename, fsync of the folder), and computes SHA-256
// with OpenSSL.
#include "core/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>

#include "core/base/descriptor.h"
#include "core/base/error.h"
#include "core/base/progress.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPiece = std::size_t{8} << 20;
constexpr off_t kSynced = 256 << 20;  // bytes between syncs of a file that is being written

std::string reason() {
  return std::system_category().message(errno);
}

// Calls take(bytes) for every piece of the file.
template <class Take>
void read_pieces(const fs::path& file, Take take) {
  const Descriptor in(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (in.get() < 0) throw Error(Exit::data, fmt::format("cannot open {}: {}", file.string(), reason()));
  std::string buffer(1 << 20, '\0');
  for (;;) {
    const ssize_t got = ::read(in.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(Exit::data, fmt::format("cannot read {}: {}", file.string(), reason()));
    if (got == 0) return;
    note_progress();
    take(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  }
}

class Sha256 {
 public:
  Sha256() : state_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    if (!state_ || EVP_DigestInit_ex(state_.get(), EVP_sha256(), nullptr) != 1)
      throw Error(Exit::internal, "OpenSSL offers no SHA-256 here (a FIPS policy, or out of memory)");
  }
  void add(std::string_view bytes) { EVP_DigestUpdate(state_.get(), bytes.data(), bytes.size()); }
  std::string finish() {
    std::array<unsigned char, 32> digest{};
    EVP_DigestFinal_ex(state_.get(), digest.data(), nullptr);
    return fmt::format("{:02x}", fmt::join(digest, ""));
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> state_;
};

}  // namespace

std::string read_file(const fs::path& file) {
  std::string content;
  std::error_code none;
  if (const auto size = fs::file_size(file, none); !none) content.reserve(size);
  read_pieces(file, [&](std::string_view piece) { content += piece; });
  return content;
}

void sync_path(const fs::path& path) {
  const Descriptor target(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  note_progress();
  // Some file systems do not support fsync of a folder (EINVAL); there is nothing to wait for then.
  if (target.get() < 0 || (::fsync(target.get()) != 0 && errno != EINVAL))
    throw Error(Exit::cannot_write, fmt::format("cannot sync {}: {}", path.string(), reason()));
}

void rename_and_sync(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw Error(Exit::cannot_write, fmt::format("cannot rename {} to {}: {}", from.string(), to.string(), reason()));
  sync_path(to.has_parent_path() ? to.parent_path() : fs::path("."));
}

void write_file_atomically(const fs::path& file, std::string_view content) {
  AtomicFile out(file);
  out.write(content);
  out.commit();
}

AtomicFile::AtomicFile(const fs::path& file) : file_(file), temporary_(file.string() + ".tmp") {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0)
    throw Error(Exit::cannot_write, fmt::format("cannot write {}: {}", temporary_.string(), reason()));
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    // In pieces, so that a slow disk is seen to make progress.
    const ssize_t done = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kPiece));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw Error(Exit::cannot_write, fmt::format("cannot write {}: {}", temporary_.string(), reason()));
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    note_progress();
    // Also sync from time to time: a single fsync of many GiB at the end would look like a hang.
    const off_t end = ::lseek(descriptor_, 0, SEEK_CUR);
    if (end > 0 && end / kSynced != (end - static_cast<off_t>(done)) / kSynced && ::fdatasync(descriptor_) != 0)
      throw Error(Exit::cannot_write, fmt::format("cannot sync {}: {}", temporary_.string(), reason()));
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0)
    throw Error(Exit::cannot_write, fmt::format("cannot sync {}: {}", temporary_.string(), reason()));
  // Some file systems report a failed write only here.
  if (::close(std::exchange(descriptor_, -1)) != 0) {
    const std::string why = reason();
    ::unlink(temporary_.c_str());
    throw Error(Exit::cannot_write, fmt::format("cannot close {}: {}", temporary_.string(), why));
  }
  try {
    rename_and_sync(temporary_, file_);
  } catch (const Error&) {
    ::unlink(temporary_.c_str());
    throw;
  }
}

std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.finish();
}

std::string sha256_file(const fs::path& file) {
  Sha256 hash;
  read_pieces(file, [&](std::string_view piece) { hash.add(piece); });
  return hash.finish();
}

}  // namespace polyhead
