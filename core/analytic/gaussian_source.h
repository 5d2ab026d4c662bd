#ifndef RETORT_CORE_ANALYTIC_GAUSSIAN_SOURCE_H_
#define RETORT_CORE_ANALYTIC_GAUSSIAN_SOURCE_H_

#include <ATen/ATen.h>

#include "core/analytic/teacher_source.h"

namespace retort::analytic {

// The teacher of data N(0, diag(v)), for which all of this folder has closed
// forms: D_i = a_i x_i with a_i = v_i/(v_i + t^2), trajectories x_i ~
// sqrt(v_i + t^2), l = mean a_i, E|g|^2 = sum (a_i - l)^2 (v_i + t^2). What
// the tests and the parity case measure the estimators by.
//
// `variances` float64 [d], positive.
TeacherSource MakeGaussianSource(const at::Tensor& variances);

// l(t) and E|g|^2 (not divided by d).
struct GaussianStatistics {
  double l;
  double g_square;
};
GaussianStatistics ExactGaussianStatistics(const at::Tensor& variances,
                                           double t);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_GAUSSIAN_SOURCE_H_
