#include "core/analytic/jump_gaps.h"

#include <cmath>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "core/analytic/artefact.h"
#include "core/base/status_macros.h"

namespace retort::analytic {
namespace {

// Of scalar coefficients, from the moments.
JumpGaps ScalarGaps(const math::JumpPrecond& jump,
                    const TrajectoryMoments& moments) {
  const int64_t n = moments.n();
  JumpGaps gaps;
  gaps.state = at::zeros({n, n}, at::kDouble);
  gaps.denoiser = at::zeros({n, n}, at::kDouble);
  const at::Tensor times = at::tensor(moments.times, at::kDouble);
  for (int64_t i = 0; i + 1 < n; ++i) {
    const at::Tensor s = times.slice(0, i + 1);
    at::Tensor a, b;
    jump.Coefficients(at::full_like(s, moments.times[i]), s, &a, &b);
    for (int64_t j = i + 1; j < n; ++j) {
      const double b_j = b[j - i - 1].item<double>();
      const double gap =
          moments.StateGap(i, j, a[j - i - 1].item<double>(), b_j);
      gaps.state[i][j] = gap;
      gaps.denoiser[i][j] = gap / std::abs(b_j);
    }
  }
  return gaps;
}

}  // namespace

absl::StatusOr<std::vector<JumpGaps>> MeasureGaps(
    const PreconditioningArtefact& artefact) {
  if (!artefact.moments) {
    return absl::InvalidArgumentError(
        "gaps are measured on trajectories; estimate with the fit switched on");
  }
  std::vector<JumpGaps> all;
  for (const std::string& name : JumpNames()) {
    if (name == "cm") continue;
    const bool spectral = name == "fitted-spectral";
    if (spectral && !artefact.spectral) continue;
    JumpGaps gaps;
    if (spectral) {
      gaps.state = artefact.spectral->state_gap;
      gaps.denoiser = artefact.spectral->denoiser_gap;
    } else {
      RETORT_ASSIGN_OR_RETURN(const auto jump,
                              MakeJumpFrom(name, artefact.schedule, &artefact));
      gaps = ScalarGaps(*jump, *artefact.moments);
    }
    gaps.name = name;
    all.push_back(std::move(gaps));
  }
  return all;
}

}  // namespace retort::analytic
