#ifndef RETORT_SERVER_JOBS_SPEC_RESOLVER_H_
#define RETORT_SERVER_JOBS_SPEC_RESOLVER_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "retort/v1/job_service.pb.h"
#include "retort/v1/spec.pb.h"
#include "server/base/error.h"
#include "server/jobs/model_lookup.h"

namespace retort::jobs {

// What a node of this service can give a job. Whether there are nodes enough
// for a whole gang is for the scheduler to know.
struct ResolverLimits {
  int cpu_slots = 1;
  int gpus = 0;
  // Jobs run on a Slurm cluster, whose settings mean something.
  bool slurm = false;
};

// Turns a spec as submitted into the one that runs: every default of
// retort/v1/spec.proto filled in, and everything checked that can be known
// without starting a worker.
//
// Thread-safe (it has no state).
class SpecResolver {
 public:
  SpecResolver(const ResolverLimits& limits, ModelLookup* models)
      : SpecResolver([limits] { return limits; }, models) {}
  // With limits that change as nodes come and go; thread-safe and quick.
  SpecResolver(std::function<ResolverLimits()> limits, ModelLookup* models)
      : limits_(std::move(limits)), models_(models) {}

  // Resolves in place. Errors: InvalidArgument (SPEC_INVALID; BadRequest lists
  // every wrong field as "job.spec....", with cause and remedy), NotFound (a
  // model), Unimplemented (NOT_IMPLEMENTED). On error `spec` is half resolved.
  absl::Status Resolve(v1::JobSpec* spec) const;

  // Checks that the model that a job of this id would make can be called so:
  // AlreadyExists (ALREADY_EXISTS) if there is one of that name. Better known
  // before the training than after it.
  absl::Status CheckModelIsNew(const std::string& project,
                               const std::string& job_id,
                               const v1::JobSpec& spec) const;

  // Checks that a job of the resolved spec `now` can begin with the checkpoint
  // of `step` of a job of the resolved spec `before` (clone_changes.h).
  absl::Status CheckCanGoOn(const v1::JobSpec& before, int64_t step,
                            const v1::JobSpec& now) const;

  // Checks that a job that was put on hold or given up can go on: NotFound
  // (RESOURCE_NOT_FOUND) if a model is gone that its spec needs,
  // FailedPrecondition (STATE_CONFLICT) if another one is called so by now (a
  // student would go on with another teacher), AlreadyExists as above.
  absl::Status CheckModelsOfResumed(const v1::Job& job) const;

 private:
  absl::Status CheckNotTaken(const std::string& project,
                             const std::string& job_id, const v1::JobSpec& spec,
                             absl::string_view remedy) const;

  const std::function<ResolverLimits()> limits_;
  ModelLookup* const models_;
};

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_SPEC_RESOLVER_H_
