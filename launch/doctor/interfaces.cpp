// Checks the network interfaces with an IPv4 address, and the variables that select some of them.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "launch/doctor/doctor.h"

namespace polyhead {
namespace {

struct Interface {
  std::string name, address;
  bool loopback = false;
};

std::vector<Interface> find_interfaces() {
  std::vector<Interface> found;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return found;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET || (one->ifa_flags & IFF_UP) == 0) continue;
    char words[INET_ADDRSTRLEN] = {};
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr, words, sizeof words);
    found.push_back({one->ifa_name, words, (one->ifa_flags & IFF_LOOPBACK) != 0});
  }
  freeifaddrs(list);
  return found;
}

// Returns the first name in a list that no interface has. NCCL also accepts "=eth0" and prefixes, Open MPI networks.
std::string missing_name(const char* variable, bool prefixes, const std::vector<Interface>& interfaces) {
  const char* value = std::getenv(variable);
  if (value == nullptr || *value == '^') return {};
  const bool exact = *value == '=';
  std::istringstream names(value + (exact ? 1 : 0));
  for (std::string name; std::getline(names, name, ',');) {
    if (name.empty() || name.find('/') != std::string::npos) continue;
    name = name.substr(0, name.find(':'));
    const bool there = std::ranges::any_of(interfaces, [&](const Interface& one) {
      return prefixes && !exact ? one.name.starts_with(name) : one.name == name;
    });
    if (!there) return name;
  }
  return {};
}

}  // namespace

std::vector<Finding> look_at_interfaces(int hosts) {
  const std::vector<Interface> interfaces = find_interfaces();
  Finding finding{.subject = "interfaces"};
  std::vector<std::string> words;
  nlohmann::json values = nlohmann::json::array();
  for (const Interface& one : interfaces) {
    words.push_back(fmt::format("{} {}", one.name, one.address));
    values.push_back({{"name", one.name}, {"address", one.address}});
  }
  finding.text = words.empty() ? "none with an IPv4 address" : fmt::format("{}", fmt::join(words, ", "));
  finding.values["interfaces"] = std::move(values);
  const auto outside = std::ranges::count(interfaces, false, &Interface::loopback);
  for (const auto& [variable, prefixes] : {std::pair{"OMPI_MCA_btl_tcp_if_include", false},
                                           {"OMPI_MCA_oob_tcp_if_include", false},
                                           {"NCCL_SOCKET_IFNAME", true}}) {
    if (const std::string name = missing_name(variable, prefixes, interfaces); !name.empty()) {
      finding.verdict = Verdict::fault;
      finding.text = fmt::format("{}={} names '{}', which does not exist: {}", variable, std::getenv(variable), name,
                                 finding.text);
      finding.cure = fmt::format("unset {}, or name an interface that is up on every host", variable);
      return {finding};
    }
  }
  if (hosts > 1 && outside == 0) {
    finding.verdict = Verdict::fault;
    finding.cure = "bring up an interface that the other hosts can reach";
  } else if (hosts > 1 && outside > 1 && std::getenv("OMPI_MCA_btl_tcp_if_include") == nullptr &&
             std::getenv("OMPI_MCA_btl_tcp_if_exclude") == nullptr) {
    finding.verdict = Verdict::warning;
    finding.cure =
        "there are several: if workers hang at the start or are slow, set OMPI_MCA_btl_tcp_if_include, "
        "OMPI_MCA_oob_tcp_if_include and NCCL_SOCKET_IFNAME to the one that the hosts share";
  }
  return {finding};
}

}  // namespace polyhead
