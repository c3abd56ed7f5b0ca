// The program polyhead with one additional head, which brings a metric of its own.
#include "launch/program/program.h"
#include "ordinal.h"

int main(int argc, char** argv) {
  polyhead::register_head(
      "ordinal", polyhead::Kind::classification, polyhead::make_head_of<OrdinalHead>,
      {{.key = "grade_distance", .name = "distance in grades", .lower_is_better = true, .score = grade_distance}});
  return polyhead::run_program(argc, argv);
}
