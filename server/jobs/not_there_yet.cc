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
  refuse.If(spec.train_teacher().augment_probability() != 0,
            "augmentation (train_teacher.augment_probability)",
            "set it to 0, to train without");
  const Distill& distill = spec.distill();
  refuse.If(distill.method() == Distill::METHOD_CT, "METHOD_CT",
            "use METHOD_CM or METHOD_CTM, with a teacher");
  refuse.If(distill.gan().weight() != 0, "a discriminator (distill.gan)",
            "leave it out");
  refuse.If(distill.weighting() != Distill::WEIGHTING_UNSPECIFIED &&
                distill.weighting() != Distill::WEIGHTING_UNIFORM,
            "other weightings than WEIGHTING_UNIFORM", "leave weighting out");
  refuse.If(distill.curriculum() != Distill::CURRICULUM_UNSPECIFIED &&
                distill.curriculum() != Distill::CURRICULUM_FIXED,
            "other curricula than CURRICULUM_FIXED", "leave curriculum out");
  refuse.If(distill.has_network(), "distill.network",
            "leave it out: a student has its teacher's network");
}

}  // namespace retort::jobs
