// The watchdog's connections: lines arrive, and programs that listen, connect or change data in between are rejected.
#include "distributed/watchdog/channel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/progress.h"
#include "distributed/watchdog/watchdog.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

void put_private(const fs::path& file, const std::string& text) {
  std::ofstream(file) << text;
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
}

std::string content_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

// An empty folder, removed with what is in it.
struct Folder {
  explicit Folder(const std::string& name)
      : path(fs::temp_directory_path() / fmt::format("polyhead-{}-{}", name, getpid())) {
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  fs::path path;
};

// What the address file says.
struct Address {
  explicit Address(const fs::path& file) {
    std::ifstream in(file);
    in >> secret >> port;
  }
  std::string secret;
  int port = 0;
};

// A plain socket: a stranger's end.
class Stranger {
 public:
  explicit Stranger(int descriptor) : socket_(descriptor) {}
  static Stranger to(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return Stranger(descriptor);
  }
  ~Stranger() {
    if (socket_ >= 0) ::close(socket_);
  }
  Stranger(Stranger&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  Stranger(const Stranger&) = delete;

  void say(const std::string& text) const {
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t done = ::send(socket_, text.data() + at, text.size() - at, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (done <= 0) return;
      at += static_cast<std::size_t>(done);
    }
  }
  // What came within `seconds`, until a line feed; "" at the end of the connection.
  std::string receive(double seconds = 1) const {
    std::string text;
    pollfd waiting{socket_, POLLIN, 0};
    for (char letter = 0; ::poll(&waiting, 1, static_cast<int>(seconds * 1000)) > 0;) {
      if (::recv(socket_, &letter, 1, 0) <= 0) break;
      if (letter == '\n') return text;
      text += letter;
    }
    return text;
  }
  bool ended(double seconds = 3) const {
    pollfd waiting{socket_, POLLIN, 0};
    std::array<char, 4096> buffer{};
    while (::poll(&waiting, 1, static_cast<int>(seconds * 1000)) > 0)
      if (::recv(socket_, buffer.data(), buffer.size(), 0) <= 0) return true;
    return false;
  }

 private:
  int socket_;
};

// Listens on a port of its own.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    socklen_t size = sizeof any;
    EXPECT_EQ(bind(socket_, reinterpret_cast<const sockaddr*>(&any), size), 0);
    EXPECT_EQ(::listen(socket_, 16), 0);
    getsockname(socket_, reinterpret_cast<sockaddr*>(&any), &size);
    port = ntohs(any.sin_port);
  }
  ~Listener() { ::close(socket_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  Stranger accept() const { return Stranger(::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC)); }
  int port = 0;

 private:
  int socket_;
};

// A channel that runs in a thread of its own and keeps what it hears.
class Running {
 public:
  explicit Running(Channel& channel) : channel_(channel), thread_([this] { run(); }) {}
  ~Running() {
    stop_ = true;
    thread_.join();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  std::vector<std::string> heard() {
    const std::lock_guard lock(mutex_);
    return heard_;
  }
  bool connected() const { return connected_; }

 private:
  void run() {
    while (!stop_) {
      for (Channel::Line& line : channel_.wait(0.02)) {
        const std::lock_guard lock(mutex_);
        heard_.push_back(std::move(line.text));
      }
      connected_ = channel_.connected(0);
    }
  }
  Channel& channel_;
  std::atomic<bool> stop_{false}, connected_{false};
  std::mutex mutex_;
  std::vector<std::string> heard_;
  std::thread thread_;
};

// Both ends in one process.
TEST(Channel, CarriesLinesBothWaysAndLeavesNoFile) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("polyhead-channel-{}", getpid());
  const fs::path file = folder / "deep" / ".watchdog-1";
  {
    Channel first(0, 3, file, 60);
    EXPECT_TRUE(fs::exists(file));
    Channel second(1, 3, file, 60);
    std::vector<Channel::Line> at_first, at_second;
    std::thread other([&] {
      bool sent = false;
      for (int i = 0; i < 200 && (!sent || at_second.empty()); ++i) {
        for (Channel::Line& line : second.wait(0.05)) at_second.push_back(std::move(line));
        if (!sent && second.connected(0)) second.send(0, "a line of rank 1"), sent = true;
      }
    });
    bool sent = false;
    for (int i = 0; i < 200 && at_first.empty(); ++i) {
      at_first = first.wait(0.05);
      if (!sent && first.connected(1)) first.send(1, "one\ntwo"), first.send(1, "one"), sent = true;
    }
    other.join();
    ASSERT_FALSE(at_first.empty());
    EXPECT_EQ(at_first[0].from, 1);
    EXPECT_EQ(at_first[0].text, "a line of rank 1");
    ASSERT_FALSE(at_second.empty());
    EXPECT_EQ(at_second[0].from, 0);
    EXPECT_EQ(at_second[0].text, "one");
    EXPECT_FALSE(first.connected(2));
    EXPECT_TRUE(fs::exists(file));  // rank 2 has not come
  }
  EXPECT_FALSE(fs::exists(folder));
}

// As after an outage of the network; the file is gone by then.
TEST(Channel, ConnectsAnewWhenNothingIsHeard) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("polyhead-outage-{}", getpid());
  const fs::path file = folder / "w";
  {
    Channel first(0, 2, file, 60);
    Channel second(1, 2, file, 0.3);
    std::atomic<bool> stop{false}, speak{true};
    std::atomic<int> heard{0};
    std::thread other([&] {
      for (int i = 0; !stop; ++i) {
        heard += static_cast<int>(second.wait(0.02).size());
        second.send(0, std::to_string(i));
      }
    });
    const auto lines_in = [&](int rounds) {
      std::size_t lines = 0;
      for (int i = 0; i < rounds; ++i) {
        lines += first.wait(0.02).size();
        if (speak) first.send(1, "tick");
      }
      return lines;
    };
    EXPECT_GT(lines_in(30), 5u);
    EXPECT_FALSE(fs::exists(file)) << "all have come";
    const int before = heard;
    EXPECT_GT(before, 5);
    speak = false;  // longer than the patience of rank 1: it connects anew, several times
    EXPECT_GT(lines_in(60), 5u);
    speak = true;
    EXPECT_GT(lines_in(30), 5u);
    EXPECT_GT(heard, before + 5);
    EXPECT_TRUE(first.connected(1));
    stop = true;
    other.join();
  }
  fs::remove_all(folder);
}

TEST(Channel, TakesIPv6) {
  if (std::ifstream("/proc/net/if_inet6").peek() == std::ifstream::traits_type::eof())
    GTEST_SKIP() << "no IPv6 on this machine";
  const fs::path folder = fs::temp_directory_path() / fmt::format("polyhead-ipv6-{}", getpid());
  fs::create_directories(folder);
  {
    Channel first(0, 2, folder / "a", 60);
    std::ifstream in(folder / "a");
    std::string secret, port;
    std::getline(in, secret);
    std::getline(in, port);
    put_private(folder / "b", secret + "\n" + port + "\n::1\n");
    Channel second(1, 2, folder / "b", 60);
    for (int i = 0; i < 100 && !(second.connected(0) && first.connected(1)); ++i) first.wait(0.01), second.wait(0.01);
    EXPECT_TRUE(second.connected(0));
    EXPECT_TRUE(first.connected(1));
  }
  fs::remove_all(folder);
}

TEST(Channel, WhoDoesNotKnowTheSecretIsNotHeard) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("polyhead-secret-{}", getpid());
  fs::create_directories(folder);
  {
    Channel first(0, 2, folder / "a", 60);
    std::ifstream in(folder / "a");
    std::string secret, rest, line;
    std::getline(in, secret);
    while (std::getline(in, line)) rest += line + "\n";
    put_private(folder / "b", std::string(64, '0') + "\n" + rest);
    Channel stranger(1, 2, folder / "b", 60);
    std::atomic<bool> stop{false};
    std::thread other([&] {
      while (!stop) stranger.wait(0.05), stranger.send(0, "hello");
    });
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(first.wait(0.05).empty());
    stop = true;
    other.join();
    EXPECT_FALSE(stranger.connected(0));
    EXPECT_FALSE(first.connected(1));
    EXPECT_NE(stranger.tried().find("127.0.0.1:"), std::string::npos);
  }
  fs::remove_all(folder);
}

TEST(Channel, TheAddressFileIsThisUsersAlone) {
  const Folder folder("private");
  Channel first(0, 2, folder.path / "a", 60);
  struct stat about = {};
  ASSERT_EQ(::stat((folder.path / "a").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
  EXPECT_EQ(Address(folder.path / "a").secret.size(), 64U);
  // Whoever could have written the file could be anybody.
  put_private(folder.path / "b", content_of(folder.path / "a"));
  fs::permissions(folder.path / "b", fs::perms::group_write, fs::perm_options::add);
  fs::create_symlink(folder.path / "a", folder.path / "c");
  for (const char* name : {"b", "c"}) {
    Channel second(1, 2, folder.path / name, 60);
    for (int i = 0; i < 10; ++i) first.wait(0.01), second.wait(0.01);
    EXPECT_FALSE(second.connected(0)) << name;
    EXPECT_EQ(second.tried(), "");
  }
}

// The state of a worker of 1,000 heads, whose groups each have a call.
TEST(Channel, CarriesLongLines) {
  const Folder folder("long");
  Channel first(0, 2, folder.path / "a", 60), second(1, 2, folder.path / "a", 60);
  const std::string line(200'000, 'x');
  std::vector<Channel::Line> heard;
  bool sent = false;
  for (int i = 0; i < 500 && heard.size() < 2; ++i) {
    for (Channel::Line& one : first.wait(0.01)) heard.push_back(std::move(one));
    second.wait(0.01);
    if (!sent && second.connected(0)) second.send(0, line), second.send(0, "next"), sent = true;
  }
  ASSERT_EQ(heard.size(), 2U);
  EXPECT_EQ(heard[0].text, line);
  EXPECT_EQ(heard[1].text, "next");
  second.send(0, std::string(Channel::kLongest + 1, 'x'));  // dropped
  second.send(0, "last");
  for (int i = 0; i < 100 && heard.size() < 3; ++i) {
    second.wait(0.01);
    for (Channel::Line& one : first.wait(0.01)) heard.push_back(std::move(one));
  }
  ASSERT_EQ(heard.size(), 3U);
  EXPECT_EQ(heard[2].text, "last");
}

TEST(Channel, StrangersWhoConnectAreNotHeardAndDisturbNobody) {
  const Folder folder("connect");
  const fs::path file = folder.path / "a";
  Channel first(0, 3, file, 60), second(1, 3, file, 60);
  const Address address(file);
  Running running(first);
  for (int i = 0; i < 200 && !second.connected(0); ++i) second.wait(0.02);
  ASSERT_TRUE(second.connected(0));
  std::vector<Stranger> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(Stranger::to(address.port));  // say nothing
  const std::string nonce(32, 'a'), proof(64, 'b');
  for (const std::string& text :
       {std::string("bye\n"), "polyhead-watchdog-1 2 " + nonce + " more\n", "polyhead-watchdog-1 0 " + nonce + "\n",
        "polyhead-watchdog-1 3 " + nonce + "\n", "polyhead-watchdog-1 -1 " + nonce + "\n",
        "polyhead-watchdog-1 99999999999999999999 " + nonce + "\n", std::string("polyhead-watchdog-1 2 short\n"),
        std::string(300, 'x'), std::string("\n"), std::string(100, '\0') + "\n",
        address.secret + " 2\n"}) {  // as an earlier version asked
    const Stranger stranger = Stranger::to(address.port);
    stranger.say(text);
    EXPECT_TRUE(stranger.ended()) << text;
  }
  {
    const Stranger stranger = Stranger::to(address.port);
    stranger.say("polyhead-watchdog-1 1 " + nonce + "\n");
    const std::string challenge = stranger.receive();
    EXPECT_TRUE(challenge.starts_with("challenge ")) << challenge;
    EXPECT_EQ(challenge.find(address.secret), std::string::npos);
    stranger.say("answer " + proof + "\n" + "bye\n");
    EXPECT_TRUE(stranger.ended());
  }
  second.send(0, "still here");
  for (int i = 0; i < 50 && running.heard().empty(); ++i) second.wait(0.02);
  EXPECT_EQ(running.heard(), std::vector<std::string>{"still here"});
  EXPECT_TRUE(second.connected(0));
}

// It listens where the file says that rank 0 does, and learns nothing from those who come.
TEST(Channel, AStrangerWhoListensLearnsNoSecretAndIsNotBelieved) {
  const Folder folder("listen");
  const Listener listener;
  const std::string secret(64, 'c');
  put_private(folder.path / "a", fmt::format("{}\n{}\n127.0.0.1\n", secret, listener.port));
  Channel worker(1, 2, folder.path / "a", 60);
  Running running(worker);
  const std::string proof(64, 'b');
  for (const std::string& answer :
       {"welcome " + secret + "\n", "challenge " + std::string(32, 'a') + " " + proof + "\n", std::string("bye\n")}) {
    const Stranger stranger = listener.accept();
    const std::string hello = stranger.receive();
    EXPECT_TRUE(hello.starts_with("polyhead-watchdog-1 1 ")) << hello;
    EXPECT_EQ(hello.find(secret), std::string::npos);
    stranger.say(answer + "{\"end\":\"ended by a stranger\",\"kill\":{}}\n");
    EXPECT_TRUE(stranger.ended());
  }
  EXPECT_TRUE(running.heard().empty());
  EXPECT_FALSE(running.connected());
}

// It hands on the proofs of both, and then speaks for one of them.
TEST(Channel, AStrangerWhoStandsBetweenCannotSpeak) {
  const Folder folder("between");
  Channel first(0, 2, folder.path / "a", 60);
  const Address address(folder.path / "a");
  const Listener listener;
  put_private(folder.path / "b", fmt::format("{}\n{}\n127.0.0.1\n", address.secret, listener.port));
  Channel second(1, 2, folder.path / "b", 60);
  Running at_first(first), at_second(second);
  const Stranger down = listener.accept(), up = Stranger::to(address.port);
  up.say(down.receive() + "\n");
  down.say(up.receive() + "\n");
  up.say(down.receive() + "\n");
  for (int i = 0; i < 100 && !at_second.connected(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(at_second.connected());  // as far as it knows
  down.say("{\"end\":\"ended by a stranger\",\"kill\":{}}\n");
  up.say(std::string(32, 'f') + " bye\n");
  EXPECT_TRUE(down.ended());
  EXPECT_TRUE(up.ended());
  EXPECT_TRUE(at_first.heard().empty());
  EXPECT_TRUE(at_second.heard().empty());
}

TEST(LineSeal, OpensTheNextLineOnly) {
  LineSeal out("key"), in("key"), other("another key");
  const std::string first = out.seal("one"), second = out.seal("two");
  std::string line = second;
  EXPECT_FALSE(LineSeal("key").open(line)) << "one was left out";
  line = first;
  EXPECT_FALSE(other.open(line));
  line = first;
  EXPECT_TRUE(in.open(line));
  EXPECT_EQ(line, "one");
  line = first;
  EXPECT_FALSE(LineSeal(in).open(line)) << "a repetition";
  line = second;
  line.back() = 'x';
  EXPECT_FALSE(LineSeal(in).open(line));
  line = "";
  EXPECT_FALSE(LineSeal(in).open(line));
  line = second;
  EXPECT_TRUE(in.open(line));
}

WatchdogOptions options_for(const fs::path& folder, int rank) {
  WatchdogOptions options;
  options.rank = rank;
  options.size = 2;
  options.host = "here";
  options.run_dir = folder;
  options.job = "job";
  options.limits = {.hang = 3, .init = 0};
  options.on_hang = [](const std::string& words) { std::fprintf(stderr, "hang: %s\n", words.c_str()); };
  options.on_lost = [](const std::string& words) { std::fprintf(stderr, "lost: %s\n", words.c_str()); };
  options.on_warning = [](const std::string& words) { std::fprintf(stderr, "warned: %s\n", words.c_str()); };
  return options;
}

// Lines that a worker of ours would never send, as after a fault of its memory, end neither the thread nor the job.
TEST(WatchdogDeathTest, MalformedLinesEndNothing) {
  const Folder folder("malformed");
  const auto body = [&] {
    Watchdog watchdog(options_for(folder.path, 0));
    watchdog.joined();
    Channel worker(1, 2, folder.path / ".watchdog-job", 60);
    for (int i = 0; i < 100 && !worker.connected(0); ++i) worker.wait(0.02);
    const std::string state = R"("host":"here","joined":true,"phase":"forward","in":1,"silent":0,"step":3,"calls":[])";
    for (const std::string& line :
         {std::string("{"), std::string("[1]"), std::string("null"), std::string(100'000, '['), std::string("{}"),
          std::string(R"({"state":5,"seen":[]})"), R"({"state":{"pid":-1,)" + state + R"(},"seen":[]})",
          R"({"state":{"pid":0,)" + state + R"(},"seen":[]})", R"({"state":{"pid":1,)" + state + R"(},"seen":[]})",
          R"({"state":{"pid":4294967295,)" + state + R"(},"seen":[]})",
          R"({"state":{"pid":77,)" + state + R"(},"seen":[[-1,"T"],[5,"T"],[1,""]]})"})
      worker.send(0, line);
    for (int i = 0; i < 25; ++i) {
      note_progress();
      worker.wait(0.02);
    }
    if (!worker.connected(0)) std::_Exit(1);
    worker.send(0, R"({"state":{"pid":77,)" + state + R"(},"seen":[]})");
    worker.send(0, "bye");
    worker.wait(0.1);
    std::fputs("all well", stderr);
    std::fflush(stderr);
    std::_Exit(7);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(7), "^all well$");
}

// Rank 0 may ask for a SIGKILL of workers alone: neither of groups nor of other programs.
TEST(WatchdogDeathTest, OnlyWorkersAreKilled) {
  const Folder folder("kill");
  const pid_t victim = fork();
  if (victim == 0) {
    setpgid(0, 0);
    execlp("sleep", "sleep", "60", nullptr);
    _exit(1);
  }
  const auto body = [&] {
    Channel first(0, 2, folder.path / ".watchdog-job", 60);
    Watchdog watchdog(options_for(folder.path, 1));
    for (int i = 0; i < 200 && !first.connected(1); ++i) first.wait(0.02);
    first.send(1, fmt::format(R"({{"end":"the test","kill":{{"1":[{},{}]}}}})", victim, -victim));
    for (int i = 0; i < 300; ++i) first.wait(0.02);
    std::_Exit(1);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(71), "");
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));  // kill_soon waits 2 s
  EXPECT_EQ(waitpid(victim, nullptr, WNOHANG), 0) << "a process that is no worker was killed";
  kill(victim, SIGKILL);
  waitpid(victim, nullptr, 0);
}

// Its connection closes, its process is gone: it is named, and the job ends.
TEST(WatchdogDeathTest, AWorkerThatIsGoneIsNamed) {
  const Folder folder("gone");
  const auto body = [&] {
    Watchdog watchdog(options_for(folder.path, 0));
    watchdog.joined();
    const pid_t child = fork();
    if (child == 0) {
      Channel worker(1, 2, folder.path / ".watchdog-job", 60);
      for (int i = 0; i < 100 && !worker.connected(0); ++i) worker.wait(0.02);
      worker.send(
          0, fmt::format(R"({{"state":{{"pid":{},"host":"here","joined":true,"phase":"backward","in":1,"silent":0,)"
                         R"("step":3,"calls":[]}},"seen":[]}})",
                         getpid()));
      worker.wait(0.2);
      raise(SIGKILL);
    }
    waitpid(child, nullptr, 0);
    std::this_thread::sleep_for(std::chrono::seconds(10));
    std::_Exit(1);
  };
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EXIT(
      body(), ::testing::ExitedWithCode(71),
      "lost: rank 1 of 2 \\(host here, pid [0-9]+\\) has ended unexpectedly in step 3 \\(last report: in compute");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));
}

}  // namespace
}  // namespace polyhead
