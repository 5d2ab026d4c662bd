// Golden cases of the Fréchet distance: EDM's mean, covariance and distance on
// given features.

#include <algorithm>
#include <set>
#include <string>

#include "core/base/status_macros.h"
#include "core/eval/feature_statistics.h"
#include "core/eval/frechet.h"
#include "core/parity/parity.h"

namespace retort::parity {
namespace {

// "identical" has no features of its own: a set against itself. "close" has a
// second set alone: its first is that of "full".
absl::StatusOr<at::Tensor> FeaturesOf(const TensorMap& io,
                                      const std::string& group,
                                      const std::string& side) {
  for (const std::string& name :
       {group + ".features_" + side, group + ".features_a",
        std::string("full.features_a")}) {
    const auto found = io.find(name);
    if (found != io.end()) return found->second;
  }
  return absl::NotFoundError("no features for group '" + group + "'");
}

absl::StatusOr<eval::FeatureStatistics> StatisticsOf(const at::Tensor& rows) {
  eval::FeatureStatistics statistics(rows.size(1));
  // In two parts, so that joining batches is checked too.
  const int64_t half = rows.size(0) / 2;
  RETORT_RETURN_IF_ERROR(statistics.Add(rows.slice(0, 0, half)));
  RETORT_RETURN_IF_ERROR(statistics.Add(rows.slice(0, half)));
  return statistics;
}

absl::Status CompareMoments(CaseContext& c, const TensorMap& io,
                            const std::string& suffix,
                            const eval::FeatureStatistics& statistics,
                            const std::string& group, const Tolerance& tol) {
  const auto mu = io.find(group + ".mu_" + suffix);
  if (mu != io.end()) {
    RETORT_ASSIGN_OR_RETURN(at::Tensor mean, statistics.Mean());
    c.Compare(mu->first, mean, mu->second, tol);
  }
  const auto sigma = io.find(group + ".sigma_" + suffix);
  if (sigma != io.end()) {
    RETORT_ASSIGN_OR_RETURN(at::Tensor covariance, statistics.Covariance());
    c.Compare(sigma->first, covariance, sigma->second, tol);
  }
  return absl::OkStatus();
}

absl::Status RunGroup(CaseContext& c, const TensorMap& io,
                      const std::string& group) {
  RETORT_ASSIGN_OR_RETURN(Tolerance moments, c.ToleranceOf("mu_sigma"));
  RETORT_ASSIGN_OR_RETURN(Tolerance full_rank, c.ToleranceOf("fid"));
  RETORT_ASSIGN_OR_RETURN(at::Tensor rows_a, FeaturesOf(io, group, "a"));
  RETORT_ASSIGN_OR_RETURN(at::Tensor rows_b, FeaturesOf(io, group, "b"));
  RETORT_ASSIGN_OR_RETURN(eval::FeatureStatistics a, StatisticsOf(rows_a));
  RETORT_ASSIGN_OR_RETURN(eval::FeatureStatistics b, StatisticsOf(rows_b));
  RETORT_RETURN_IF_ERROR(CompareMoments(c, io, "a", a, group, moments));
  RETORT_RETURN_IF_ERROR(CompareMoments(c, io, "b", b, group, moments));
  RETORT_ASSIGN_OR_RETURN(double distance, eval::FrechetDistance(a, b));
  RETORT_ASSIGN_OR_RETURN(at::Tensor fid, c.Get(io, group + ".fid"));
  Tolerance tolerance = full_rank;
  if (std::min(a.count(), b.count()) <= a.dim()) {
    RETORT_ASSIGN_OR_RETURN(tolerance, c.ToleranceOf("fid_rank_deficient"));
  }
  c.CompareScalar(group + ".fid", distance, fid.item<double>(), tolerance);
  const auto eigen = io.find(group + ".eigen_fid");
  if (eigen != io.end()) {
    c.CompareScalar(eigen->first, distance, eigen->second.item<double>(),
                    full_rank);
  }
  return absl::OkStatus();
}

absl::Status RunFid(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(TensorMap io, c.Load("io.safetensors"));
  std::set<std::string> groups;
  for (const auto& [name, tensor] : io) {
    const size_t dot = name.rfind(".fid");
    if (dot != std::string::npos && dot + 4 == name.size()) {
      groups.insert(name.substr(0, dot));
    }
  }
  for (const std::string& group : groups) {
    RETORT_RETURN_IF_ERROR(RunGroup(c, io, group));
  }
  return absl::OkStatus();
}

RETORT_PARITY_CASE("fid", RunFid);

}  // namespace
}  // namespace retort::parity
