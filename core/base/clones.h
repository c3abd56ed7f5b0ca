// POLYHEAD_CLONES before a function: compiled for several instruction sets, of which the dynamic loader picks one.
#pragma once

// ThreadSanitizer's runtime is not yet there when the loader picks.
#ifdef __SANITIZE_THREAD__
#define POLYHEAD_CLONES
#else
#define POLYHEAD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
