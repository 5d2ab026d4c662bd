#ifndef RETORT_SERVER_JOBS_SPEC_MODELS_H_
#define RETORT_SERVER_JOBS_SPEC_MODELS_H_

#include <string>
#include <vector>

#include "retort/v1/spec.pb.h"

namespace retort::jobs {

// Names of the models that a spec uses: those its worker is given folders of,
// and that must not be deleted while the job lives.
std::vector<std::string> ModelsOf(const v1::JobSpec& spec);

// True if a job of this spec leaves a model, which gets the job's id.
bool MakesModel(const v1::JobSpec& spec);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_SPEC_MODELS_H_
