// States of all balancers: a run that continues from a saved state equals one that was not interrupted.
#include <gtest/gtest.h>

#include <cmath>

#include "core/balancing/balancer_state.h"
#include "tests/core/balancing/gram_problems.h"
#include "tests/core/expect_error.h"

namespace polyhead {
namespace {

// Steps of four tasks: task 3 joins late, task 1 is away for a while.
BalanceInput step_of(std::int64_t step) {
  BalanceInput input = input_of(gram_of(random_gradients(4, 12, static_cast<std::uint64_t>(step), 1)), step);
  input.active = {true, step % 7 != 3, true, step > 4};
  for (std::size_t t = 0; t < 4; ++t)
    input.loss[t] = t == 3 && step <= 5
                        ? std::nan("")
                        : 1.0 / 3 + std::exp(std::sin(static_cast<double>(step * 3) + static_cast<double>(t)));
  return input;
}

TEST(BalancerState, AllMethodsContinueBitForBit) {
  BalancerOptions options;
  options.dwa_window = options.stch_warmup = 3;
  int with_state = 0;
  for (const std::string_view name : balancer_names()) {
    const std::string method(name);
    const auto whole = make_method(method, 4, options), first = make_method(method, 4, options);
    for (std::int64_t step = 1; step <= 12; ++step)
      EXPECT_EQ(whole->weights(step_of(step)), first->weights(step_of(step)));
    const auto second = make_method(method, 4, options);
    second->restore(first->state());
    EXPECT_EQ(second->state(), first->state()) << method;
    for (std::int64_t step = 13; step <= 40; ++step)
      EXPECT_EQ(whole->weights(step_of(step)), second->weights(step_of(step))) << method << " " << step;
    EXPECT_EQ(whole->state(), second->state()) << method;
    if (!whole->state().empty()) ++with_state;
  }
  // uncertainty, dwa, imtl_l, famo, stch, go4align, gradnorm, excess_mtl, gradvac, pcd
  EXPECT_EQ(with_state, 10);
}

TEST(BalancerState, IsKeptWhileATaskIsAway) {
  for (const char* const method : {"gradvac", "pcd", "famo", "uncertainty", "gradnorm"}) {
    const auto balancer = make_method(method, 4);
    for (std::int64_t step = 8; step <= 9; ++step) balancer->weights(step_of(step));
    BalancerState before(method, 4);
    BalanceInput input = step_of(10);
    input.active = {false, false, false, false};
    balancer->weights(input);  // the last losses are new, and are learned from
    const std::string state = balancer->state();
    input.step = 11;
    EXPECT_EQ(balancer->weights(input), std::vector<double>(4, 0)) << method;
    EXPECT_EQ(balancer->state(), state) << method;
  }
}

TEST(BalancerState, ReturnsNumbersBitForBit) {
  BalancerState state("famo", 3), copy("famo", 3);
  std::vector<double>& row = state.add("x", 3);
  const std::vector<double>& restored = copy.add("x", 3);
  row = {1.0 / 3, -5e-324, 1.7976931348623157e308};
  EXPECT_EQ(state.text(), R"({"method":"famo","tasks":3,"x":[0.3333333333333333,-5e-324,1.7976931348623157e+308]})");
  copy.restore(state.text());
  EXPECT_EQ(restored, row);
}

TEST(BalancerState, AStateOfAnotherMethodOrRunIsRefused) {
  const auto famo = make_method("famo", 3);
  const auto refuse = [&](const std::string& text, const std::string& why) {
    const std::string before = famo->state();
    expect_error([&] { famo->restore(text); }, Exit::data, {"balance.method = famo", why});
    EXPECT_EQ(famo->state(), before);
  };
  refuse("", "no JSON object");
  refuse("7", "'7' is no JSON object");
  refuse("{", "'{' is no JSON object");
  refuse("{}", "the method null");
  refuse(make_method("uncertainty", 3)->state(), "the method \"uncertainty\"");
  refuse(make_method("famo", 4)->state(), "it is for 4 tasks, not 3");
  std::string text = famo->state();
  refuse(text.substr(0, 1) + "\"more\":1," + text.substr(1), "entries, not");
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string other = text;
    return other.replace(other.find(from), from.size(), to);
  };
  refuse(replaced("\"last\":[0.0,", "\"last\":["), "'last' has 2 values, not 3");
  refuse(replaced("\"last\":[0.0,", "\"last\":[\"0\","), "'last' has a value that is not a number");
  refuse(replaced("\"last\":[0.0,", "\"last\":[null,"), "'last' has a value that is not a number");
  refuse(replaced("\"last\"", "\"past\""), "'last' is missing");
  for (const std::string method : {"gls", "mgda", "rlw", "db_mtl"})
    expect_error([&] { make_method(method, 3)->restore(text); }, Exit::data, {"keeps none"});
}

}  // namespace
}  // namespace polyhead
