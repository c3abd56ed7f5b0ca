// POLYHEAD_CLONES before a function compiles it for several instruction sets. The dynamic loader chooses one of them.
#pragma once

// ThreadSanitizer's runtime is not initialized yet when the loader chooses.
#ifdef __SANITIZE_THREAD__
#define POLYHEAD_CLONES
#else
#define POLYHEAD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
