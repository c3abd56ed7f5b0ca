// The watchdog's side channel: lines over TCP (IPv4 and IPv6) between rank 0 and every other rank; nothing of MPI. Rank
// 0 writes its addresses and a secret to a file that only its user can read; the others look for it there, and connect
// again when the connection is lost. Both ends prove that they know the secret, which never travels, and every line
// carries a proof (authentication.h): a stranger who listens, connects or stands between is not heard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "distributed/watchdog/authentication.h"

namespace polyhead {

class Channel {
 public:
  static constexpr std::size_t kLongest = 1 << 20;  // bytes of a line: the state of a worker of 1,000 heads has 100,000

  struct Line {
    int from;
    std::string text;
  };

  // `file`: RUN/.watchdog-JOB, in a folder that all ranks see; rank 0 makes the folder where there is none. `patience`:
  // seconds; a rank above 0 that hears nothing for so long makes a new connection. Throws Error(cannot_write) on rank 0
  // when it cannot listen or write the file.
  Channel(int rank, int size, std::filesystem::path file, double patience);
  // Rank 0 removes the file, and folders that it made for it and that are empty.
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Waits so long for lines, or until the first comes; lets others in (rank 0), looks for rank 0 (others).
  std::vector<Line> wait(double seconds);
  // Never waits: what a peer does not take is dropped. `line`: at most kLongest bytes, without a line feed. `to`: 0 of
  // ranks above 0.
  void send(int to, std::string_view line);
  bool connected(int to) const;
  // Ranks whose connection the other end, or its kernel, has closed since the last call.
  std::vector<int> closed() { return std::exchange(closed_, {}); }
  // Ends a wait(); any thread may call it.
  void wake() const;
  // Ranks above 0: where rank 0 is looked for, "ADDRESS:PORT, …"; "" before its file is there.
  std::string tried() const;

 private:
  struct Peer {
    int socket = -1;
    int rank = -1;     // -1 before it has proved that it knows the secret
    int claimed = -1;  // the rank that it said it is
    double heard = 0;  // seconds of the steady clock; before the proof: when the socket was made
    std::string in, out;
    std::string asked;  // what the other end has to prove
    LineSeal incoming, outgoing;
  };
  void listen();
  void accept_all();
  void connect();
  void read_file();
  bool read(Peer& peer, std::vector<Line>& lines);
  bool take(Peer& peer, std::string line, std::vector<Line>& lines);
  bool greet(Peer& peer, const std::string& line);
  bool answer_challenge(Peer& peer, const std::string& line);
  void begin_lines(Peer& peer, const std::string& both);
  void drop_waiting();
  static bool flush(Peer& peer);
  static void close(Peer& peer);
  void remove_file();

  int rank_, size_;
  std::filesystem::path file_, made_;  // made_: the outermost folder that was not there
  double patience_;
  std::string secret_;
  int listener_ = -1, wake_ = -1;
  bool filed_ = false;
  std::vector<Peer> peers_;
  std::vector<int> closed_;
  // Ranks above 0: where rank 0 listens, and which of it is tried next.
  int port_ = 0;
  std::vector<std::string> addresses_;
  std::size_t next_ = 0;
  double round_at_ = 0;  // not before
};

// Of this host's /proc: R, S, D, T (stopped), t (traced), Z; X: there is no such process.
char process_state(int pid);

}  // namespace polyhead
