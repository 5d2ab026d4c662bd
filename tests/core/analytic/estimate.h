#ifndef RETORT_TESTS_CORE_ANALYTIC_ESTIMATE_H_
#define RETORT_TESTS_CORE_ANALYTIC_ESTIMATE_H_

#include <gtest/gtest.h>

#include <utility>

#include "core/analytic/estimator.h"
#include "tests/support/status_matchers.h"

namespace retort::analytic {

// The statistics of a source over the default schedule; an error fails the
// test.
inline TeacherStatistics Estimate(const TeacherSource& source,
                                  const EstimateOptions& options) {
  auto result = EstimateStatistics(source, math::NoiseSchedule(), options);
  EXPECT_THAT(result, retort::testing::IsOk());
  return *std::move(result);
}

}  // namespace retort::analytic

#endif  // RETORT_TESTS_CORE_ANALYTIC_ESTIMATE_H_
