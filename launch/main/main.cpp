// The entry point of polyhead.
#include "launch/program/program.h"
#include "launch/signals.h"

// Called before the constructors of libraries, which take a considerable part of a second, because a launcher may ask
// the program to end during that time.
__attribute__((section(".preinit_array"), used)) static void (*const first_of_all)(int, char**, char**) =
    [](int argc, char** argv, char**) { polyhead::catch_early_signals(argc, argv); };

int main(int argc, char** argv) {
  return polyhead::run_program(argc, argv);
}
