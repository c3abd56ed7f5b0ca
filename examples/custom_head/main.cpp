// The program polyhead with one additional head.
#include "launch/program.h"
#include "ordinal.h"

int main(int argc, char** argv) {
  polyhead::register_head("ordinal", polyhead::Kind::classification, polyhead::make_head_of<OrdinalHead>);
  return polyhead::run_program(argc, argv);
}
