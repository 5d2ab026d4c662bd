#ifndef RETORT_CORE_PARITY_LPIPS_SUPPORT_H_
#define RETORT_CORE_PARITY_LPIPS_SUPPORT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/distill/lpips.h"
#include "core/parity/parity.h"

// LPIPS of golden cases, for their own and those of losses.
namespace retort::parity {

// LPIPS with the case's weights: heads.safetensors, and the backbone of a file
// (backbone*.safetensors) or, where there is none, made up by the formula of
// the case's notes from "config.convolutions". `options.backbone` is filled in.
absl::StatusOr<std::shared_ptr<const distill::Lpips>> CaseLpips(
    CaseContext& context, distill::LpipsOptions options);

}  // namespace retort::parity

#endif  // RETORT_CORE_PARITY_LPIPS_SUPPORT_H_
