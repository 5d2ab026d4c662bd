#ifndef RETORT_CORE_ANALYTIC_MIXTURE_SOURCE_H_
#define RETORT_CORE_ANALYTIC_MIXTURE_SOURCE_H_

#include <ATen/ATen.h>

#include "core/analytic/teacher_source.h"

namespace retort::analytic {

// The teacher of data from a mixture of isotropic Gaussians,
// p_0 = sum_k w_k N(m_k, v_k I): with r = softmax_k(ln w_k - d/2 ln(v_k + t^2)
// - |x - m_k|^2/(2 (v_k + t^2))),
//
//   D(x, t) = sum_k r_k (m_k + v_k/(v_k + t^2) (x - m_k)).
//
// Not linear, and yet ideal: what estimators are measured by beside
// MakeGaussianSource.
struct GaussianMixture {
  at::Tensor means;      // float64 [k, d]
  at::Tensor variances;  // float64 [k], positive
  at::Tensor weights;    // float64 [k], positive, sum 1
};
TeacherSource MakeMixtureSource(const GaussianMixture& mixture);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_MIXTURE_SOURCE_H_
