// Preloaded by hang_test.py: a file system that stops answering. Once the file STUCK_WHEN exists, pread() never returns on
// the rank STUCK_RANK.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static ssize_t read_or_hang(const char* name, int file, void* into, size_t bytes, off_t at) {
  const char *when = getenv("STUCK_WHEN"), *rank = getenv("STUCK_RANK"), *mine = getenv("OMPI_COMM_WORLD_RANK");
  if (when && rank && mine && strcmp(rank, mine) == 0 && access(when, F_OK) == 0)
    for (;;) pause();
  ssize_t (*real)(int, void*, size_t, off_t);
  *(void**)&real = dlsym(RTLD_NEXT, name);
  return real(file, into, bytes, at);
}

ssize_t pread(int file, void* into, size_t bytes, off_t at) {
  return read_or_hang("pread", file, into, bytes, at);
}

ssize_t pread64(int file, void* into, size_t bytes, off64_t at) {
  return read_or_hang("pread64", file, into, bytes, at);
}
