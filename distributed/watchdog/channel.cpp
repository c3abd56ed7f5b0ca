// Uses non-blocking sockets and poll(), all in the watchdog's thread.
#include "distributed/watchdog/channel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "core/base/error.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBuffered = 4 << 20;        // maximum bytes that wait to be sent to a peer
constexpr std::size_t kGreetingBytes = 256;       // maximum length of a line before the proof
constexpr std::ptrdiff_t kWaiting = 128;          // maximum number of connections without a proof
constexpr std::size_t kNonce = 16, kSecret = 32;  // bytes
constexpr double kGreeting = 2;                   // seconds in which a new connection proves who it is
constexpr std::string_view kHello = "polyhead-watchdog-1";
constexpr double kRetry = 0.05;  // seconds

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string reason() {
  return std::strerror(errno);
}

// Loopback comes first: it is the right one if all workers are on one host; on other hosts, no program knows the
// secret.
std::vector<std::string> own_addresses() {
  std::vector<std::string> found{"127.0.0.1"};
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const int family : {AF_INET, AF_INET6})
    for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
      if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != family) continue;
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(at->ifa_addr);
      if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)) continue;  // valid on one interface only
      std::array<char, INET6_ADDRSTRLEN> text{};
      const void* address = &v6->sin6_addr;
      if (family == AF_INET) address = &reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr;
      inet_ntop(family, address, text.data(), text.size());
      if (std::ranges::count(found, std::string(text.data())) == 0) found.emplace_back(text.data());
    }
  freeifaddrs(list);
  return found;
}

void send_at_once(int socket) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// Returns a socket that is connecting, or -1.
int start_connecting(const std::string& address, int port) {
  sockaddr_storage to{};
  socklen_t size = sizeof(sockaddr_in);
  auto* v4 = reinterpret_cast<sockaddr_in*>(&to);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&to);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(port));
  } else if (inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<std::uint16_t>(port));
    size = sizeof(sockaddr_in6);
  } else {
    return -1;
  }
  const int descriptor = ::socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&to), size) != 0 && errno != EINPROGRESS) {
    ::close(descriptor);
    return -1;
  }
  send_at_once(descriptor);
  return descriptor;
}

// Returns a socket that listens on a free port of all addresses, or -1. A socket of IPv6 also accepts IPv4.
int start_listening(int family) {
  const int descriptor = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  const int off = 0;
  if (family == AF_INET6) setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  sockaddr_storage any{};  // all zero: any address, any port
  any.ss_family = static_cast<sa_family_t>(family);
  const socklen_t size = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  if (bind(descriptor, reinterpret_cast<const sockaddr*>(&any), size) == 0 && ::listen(descriptor, 4096) == 0)
    return descriptor;
  ::close(descriptor);
  return -1;
}

int port_of(int socket) {
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  getsockname(socket, reinterpret_cast<sockaddr*>(&own), &size);
  return ntohs(own.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&own)->sin6_port
                                         : reinterpret_cast<const sockaddr_in*>(&own)->sin_port);
}

// Rank 0 needs a file descriptor for every worker.
void allow_descriptors(int more) {
  rlimit limit{};
  const auto wanted = static_cast<rlim_t>(more) + 1024;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Only this user may read the file, as its content is the proof of identity. It is written under another name and
// renamed.
void write_private(const fs::path& file, std::string_view text) {
  const fs::path beside = file.string() + ".tmp";
  ::unlink(beside.c_str());
  const int out = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  const bool written = out >= 0 && ::fchmod(out, 0600) == 0 &&
                       ::write(out, text.data(), text.size()) == std::ssize(text) && ::fsync(out) == 0;
  const std::string why = reason();
  if (out >= 0) ::close(out);
  if (written && ::rename(beside.c_str(), file.c_str()) == 0) return;
  const std::string what = written ? reason() : why;
  if (out >= 0) ::unlink(beside.c_str());
  throw Error(Exit::cannot_write, fmt::format("cannot write {}: {}", file.string(), what));
}

// Returns "" if there is no file, or if another user may have written it.
std::string read_private(const fs::path& file) {
  std::string text;
  const int in = ::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat about = {};
  if (in >= 0 && ::fstat(in, &about) == 0 && S_ISREG(about.st_mode) && about.st_uid == geteuid() &&
      (about.st_mode & 077U) == 0) {
    std::array<char, 65536> buffer{};
    const ssize_t got = ::read(in, buffer.data(), buffer.size());
    if (got > 0) text.assign(buffer.data(), static_cast<std::size_t>(got));
  }
  if (in >= 0) ::close(in);
  return text;
}

}  // namespace

char process_state(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return 'X';
  const std::size_t close = line.rfind(") ");
  return close == std::string::npos || close + 2 >= line.size() ? 'X' : line[close + 2];
}

Channel::Channel(int rank, int size, fs::path file, double patience)
    : rank_(rank), size_(size), file_(std::move(file)), patience_(patience) {
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (rank_ == 0)
    listen();
  else
    peers_.resize(1);
}

Channel::~Channel() {
  for (Peer& peer : peers_) {
    flush(peer);
    close(peer);
  }
  for (const int descriptor : {listener_, wake_})
    if (descriptor >= 0) ::close(descriptor);
  remove_file();
  // The folders are not removed earlier, because the run may be about to use them. Only empty ones are removed.
  std::error_code error;
  for (fs::path at = file_.parent_path(); !made_.empty() && fs::remove(at, error); at = at.parent_path())
    if (at == made_) break;
}

void Channel::listen() {
  allow_descriptors(size_);
  listener_ = start_listening(AF_INET6);
  if (listener_ < 0) listener_ = start_listening(AF_INET);
  if (listener_ < 0)
    throw Error(Exit::cannot_write, fmt::format("the watchdog cannot listen on a TCP port: {}", reason()));
  secret_ = random_digits(kSecret);
  std::string text = fmt::format("{}\n{}\n", secret_, port_of(listener_));
  for (const std::string& address : own_addresses()) text += address + "\n";
  std::error_code error;
  const fs::path folder = file_.parent_path();
  for (fs::path at = folder; !at.empty() && !fs::exists(at, error); at = at.parent_path()) made_ = at;
  fs::create_directories(folder, error);
  write_private(file_, text);
  filed_ = true;
}

void Channel::remove_file() {
  if (!std::exchange(filed_, false)) return;
  std::error_code error;
  fs::remove(file_, error);
}

std::vector<Channel::Line> Channel::wait(double seconds) {
  std::vector<Line> lines;
  if (rank_ != 0) {
    connect();
    if (!connected(0)) seconds = std::min(seconds, kRetry);
  }
  std::vector<pollfd> waiting;  // negative sockets are ignored
  for (const Peer& peer : peers_)
    waiting.push_back({peer.socket, static_cast<short>(peer.out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
  waiting.push_back({listener_, POLLIN, 0});
  waiting.push_back({wake_, POLLIN, 0});
  ::poll(waiting.data(), waiting.size(), static_cast<int>(seconds * 1000));
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    Peer& peer = peers_[i];
    if (waiting[i].revents == 0 || peer.socket < 0) continue;
    if (flush(peer) && read(peer, lines)) continue;
    if (peer.rank >= 0) closed_.push_back(peer.rank);
    close(peer);
  }
  if (rank_ != 0) return lines;
  for (Peer& peer : peers_)
    if (peer.rank < 0 && now() - peer.last_heard > kGreeting) close(peer);
  std::erase_if(peers_, [](const Peer& peer) { return peer.socket < 0; });
  accept_all();
  if (filed_ && std::ranges::count_if(peers_, [](const Peer& peer) { return peer.rank > 0; }) == size_ - 1)
    remove_file();  // all others have read it
  return lines;
}

void Channel::accept_all() {
  for (;;) {
    const int descriptor = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) return;
    send_at_once(descriptor);
    Peer& peer = peers_.emplace_back();
    peer.socket = descriptor;
    peer.last_heard = now();
    drop_waiting();
  }
}

// Without this, a program that opens connections and sends nothing could keep workers out.
void Channel::drop_waiting() {
  const auto waiting = [](const Peer& peer) { return peer.socket >= 0 && peer.rank < 0; };
  if (std::ranges::count_if(peers_, waiting) <= kWaiting) return;
  close(*std::ranges::find_if(peers_, waiting));  // the oldest
}

void Channel::connect() {
  Peer& peer = peers_[0];
  if (peer.socket >= 0 && now() - peer.last_heard > (peer.rank == 0 ? patience_ : kGreeting)) close(peer);
  if (peer.socket >= 0) return;
  if (next_ >= addresses_.size()) {
    if (now() < round_at_) return;
    round_at_ = now() + kRetry;
    read_file();
    next_ = 0;
    if (addresses_.empty()) return;
  }
  const std::string& address = addresses_[next_++];
  peer.socket = start_connecting(address, port_);
  peer.last_heard = now();
  peer.asked = random_digits(kNonce);
  peer.out = fmt::format("{} {} {}\n", kHello, rank_, peer.asked);
}

// Keeps the known addresses if the file has been removed.
void Channel::read_file() {
  std::istringstream file(read_private(file_));
  std::string secret, address;
  int port = 0;
  if (!std::getline(file, secret) || secret.size() != 2 * kSecret || !(file >> port)) return;
  secret_ = secret;
  port_ = port;
  addresses_.clear();
  while (file >> address) addresses_.push_back(address);
}

std::string Channel::tried() const {
  std::string text;
  for (const std::string& address : addresses_)
    text += fmt::format("{}{}:{}", text.empty() ? "" : ", ", address, port_);
  return text;
}

// Both ends prove that they know the secret, rank 0 first:
//   rank N -> rank 0: "polyhead-watchdog-1 N NONCE"
//   rank 0 -> rank N: "challenge NONCE PROOF"
//   rank N -> rank 0: "answer PROOF"
// A proof is the keyed hash of its maker, the rank and both nonces. Returns whether to keep the connection.
bool Channel::greet(Peer& peer, const std::string& line) {
  if (rank_ > 0) return answer_challenge(peer, line);
  std::istringstream words(line);
  std::string verb, second, rest;
  if (peer.claimed < 0) {
    int number = 0;
    if (!(words >> verb >> number >> second) || words >> rest || verb != kHello || number <= 0 || number >= size_ ||
        second.size() != 2 * kNonce)
      return false;
    peer.claimed = number;
    const std::string own = random_digits(kNonce);
    peer.asked = fmt::format("{} {} {}", number, second, own);
    peer.out += fmt::format("challenge {} {}\n", own, keyed_hash(secret_, "rank 0 " + peer.asked));
    return flush(peer);
  }
  if (!(words >> verb >> second) || words >> rest || verb != "answer" ||
      !equal_proofs(second, keyed_hash(secret_, "worker " + peer.asked)))
    return false;
  for (Peer& other : peers_)
    if (other.rank == peer.claimed) close(other);  // the worker lost this connection and made another one
  peer.rank = peer.claimed;
  begin_lines(peer, peer.asked);
  return true;
}

bool Channel::answer_challenge(Peer& peer, const std::string& line) {
  std::istringstream words(line);
  std::string verb, nonce, proof, rest;
  if (!(words >> verb >> nonce >> proof) || words >> rest || verb != "challenge") return false;
  const std::string both = fmt::format("{} {} {}", rank_, peer.asked, nonce);
  if (!equal_proofs(proof, keyed_hash(secret_, "rank 0 " + both))) return false;  // it is not our rank 0
  peer.out += fmt::format("answer {}\n", keyed_hash(secret_, "worker " + both));
  peer.rank = 0;
  peer.last_heard = now();
  --next_;  // connect to this address again
  begin_lines(peer, both);
  return flush(peer);
}

void Channel::begin_lines(Peer& peer, const std::string& both) {
  LineSeal down(keyed_hash(secret_, "lines of rank 0 " + both)), up(keyed_hash(secret_, "lines of worker " + both));
  peer.outgoing = rank_ == 0 ? down : up;
  peer.incoming = rank_ == 0 ? up : down;
}

bool Channel::receive_line(Peer& peer, std::string line, std::vector<Line>& lines) {
  if (peer.rank < 0) return greet(peer, line);
  if (!peer.incoming.open(line)) return false;
  peer.last_heard = now();
  lines.push_back({peer.rank, std::move(line)});
  return true;
}

bool Channel::read(Peer& peer, std::vector<Line>& lines) {
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t got = ::recv(peer.socket, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    if (got == 0) return false;
    peer.in.append(buffer.data(), static_cast<std::size_t>(got));
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = peer.in.find('\n', begin)) != std::string::npos; begin = end + 1)
      if (!receive_line(peer, peer.in.substr(begin, end - begin), lines)) return false;
    peer.in.erase(0, begin);
    if (peer.in.size() > (peer.rank < 0 ? kGreetingBytes : kLongest + LineSeal::kDigits + 1)) return false;
  }
}

bool Channel::flush(Peer& peer) {
  while (peer.socket >= 0 && !peer.out.empty()) {
    const ssize_t done = ::send(peer.socket, peer.out.data(), peer.out.size(), MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    peer.out.erase(0, static_cast<std::size_t>(done));
  }
  return true;
}

void Channel::close(Peer& peer) {
  if (peer.socket >= 0) ::close(peer.socket);
  peer = {};
}

void Channel::send(int to, std::string_view line) {
  for (Peer& peer : peers_) {
    if (peer.socket < 0 || peer.rank != to || line.size() > kLongest || line.find('\n') != std::string_view::npos ||
        peer.out.size() + line.size() > kBuffered)
      continue;
    peer.out.append(peer.outgoing.seal(line)).append("\n");
    if (!flush(peer)) {
      closed_.push_back(peer.rank);
      close(peer);
    }
  }
}

void Channel::wake() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t done = ::write(wake_, &one, sizeof one);
}

bool Channel::connected(int to) const {
  return std::ranges::any_of(peers_, [&](const Peer& peer) { return peer.socket >= 0 && peer.rank == to; });
}

}  // namespace polyhead
