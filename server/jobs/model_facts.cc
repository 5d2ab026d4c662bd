#include "server/jobs/model_facts.h"

#include <google/protobuf/util/message_differencer.h>

namespace retort::jobs {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

// A field of an object; the empty value if there is none.
const Value& Field(const Struct& object, const char* name) {
  const auto found = object.fields().find(name);
  return found == object.fields().end() ? Value::default_instance()
                                        : found->second;
}

}  // namespace

ManifestSchedule ScheduleOf(const v1::Model& model) {
  const Struct& network = Field(model.manifest(), "network").struct_value();
  const Struct& schedule =
      Field(Field(model.manifest(), "preconditioning").struct_value(),
            "schedule")
          .struct_value();
  ManifestSchedule facts;
  facts.sigma_min = Field(schedule, "sigma_min").number_value();
  facts.sigma_max = Field(schedule, "sigma_max").number_value();
  facts.rho = Field(schedule, "rho").number_value();
  // The network's own is the one that it computes with.
  facts.sigma_data = Field(network, "sigma_data").number_value();
  if (facts.sigma_data == 0) {
    facts.sigma_data = Field(schedule, "sigma_data").number_value();
  }
  return facts;
}

int64_t ResolutionOf(const v1::Model& model) {
  const Struct& network = Field(model.manifest(), "network").struct_value();
  const double side = Field(network, "img_resolution").number_value();
  return side >= 1 && side <= 8192 ? static_cast<int64_t>(side) : 0;
}

int64_t ChannelsOf(const v1::Model& model) {
  const Struct& network = Field(model.manifest(), "network").struct_value();
  const double channels = Field(network, "img_channels").number_value();
  return channels >= 1 && channels <= 8192 ? static_cast<int64_t>(channels) : 0;
}

bool HaveSameNetwork(const v1::Model& a, const v1::Model& b) {
  const Value& network = Field(a.manifest(), "network");
  return network.has_struct_value() &&
         google::protobuf::util::MessageDifferencer::Equals(
             network, Field(b.manifest(), "network"));
}

PerceptualFacts PerceptualFactsOf(const v1::Model& model) {
  const Struct& network = Field(model.manifest(), "network").struct_value();
  return {Field(network, "type").string_value(),
          Field(network, "backbone").string_value()};
}

std::string TeacherHashOf(const v1::Model& preconditioning) {
  return Field(Field(preconditioning.manifest(), "lineage").struct_value(),
               "teacher_hash")
      .string_value();
}

ArtefactFacts ArtefactFactsOf(const v1::Model& preconditioning) {
  const Struct& group =
      Field(preconditioning.manifest(), "preconditioning").struct_value();
  return {group.fields().count("estimator") > 0,
          group.fields().count("fit") > 0,
          group.fields().count("spectral") > 0};
}

}  // namespace retort::jobs
