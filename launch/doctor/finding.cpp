// Converts findings to JSON and back, for other workers and for scripts.
#include "launch/doctor/doctor.h"

namespace polyhead {
namespace {

constexpr const char* kVerdicts[] = {"ok", "warning", "fault"};

}  // namespace

nlohmann::json json_of(const Finding& finding) {
  nlohmann::json out = {{"subject", finding.subject},
                        {"verdict", kVerdicts[static_cast<int>(finding.verdict)]},
                        {"text", finding.text},
                        {"values", finding.values}};
  if (!finding.cure.empty()) out["cure"] = finding.cure;
  return out;
}

Finding finding_of(const nlohmann::json& json) {
  Finding finding{.subject = json.at("subject"), .text = json.at("text"), .cure = json.value("cure", "")};
  for (int verdict = 0; verdict < 3; ++verdict)
    if (json.at("verdict") == kVerdicts[verdict]) finding.verdict = static_cast<Verdict>(verdict);
  finding.values = json.at("values");
  return finding;
}

}  // namespace polyhead
