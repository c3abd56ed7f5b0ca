// Exit codes and messages of exceptions, also of those that are not caught.
#include "launch/failure.h"

#include <c10/util/Logging.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <new>
#include <stdexcept>
#include <thread>

#include "core/base/batch_sizes.h"
#include "core/base/error.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::expect_contains;

TEST(Failure, AnErrorIsAsItIs) {
  const Failure failure = failure_of(Error(Exit::diverged, "out of memory, says the loss"), "train");
  EXPECT_EQ(failure.code, 76);
  EXPECT_EQ(failure.words, "out of memory, says the loss");
}

TEST(Failure, OutOfMemoryNamesSizesAndTheCure) {
  Batch batch;
  batch.tokens.resize(14'010);
  batch.offsets = {0, 8, 14'010};
  batch.keys = {1, 2};
  note_batch(batch);
  const std::runtime_error torch(
      "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
      "6272897432 bytes. Error code 12 (Cannot allocate memory)\nframe #0: c10::ThrowEnforceNotMet");
  const Failure training = failure_of(torch, "train");
  EXPECT_EQ(training.code, 78);
  for (const char* part : {"out of memory", "an allocation of 6,272,897,432 bytes (5.8 GiB) failed",
                           "2 sequences of 14,010 tokens together, the longest of 14,002 tokens",
                           "a smaller mixture.batch", "the square of the longest sequence"})
    expect_contains(training.words, part);
  EXPECT_EQ(training.words.find("frame #0"), std::string::npos);
  expect_contains(failure_of(torch, "predict").words, "a smaller --batch");
  expect_contains(failure_of(std::bad_alloc(), "train").words, "out of memory");
  EXPECT_EQ(failure_of(std::bad_alloc(), "train").code, 78);
  expect_contains(failure_of(std::runtime_error("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"), "").words,
                  "an allocation of 2.00 GiB failed");
}

TEST(Failure, AnythingElseIsInternal) {
  const Failure failure = failure_of(std::logic_error("a bug\nException raised from f at g.cpp:1"), "train");
  EXPECT_EQ(failure.code, 70);
  EXPECT_EQ(failure.words, "internal error: a bug");
}

TEST(Failure, LibTorchThrowsWhenMemoryIsOut) {
  FLAGS_caffe2_use_fatal_for_enforce = true;
  throw_when_out_of_memory();
  EXPECT_FALSE(FLAGS_caffe2_use_fatal_for_enforce);
}

// As in a thread, or where a function must not throw.
TEST(FailureDeathTest, WhatNobodyCatchesEndsWithItsCodeAndWords) {
  const auto body = [] {
    report_uncaught("train", [](const Failure& failure) { std::fprintf(stderr, "told %d; ", failure.code); });
    std::thread([] { throw std::bad_alloc(); }).join();
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(78), "^told 78; polyhead train: out of memory");
  const auto error = [] {
    report_uncaught("import", {});
    const std::function<void()> fail = [] { throw Error(Exit::data, "a bad line"); };
    [&]() noexcept { fail(); }();
  };
  EXPECT_EXIT(error(), ::testing::ExitedWithCode(65), "^polyhead import: a bad line\n$");
}

}  // namespace
}  // namespace polyhead
