#ifndef RETORT_CORE_ANALYTIC_PLOT_H_
#define RETORT_CORE_ANALYTIC_PLOT_H_

#include <string>

#include "absl/status/statusor.h"

namespace retort::analytic {

struct PreconditioningArtefact;

// Draws an artefact for people: l(t) with a band of two standard errors and
// its check from the teacher's loss, S(t) likewise, and for three starting
// times t the coefficients a(t,s) and b(t,s) over s, the preconditionings
// side by side; then for every jump of the fit's grid the state and denoiser
// gaps of ctm, and of each preconditioning relative to them. Time axes are
// logarithmic. Returns SVG text; the errors are
// those of the tables.
absl::StatusOr<std::string> PreconditioningSvg(
    const PreconditioningArtefact& artefact);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_PLOT_H_
