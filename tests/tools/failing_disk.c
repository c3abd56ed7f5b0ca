// Preloaded by checkpoint_disk_test.py: a disk on which some calls fail. Environment, read at the first call:
//   FAIL_CALL   write, fsync, rename or mkdir
//   FAIL_PATH   only files whose path holds this text
//   FAIL_ERRNO  a number; 0: the process ends at once, as by a power cut
//   FAIL_FIRST  the number of the first of these calls that fails, from 1; FAIL_COUNT: how many fail (default: all later)
//   FAIL_RANK   only on this rank
//   FAIL_WHEN   only while this file exists
//   FAIL_DAMAGE with rename: the call succeeds, and the last byte of this file is changed if it exists by then
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static long number(const char* name, long otherwise) {
  const char* text = getenv(name);
  return text ? atol(text) : otherwise;
}

// Whether this call fails; then errno is set.
static int fails(const char* call, const char* path) {
  static _Thread_local int inside = 0;
  static long seen = 0;
  const char *wanted = getenv("FAIL_CALL"), *part = getenv("FAIL_PATH"), *when = getenv("FAIL_WHEN"), *rank = getenv("FAIL_RANK"),
             *mine = getenv("OMPI_COMM_WORLD_RANK");
  if (inside || !wanted || strcmp(wanted, call) != 0 || !path || (part && !strstr(path, part))) return 0;
  if (rank && mine && strcmp(rank, mine) != 0) return 0;
  if (when && access(when, F_OK) != 0) return 0;
  const long first = number("FAIL_FIRST", 1), count = number("FAIL_COUNT", 1L << 30);
  ++seen;
  if (seen < first || seen >= first + count) return 0;
  inside = 1;
  errno = (int)number("FAIL_ERRNO", 28);
  if (errno == 0) _exit(137);
  inside = 0;
  return 1;
}

static const char* path_of(int file, char* into, size_t bytes) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, into, bytes - 1);
  if (length < 0) return NULL;
  into[length] = 0;
  return into;
}

#define REAL(name) __typeof__(name)* real; *(void**)&real = dlsym(RTLD_NEXT, #name)

ssize_t write(int file, const void* from, size_t bytes) {
  REAL(write);
  char path[4096];
  if (getenv("FAIL_CALL") && fails("write", path_of(file, path, sizeof path))) return -1;
  return real(file, from, bytes);
}

int fsync(int file) {
  REAL(fsync);
  char path[4096];
  if (fails("fsync", path_of(file, path, sizeof path))) return -1;
  return real(file);
}

int rename(const char* from, const char* to) {
  REAL(rename);
  if (!fails("rename", from)) return real(from, to);
  const char* damaged = getenv("FAIL_DAMAGE");
  if (!damaged) return -1;
  const int result = real(from, to);
  FILE* file = fopen(damaged, "r+b");
  if (!file) return result;
  fseek(file, -1, SEEK_END);
  const int last = fgetc(file);
  fseek(file, -1, SEEK_END);
  if (fputc(last ^ 1, file) == EOF || fclose(file) != 0) abort();
  return result;
}

int mkdir(const char* path, mode_t mode) {
  REAL(mkdir);
  if (fails("mkdir", path)) return -1;
  return real(path, mode);
}
