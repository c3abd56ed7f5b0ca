// The options of balancers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/field.h"

namespace polyhead {

std::vector<std::string_view> balancer_names();

struct BalancerOptions {
  std::string method = "equal";  // the name of a balancer
};

// [balance]
inline std::vector<Field> fields(BalancerOptions& options) {
  return {
      {.name = "method",
       .member = NamedMember(&options.method, balancer_names()),
       .help = "How the tasks' losses are weighted: equally (equal), or by task.NAME.weight (static)."},
  };
}

}  // namespace polyhead
