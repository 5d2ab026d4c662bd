#ifndef RETORT_CORE_ANALYTIC_JUMP_GAPS_H_
#define RETORT_CORE_ANALYTIC_JUMP_GAPS_H_

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace retort::analytic {

struct PreconditioningArtefact;

// How far one preconditioning is from the teacher's trajectories with the
// teacher itself as the student, for every pair t_i > t_j of the fit's grid:
// float64 [N, N], row t_i, column t_j, 0 where i >= j. Root mean squares over
// dimensions and trajectories.
struct JumpGaps {
  std::string name;
  at::Tensor state;  // |f - x_j|
  // |b^-1 (f - x_j)|: how far the student's network has to depart from the
  // teacher's, the quantity that AP's Proposition 3.1 bounds. Infinite where
  // b = 0.
  at::Tensor denoiser;
};

// Measures every preconditioning that the artefact can make, in the order of
// JumpNames(); "cm", which jumps to one time only, is left out. InvalidArgument
// without trajectories.
absl::StatusOr<std::vector<JumpGaps>> MeasureGaps(
    const PreconditioningArtefact& artefact);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_JUMP_GAPS_H_
