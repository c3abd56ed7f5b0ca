// The watchdog's connections: lines of text over TCP (IPv4 and IPv6) between rank 0 and every other rank, without MPI.
// - Rank 0 writes its addresses and a secret to a file that only its user can read. The others read the file, and
// connect
//   again if the connection is lost.
// - Both ends prove that they know the secret, which is never sent, and every line has a proof (authentication.h), so
//   that lines of other programs on the network are rejected.
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

  // `file`: RUN/.watchdog-JOB, in a folder that all ranks see; rank 0 creates the folder if necessary. `patience`: a
  // rank above 0 that receives nothing for this number of seconds makes a new connection. Throws Error(cannot_write) on
  // rank 0 if it cannot listen or cannot write the file.
  Channel(int rank, int size, std::filesystem::path file, double patience);
  // On rank 0, removes the file and the empty folders that the constructor created.
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Returns the lines that have arrived; waits at most this number of seconds for the first. Meanwhile rank 0 accepts
  // connections, and the others connect to rank 0.
  std::vector<Line> wait(double seconds);
  // Sends a line. Never waits: a line that a peer does not accept at once is dropped. `line`: at most kLongest bytes,
  // without a line feed. `to`: always 0 on ranks above 0.
  void send(int to, std::string_view line);
  bool connected(int to) const;
  // Returns the ranks whose connections were closed by the other end, or its kernel, since the last call.
  std::vector<int> closed() { return std::exchange(closed_, {}); }
  // Ends a wait(); any thread may call it.
  void wake() const;
  // On ranks above 0, the addresses of rank 0, as "ADDRESS:PORT, …"; "" before its file exists.
  std::string tried() const;

 private:
  struct Peer {
    int socket = -1;
    int rank = -1;          // -1 before it has proved that it knows the secret
    int claimed = -1;       // the rank that it said it is
    double last_heard = 0;  // steady-clock seconds of the last line; before the proof: when the socket was made
    std::string in, out;
    std::string asked;  // what the other end has to prove
    LineSeal incoming, outgoing;
  };
  void listen();
  void accept_all();
  void connect();
  void read_file();
  bool read(Peer& peer, std::vector<Line>& lines);
  bool receive_line(Peer& peer, std::string line, std::vector<Line>& lines);
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
  // On ranks above 0, the addresses where rank 0 listens, and which of them is tried next.
  int port_ = 0;
  std::vector<std::string> addresses_;
  std::size_t next_ = 0;
  double round_at_ = 0;  // the earliest time at which all addresses are tried again
};

// The state of a process of this host, from /proc: R, S, D, T (stopped), t (traced) or Z; X: there is no such process.
char process_state(int pid);

}  // namespace polyhead
