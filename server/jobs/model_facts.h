#ifndef RETORT_SERVER_JOBS_MODEL_FACTS_H_
#define RETORT_SERVER_JOBS_MODEL_FACTS_H_

#include <cstdint>
#include <string>

#include "retort/v1/model_service.pb.h"

// What specs are checked against in the manifests of models
// (docs/formats.md).
namespace retort::jobs {

// Noise levels that a model was made for. 0 where the manifest does not say.
struct ManifestSchedule {
  double sigma_min = 0;
  double sigma_max = 0;
  double rho = 0;
  double sigma_data = 0;
};
ManifestSchedule ScheduleOf(const v1::Model& model);

// Height and width of a model's images; 0 if the manifest does not say.
int64_t ResolutionOf(const v1::Model& model);

// Channels of a model's images; 0 if the manifest does not say.
int64_t ChannelsOf(const v1::Model& model);

// True if both manifests describe the same network, and do describe one.
bool HaveSameNetwork(const v1::Model& a, const v1::Model& b);

// What the manifest says a model of kind PERCEPTUAL is
// (server/base/perceptual.h); empty where it does not say.
struct PerceptualFacts {
  std::string type;
  std::string backbone;  // of heads: what they are for
};
PerceptualFacts PerceptualFactsOf(const v1::Model& model);

// SHA-256 of the weights of the teacher that a preconditioning was estimated
// for; empty if the manifest does not say.
std::string TeacherHashOf(const v1::Model& preconditioning);

// What the manifest of a preconditioning artefact says it has.
struct ArtefactFacts {
  bool known = false;  // false: it says nothing
  bool trajectories = false;
  bool spectral = false;
};
ArtefactFacts ArtefactFactsOf(const v1::Model& preconditioning);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_MODEL_FACTS_H_
