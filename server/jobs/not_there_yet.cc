#include "server/jobs/not_there_yet.h"

#include "server/base/error.h"

namespace retort::jobs {
namespace {

class Refusal {
 public:
  explicit Refusal(SpecProblems* problems) : problems_(problems) {}

  void If(bool asked, const char* what, const char* instead) {
    if (asked) problems_->Fail(service::NotImplemented(what, instead));
  }

 private:
  SpecProblems* const problems_;
};

}  // namespace

void RefuseWhatIsNotThere(const v1::JobSpec& spec, SpecProblems* problems) {
  using Distill = v1::DistillSpec;
  Refusal refuse(problems);
  const Distill& distill = spec.distill();
  refuse.If(distill.distance() == Distill::DISTANCE_LPIPS, "DISTANCE_LPIPS",
            "use DISTANCE_PSEUDO_HUBER (the default), DISTANCE_L2 or "
            "DISTANCE_L1");
}

}  // namespace retort::jobs
