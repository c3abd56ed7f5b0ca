// polyhead
#include "launch/program.h"

int main(int argc, char** argv) {
  return polyhead::run_program(argc, argv);
}
