#include "server/jobs/clone_changes.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/field_mask_util.h>
#include <google/protobuf/util/message_differencer.h>

#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/nearest_names.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/jobs/model_facts.h"
#include "server/jobs/spec_problems.h"

namespace retort::jobs {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FieldMask;
using google::protobuf::Message;
using google::protobuf::util::FieldMaskUtil;
using google::protobuf::util::MessageDifferencer;

constexpr char kLabelPath[] = "labels.";

const std::vector<std::string>& Changeable() {
  static const auto* const fields = new std::vector<std::string>{
      "display_name", "priority", "priority_class", "labels", "spec"};
  return *fields;
}

absl::Status BadPath(const std::string& path, absl::string_view what) {
  return service::BadField("update_mask", absl::StrCat(path, ": ", what));
}

std::vector<std::string> FieldNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) {
    names.push_back(type.field(i)->name());
  }
  return names;
}

// Follows a path from `job` down; the messages on the way may be missing.
absl::Status CheckPath(const std::string& path, const v1::Job& job) {
  const std::vector<std::string> parts = absl::StrSplit(path, '.');
  const Descriptor* type = v1::Job::descriptor();
  const Message* message = &job;  // null below one that is not there
  for (size_t i = 0; i < parts.size(); ++i) {
    const FieldDescriptor* field = type->FindFieldByName(parts[i]);
    if (field == nullptr) {
      return BadPath(
          path,
          absl::StrCat("no such field: '", parts[i], "'",
                       base::DidYouMean(parts[i], i == 0 ? Changeable()
                                                         : FieldNames(*type))));
    }
    if (i == 0 && !absl::c_linear_search(Changeable(), parts[0])) {
      return BadPath(path, absl::StrCat("is set by the server; what can be "
                                        "changed is ",
                                        absl::StrJoin(Changeable(), ", ")));
    }
    const auto* oneof = field->real_containing_oneof();
    if (oneof != nullptr && message != nullptr) {
      const auto* present =
          message->GetReflection()->GetOneofFieldDescriptor(*message, oneof);
      if (present != nullptr && present != field) {
        return BadPath(
            path, absl::StrCat("the job to clone is one of ", present->name(),
                               ", and stays that; submit a new job "
                               "for another task"));
      }
    }
    if (i + 1 == parts.size()) return absl::OkStatus();
    if (field->is_repeated() || field->message_type() == nullptr) {
      return BadPath(path, absl::StrCat("'", parts[i],
                                        "' has no fields; name "
                                        "it as a whole"));
    }
    type = field->message_type();
    if (message != nullptr) {
      message = message->GetReflection()->HasField(*message, field)
                    ? &message->GetReflection()->GetMessage(*message, field)
                    : nullptr;
    }
  }
  return absl::OkStatus();
}

void SetLabel(const v1::Job& changes, const std::string& key, v1::Job* job) {
  const auto label = changes.labels().find(key);
  if (label == changes.labels().end()) {
    job->mutable_labels()->erase(key);
  } else {
    (*job->mutable_labels())[key] = label->second;
  }
}

// The network that a student gets from its teacher.
bool SameTeacherNetwork(const std::string& before, const std::string& now,
                        ModelLookup* models) {
  if (before == now) return true;
  const auto a = models->GetModel(before);
  const auto b = models->GetModel(now);
  return a.ok() && b.ok() && HaveSameNetwork(*a, *b);
}

constexpr char kOtherNetwork[] =
    "is another network than that of the checkpoint; leave it as it is, or "
    "clone without from_step";

void CompareOwnNetworks(const v1::NetworkSpec& before,
                        const v1::DataSpec& data_before,
                        const v1::NetworkSpec& now, const v1::DataSpec& data,
                        const std::string& at, SpecProblems* problems) {
  problems->Require(MessageDifferencer::Equals(before, now), at + ".network",
                    kOtherNetwork);
  // Data decide on the network's size, channels and classes.
  problems->Require(data_before.resolution() == data.resolution() &&
                        data_before.dataset() == data.dataset() &&
                        data_before.unconditional() == data.unconditional(),
                    at + ".data",
                    absl::StrCat("needs ", kOtherNetwork + sizeof("is")));
}

void CompareStudents(const v1::DistillSpec& before, const v1::DistillSpec& now,
                     ModelLookup* models, SpecProblems* problems) {
  const std::string at = "distill";
  problems->Require(
      before.method() == now.method(), at + ".method",
      absl::StrCat("is ", v1::DistillSpec::Method_Name(now.method()),
                   ", but the checkpoint is of ",
                   v1::DistillSpec::Method_Name(before.method()),
                   "; leave it as it is, or clone without "
                   "from_step"));
  if (before.teacher().empty() && now.teacher().empty()) {
    CompareOwnNetworks(before.network(), before.data(), now.network(),
                       now.data(), at, problems);
    return;
  }
  problems->Require(
      !before.teacher().empty() && !now.teacher().empty() &&
          SameTeacherNetwork(before.teacher(), now.teacher(), models),
      at + ".teacher",
      "has another network than that of the checkpoint; name a teacher of the "
      "same network, or clone without from_step");
}

}  // namespace

absl::Status ApplyChanges(const v1::Job& changes, const FieldMask& mask,
                          v1::Job* job) {
  FieldMask whole;
  std::vector<std::string> labels;
  for (const std::string& path : mask.paths()) {
    // A key may have any characters.
    if (absl::StartsWith(path, kLabelPath)) {
      labels.push_back(path.substr(sizeof(kLabelPath) - 1));
      continue;
    }
    RETORT_RETURN_IF_ERROR(CheckPath(path, *job));
    whole.add_paths(path);
  }
  FieldMaskUtil::MergeOptions options;
  options.set_replace_message_fields(true);
  options.set_replace_repeated_fields(true);
  FieldMaskUtil::MergeMessageTo(changes, whole, options, job);
  for (const std::string& key : labels) SetLabel(changes, key, job);
  return absl::OkStatus();
}

absl::Status CheckCanGoOn(const v1::JobSpec& before, int64_t step,
                          const v1::JobSpec& now, ModelLookup* models) {
  SpecProblems problems;
  const v1::TrainingSpec* training = nullptr;
  std::string at;
  if (before.task_case() != now.task_case()) {
    problems.Add("task",
                 "is another one than that of the checkpoint; clone without "
                 "from_step");
  } else if (now.has_train_teacher()) {
    at = "train_teacher";
    const v1::TrainTeacherSpec& a = before.train_teacher();
    const v1::TrainTeacherSpec& b = now.train_teacher();
    CompareOwnNetworks(a.network(), a.data(), b.network(), b.data(), at,
                       &problems);
    problems.Require(
        (a.augment_probability() > 0) == (b.augment_probability() > 0),
        at + ".augment_probability",
        absl::StrCat("needs ", kOtherNetwork + sizeof("is")));
    training = &b.training();
  } else if (now.has_distill()) {
    at = "distill";
    CompareStudents(before.distill(), now.distill(), models, &problems);
    training = &now.distill().training();
  }
  if (training != nullptr) {
    problems.Require(
        training->iterations() > step, at + ".training.iterations",
        absl::StrCat("is ", training->iterations(),
                     ", but the checkpoint is of step ", step,
                     ", and steps count on from there; give more"));
  }
  return problems.ToStatus();
}

}  // namespace retort::jobs
