#include "client/result_text.h"

#include <gtest/gtest.h>

namespace retort::client {
namespace {

v1::EvaluationResult Result() {
  v1::EvaluationResult result;
  result.set_metric("KID-FMNIST");
  result.set_steps(2);
  result.set_network_calls(3);
  result.set_value(0.0123456);
  result.set_seeds(1);
  return result;
}

TEST(ResultTextTest, OneSeedHasNoInterval) {
  EXPECT_EQ(ResultText(Result()),
            "KID-FMNIST 0.012346 at 2 steps (3 network calls)");
}

TEST(ResultTextTest, SeveralSeedsHaveOne) {
  v1::EvaluationResult result = Result();
  result.set_seeds(3);
  result.set_low(-0.001);
  result.set_high(0.025);
  EXPECT_EQ(ResultText(result),
            "KID-FMNIST 0.012346 [-0.001, 0.025] at 2 steps (3 network calls, "
            "3 seeds)");
}

TEST(ResultTextTest, OneStepIsNotSeveral) {
  v1::EvaluationResult result = Result();
  result.set_steps(1);
  result.set_network_calls(1);
  EXPECT_EQ(ResultText(result),
            "KID-FMNIST 0.012346 at 1 step (1 network call)");
}

TEST(ResultTextTest, EveryJobHasAClass) {
  EXPECT_EQ(ClassText(v1::Job::PRIORITY_CLASS_UNSPECIFIED), "normal");
  EXPECT_EQ(ClassText(v1::Job::PRIORITY_CLASS_NORMAL), "normal");
  EXPECT_EQ(ClassText(v1::Job::PRIORITY_CLASS_LOW), "low");
}

}  // namespace
}  // namespace retort::client
