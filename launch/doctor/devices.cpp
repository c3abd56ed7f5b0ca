// Compares the CUDA devices of this host with the workers that would use one each.
#include <fmt/format.h>

#include "distributed/communicator/libraries.h"
#include "launch/doctor/doctor.h"

namespace polyhead {

std::vector<Finding> look_at_devices(int workers_here) {
  const Devices devices = find_devices();
  Finding finding{.subject = "devices"};
  finding.values = {{"cuda", devices.names}};
  const auto count = devices.names.size();
  if (!devices.fault.empty()) {
    finding.verdict = Verdict::warning;
    finding.text = devices.fault, finding.cure = devices.cure;
  } else if (count == 0) {
    finding.text = "CPU only";
  } else {
    finding.text = fmt::format("{}", fmt::join(devices.names, "; "));
    // A launcher may give each worker its own device.
    if (count > 1 && static_cast<std::size_t>(workers_here) > count) {
      finding.verdict = Verdict::fault;
      finding.text = fmt::format("{} workers on {} devices: {}", workers_here, count, finding.text);
      finding.cure = "start at most one worker per device, check CUDA_VISIBLE_DEVICES, or use run.device = cpu";
    }
  }
  return {finding};
}

}  // namespace polyhead
