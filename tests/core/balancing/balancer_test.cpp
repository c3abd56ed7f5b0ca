// The balancers by name, and the properties that all of them have.
#include <gtest/gtest.h>

#include "core/balancing/balancer.h"
#include "core/base/error.h"
#include "tests/core/expect_error.h"

namespace polyhead {
namespace {

std::unique_ptr<Balancer> make(const std::string& method) {
  return make_balancer({.method = method}, {"a", "b", "c", "d"}, 1);
}

TEST(Balancer, EqualSharesAmongActiveTasks) {
  const auto equal = make("equal");
  EXPECT_EQ(equal->weights({.active = {true, false, true, true}, .static_weight = {1, 1, 5, 1}}),
            (std::vector<double>{1.0 / 3, 0, 1.0 / 3, 1.0 / 3}));
  EXPECT_EQ(equal->weights({.active = {false, false}, .static_weight = {1, 1}}), (std::vector<double>{0, 0}));
}

TEST(Balancer, StaticSharesByWeight) {
  const auto fixed = make("static");
  EXPECT_EQ(fixed->weights({.active = {true, false, true}, .static_weight = {1, 7, 3}}),
            (std::vector<double>{0.25, 0, 0.75}));
  EXPECT_EQ(fixed->weights({.active = {true, true}, .static_weight = {0, 0}}), (std::vector<double>{0, 0}));
  EXPECT_EQ(fixed->weights({.active = {false}, .static_weight = {2}}), (std::vector<double>{0}));
}

TEST(Balancer, OneWithoutAStateRefusesThatOfAnother) {
  for (const char* const name : {"equal", "static"}) {
    const auto balancer = make(name);
    EXPECT_EQ(balancer->reads(), Balancer::Reads::nothing);
    EXPECT_EQ(balancer->state(), "");
    balancer->restore("");
    expect_error([&] { balancer->restore("7"); }, Exit::data, {"state '7'", "keeps none"});
  }
}

TEST(Balancer, AnUnknownNameIsAnErrorThatNamesThoseThereAre) {
  expect_error([] { make("equals"); }, Exit::config, {"balance.method = equals", "equal, static"});
}

}  // namespace
}  // namespace polyhead
