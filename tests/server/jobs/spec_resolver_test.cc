#include "server/jobs/spec_resolver.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/support/fake_models.h"
#include "tests/support/status_matchers.h"

namespace retort::jobs {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SpecResolverTest : public ::testing::Test {
 protected:
  SpecResolverTest() {
    models_.Add("projects/p/models/teacher", v1::Model::KIND_TEACHER);
    models_.Add("projects/p/models/ctm", v1::Model::KIND_CTM);
    models_.Add("projects/p/models/cm", v1::Model::KIND_CM);
    models_.Add("projects/p/models/tables", v1::Model::KIND_PRECONDITIONING);
    models_.Add("projects/p/models/features",
                v1::Model::KIND_FEATURE_EXTRACTOR);
  }

  static v1::JobSpec Parse(const std::string& text) {
    v1::JobSpec spec;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec))
        << text;
    return spec;
  }
  absl::Status Resolve(v1::JobSpec* spec) {
    return SpecResolver({.cpu_slots = 2}, &models_).Resolve(spec);
  }
  absl::Status Resolve(const std::string& text) {
    v1::JobSpec spec = Parse(text);
    return Resolve(&spec);
  }
  // A distill spec that is fine but for `more`.
  absl::Status ResolveDistill(const std::string& more) {
    return Resolve("distill { teacher: 'projects/p/models/teacher' " +
                   std::string("training { iterations: 10 } ") + more + " }");
  }

  retort::testing::FakeModels models_;
};

TEST_F(SpecResolverTest, FillsInEveryDefaultOfATeacher) {
  v1::JobSpec spec = Parse("train_teacher { training { iterations: 10 } }");
  ASSERT_THAT(Resolve(&spec), IsOk());
  const v1::TrainTeacherSpec& task = spec.train_teacher();
  EXPECT_EQ(task.data().dataset(), v1::DataSpec::DATASET_FASHION_MNIST);
  EXPECT_EQ(task.network().model_type(), "SongUNet");
  EXPECT_THAT(task.network().channel_mult(), ElementsAre(1, 2, 2));
  EXPECT_THAT(task.network().resample_filter(), ElementsAre(1, 1));
  EXPECT_EQ(task.network().channel_mult_emb(), 4);
  EXPECT_EQ(task.noise().sigma_max(), 80);
  EXPECT_EQ(task.optimizer().kind(), v1::OptimizerSpec::KIND_ADAM);
  EXPECT_EQ(task.optimizer().learning_rate(), 1e-3);
  EXPECT_EQ(task.training().batch_size(), 64);
  EXPECT_EQ(task.training().ema_rate(), 0.999);
  EXPECT_EQ(task.p_mean(), -1.2);
  EXPECT_EQ(spec.resources().world_size(), 1);
  EXPECT_EQ(spec.resources().cpu_threads(), 2);
}

TEST_F(SpecResolverTest, SettingsOfSlurmAreForSlurm) {
  v1::JobSpec spec = Parse(
      "train_teacher { training { iterations: 10 } } "
      "resources { slurm { partition: 'gpu' } }");
  EXPECT_THAT(
      SpecResolver({.cpu_slots = 2, .slurm = true}, &models_).Resolve(&spec),
      IsOk());
  EXPECT_THAT(Resolve(&spec),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("job.spec.resources.slurm: is for a service "
                                 "that runs jobs on a Slurm cluster")));
  spec.mutable_resources()->mutable_slurm()->clear_partition();
  EXPECT_THAT(Resolve(&spec), IsOk()) << "which says nothing";
}

TEST_F(SpecResolverTest, FillsInWhatAPresetOfTheNetworkSays) {
  v1::JobSpec spec = Parse(
      "train_teacher { network { preset: 'ncsnpp-64' dropout: 0.25 } "
      "data { dataset: DATASET_IMAGES path: '/a.zip' resolution: 64 } "
      "training { iterations: 10 } }");
  ASSERT_THAT(Resolve(&spec), IsOk());
  const v1::NetworkSpec& network = spec.train_teacher().network();
  EXPECT_EQ(network.preset(), "ncsnpp-64");
  EXPECT_EQ(network.embedding_type(), "fourier");
  EXPECT_THAT(network.channel_mult(), ElementsAre(1, 2, 2, 2));
  EXPECT_EQ(network.model_channels(), 128);
  EXPECT_EQ(network.dropout(), 0.25);
  EXPECT_THAT(Resolve("train_teacher { network { preset: 'edm' } "
                      "training { iterations: 10 } }"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("job.spec.train_teacher.network"),
                             HasSubstr("adm-imagenet64"))));
}

TEST_F(SpecResolverTest, ANetworkMustFitTheResolutionOfItsData) {
  EXPECT_THAT(Resolve("train_teacher { network { channel_mult: [1, 1, 1, 1] } "
                      "data { dataset: DATASET_IMAGES path: '/a' "
                      "resolution: 12 } training { iterations: 10 } }"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("12 pixels can be halved only 2 times")));
}

TEST_F(SpecResolverTest, ValidationHasDefaultsAndBounds) {
  v1::JobSpec spec = Parse(
      "train_teacher { training { iterations: 10 validation { every: 5 } } }");
  ASSERT_THAT(Resolve(&spec), IsOk());
  const v1::ValidationSpec& v = spec.train_teacher().training().validation();
  EXPECT_EQ(v.samples(), 512);
  EXPECT_EQ(v.teacher_steps(), 18);
  EXPECT_THAT(v.steps(), ElementsAre(1, 2, 4));
  EXPECT_THAT(
      Resolve(
          "train_teacher { data { resolution: 20 } training { iterations: 9 "
          "validation { every: 5 samples: 1 "
          "feature_extractor: 'projects/p/models/ctm' } } }"),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("data.resolution: is 20"),
                     HasSubstr("validation.samples: is 1"),
                     HasSubstr("FEATURE_EXTRACTOR"))));
}

TEST_F(SpecResolverTest, FillsInTheDefaultsOfADistillation) {
  v1::JobSpec spec = Parse(
      "distill { teacher: 'projects/p/models/teacher' "
      "preconditioning_artifact: 'projects/p/models/tables' "
      "training { iterations: 10 } }");
  ASSERT_THAT(Resolve(&spec), IsOk());
  const v1::DistillSpec& task = spec.distill();
  EXPECT_EQ(task.method(), v1::DistillSpec::METHOD_CTM);
  EXPECT_EQ(task.preconditioning(), v1::PRECONDITIONING_KIND_ANALYTIC);
  EXPECT_EQ(task.optimizer().kind(), v1::OptimizerSpec::KIND_RADAM);
  EXPECT_EQ(task.optimizer().learning_rate(), 4e-4);
  EXPECT_EQ(task.distance(), v1::DistillSpec::DISTANCE_PSEUDO_HUBER);
  EXPECT_EQ(task.grid_size(), 18);
  EXPECT_EQ(task.max_ode_steps(), 17);
  EXPECT_EQ(task.dsm_weight(), 1);
  EXPECT_EQ(task.step_strategy(), v1::DistillSpec::STEP_STRATEGY_WEIGHTED);
  EXPECT_TRUE(task.zero_init_second_time());
}

TEST_F(SpecResolverTest, LeavesAResolvedSpecAsItIs) {
  v1::JobSpec spec = Parse(
      "evaluate { model: 'projects/p/models/ctm' "
      "feature_extractor: 'projects/p/models/features' gamma: 0.5 }");
  ASSERT_THAT(Resolve(&spec), IsOk());
  const std::string once = spec.SerializeAsString();
  ASSERT_THAT(Resolve(&spec), IsOk());
  EXPECT_EQ(spec.SerializeAsString(), once);
}

TEST_F(SpecResolverTest, NamesEveryWrongFieldAtOnce) {
  const absl::Status status = Resolve(
      "train_teacher { network { dropout: 2 } noise { rho: -1 } "
      "training { batch_size: -4 } }");
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_SPEC_INVALID);
  std::vector<std::string> fields;
  for (const auto& violation : service::FieldViolationsOf(status)) {
    fields.push_back(violation.field);
  }
  EXPECT_THAT(fields,
              ElementsAre("job.spec.train_teacher.network.dropout",
                          "job.spec.train_teacher.noise.rho",
                          "job.spec.train_teacher.training.iterations",
                          "job.spec.train_teacher.training.batch_size"));
}

TEST_F(SpecResolverTest, RefusesImpossibleDistillations) {
  struct {
    const char* more;
    const char* message;
  } const kCases[] = {
      {"preconditioning: PRECONDITIONING_KIND_ANALYTIC",
       "run an estimate_preconditioning job"},
      {"preconditioning: PRECONDITIONING_KIND_CM",
       "METHOD_CTM jumps to any time"},
      {"preconditioning: PRECONDITIONING_KIND_CTM "
       "preconditioning_artifact: 'projects/p/models/tables'",
       "is not used by preconditioning CTM"},
      {"preconditioning: PRECONDITIONING_KIND_ANALYTIC "
       "preconditioning_artifact: 'projects/p/models/teacher'",
       "name one of kind PRECONDITIONING"},
      {"grid_size: 1", "must be in [2, 4096]"},
      {"grid_size: 5 max_ode_steps: 5", "has 1 to 4 steps"},
      {"dsm_weight: -2", "or -1 to train without it"},
      {"method: METHOD_CM target_inner_ema: true", "for METHOD_CTM only"},
      {"target_ema_rate: 1", "must be in [0, 1)"},
      {"optimizer { learning_rate: -1 }", "must be in (0, 1]"},
      {"noise { sigma_min: 90 }", "not below sigma_max"},
  };
  for (const auto& c : kCases) {
    EXPECT_THAT(
        ResolveDistill(c.more),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(c.message)))
        << c.more;
  }
}

TEST_F(SpecResolverTest, RefusesNetworksThatNoWorkerCouldBuild) {
  struct {
    const char* network;
    const char* message;
  } const kCases[] = {
      {"model_channels: 33", "normalisation groups"},
      {"model_channels: 1", "model_channels is 1"},
      {"model_channels: 2000000000", "model_channels is 2000000000"},
      {"num_blocks: 100000", "num_blocks is 100000"},
      {"resample_filter: [1, 1, 1]", "an even number"},
  };
  for (const auto& c : kCases) {
    EXPECT_THAT(
        Resolve("train_teacher { training { iterations: 1 } network { " +
                std::string(c.network) + " } }"),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(c.message)))
        << c.network;
  }
}

TEST_F(SpecResolverTest, RefusesNumbersBeyondAllReason) {
  for (const char* field :
       {"batch_size: 1000000000000", "iterations: 9000000000000000000"}) {
    EXPECT_THAT(
        Resolve("train_teacher { training { " + std::string(field) + " } }"),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 HasSubstr(std::string(field).substr(0, 5))))
        << field;
  }
  for (const char* field :
       {"knots: 2000000000", "samples_per_knot: 4000000000000",
        "batch_size: 4000000000000", "trajectories: 4000000000000",
        "grid_size: 2000000000"}) {
    EXPECT_THAT(Resolve("estimate_preconditioning { teacher: "
                        "'projects/p/models/teacher' " +
                        std::string(field) + " }"),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << field;
  }
  for (const char* field : {"samples: 4000000000000", "steps: 2000000000",
                            "batch_size: 4000000000000"}) {
    EXPECT_THAT(Resolve("evaluate { model: 'projects/p/models/ctm' "
                        "feature_extractor: 'projects/p/models/features' " +
                        std::string(field) + " }"),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << field;
  }
}

// A teacher and tables that say what they are.
class TeacherNoiseTest : public SpecResolverTest {
 protected:
  TeacherNoiseTest() {
    Add("teacher", v1::Model::KIND_TEACHER, "aa",
        R"({"network": {"sigma_data": 0.3}, "preconditioning": {"schedule":
            {"sigma_min": 0.01, "sigma_max": 40, "rho": 5,
             "sigma_data": 0.3}}})");
    AddTables("aa", 0.01);
  }

  void Add(const std::string& id, v1::Model::Kind kind,
           const std::string& weights, const std::string& manifest) {
    v1::Model model;
    model.set_name("projects/p/models/" + id);
    model.set_kind(kind);
    model.set_weights_sha256(weights);
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(
                    manifest, model.mutable_manifest())
                    .ok());
    models_.Add(model);
  }
  void AddTables(const std::string& teacher_hash, double sigma_min) {
    Add("tables", v1::Model::KIND_PRECONDITIONING, "bb",
        absl::StrCat(R"({"lineage": {"teacher_hash": ")", teacher_hash,
                     R"("}, "preconditioning": {"schedule": {"sigma_min": )",
                     sigma_min, R"(, "sigma_max": 40}}})"));
  }

  const std::string tables_ =
      "preconditioning_artifact: 'projects/p/models/tables' ";
};

TEST_F(TeacherNoiseTest, WhatIsLeftOutIsTheTeachers) {
  v1::JobSpec distill =
      Parse("distill { teacher: 'projects/p/models/teacher' " + tables_ +
            "training { iterations: 10 } }");
  v1::JobSpec estimate = Parse(
      "estimate_preconditioning { teacher: 'projects/p/models/teacher' }");
  for (v1::JobSpec* spec : {&distill, &estimate}) {
    ASSERT_THAT(Resolve(spec), IsOk());
    const v1::NoiseScheduleSpec& noise =
        spec->has_distill() ? spec->distill().noise()
                            : spec->estimate_preconditioning().noise();
    EXPECT_EQ(noise.sigma_min(), 0.01);
    EXPECT_EQ(noise.sigma_max(), 40);
    EXPECT_EQ(noise.rho(), 5);
    EXPECT_EQ(noise.sigma_data(), 0.3);
  }
}

TEST_F(TeacherNoiseTest, AnotherSigmaDataIsRefused) {
  EXPECT_THAT(ResolveDistill("noise { sigma_data: 0.3 }"), IsOk());
  EXPECT_THAT(ResolveDistill("noise { sigma_data: 0.5 }"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the teacher's is 0.3")));
}

TEST_F(TeacherNoiseTest, TablesOfAnotherTeacherAreRefused) {
  EXPECT_THAT(ResolveDistill(tables_), IsOk());
  AddTables("cc", 0.01);
  EXPECT_THAT(ResolveDistill(tables_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("weights cc"), HasSubstr("has aa"),
                             HasSubstr("estimate_preconditioning"))));
}

TEST_F(TeacherNoiseTest, TablesMustCoverTheNoiseLevels) {
  AddTables("aa", 0.1);
  EXPECT_THAT(ResolveDistill(tables_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("covers 40 to 0.1 only")));
  EXPECT_THAT(ResolveDistill(tables_ + "noise { sigma_min: 0.1 }"), IsOk());
}

TEST_F(SpecResolverTest, LetsAConsistencyModelUseAnyPreconditioning) {
  EXPECT_THAT(ResolveDistill("method: METHOD_CM"), IsOk());
  EXPECT_THAT(ResolveDistill("method: METHOD_CM "
                             "preconditioning: PRECONDITIONING_KIND_BCM"),
              IsOk());
}

TEST_F(SpecResolverTest, ProcessesOfAGangShareANodesThreads) {
  const auto threads = [&](const std::string& resources,
                           const ResolverLimits& limits) {
    v1::JobSpec spec =
        Parse("train_teacher { training { iterations: 1 } } resources { " +
              resources + " }");
    EXPECT_THAT(SpecResolver(limits, &models_).Resolve(&spec), IsOk());
    return spec.resources().cpu_threads();
  };
  EXPECT_EQ(threads("", {16}), 16);
  EXPECT_EQ(threads("world_size: 4", {16}), 4);
  EXPECT_EQ(threads("world_size: 32", {16}), 1);
  EXPECT_EQ(threads("world_size: 4 max_ranks_per_node: 2", {16}), 8);
  EXPECT_EQ(threads("world_size: 32 gpus: 1", {64, 8}), 8);
  EXPECT_EQ(threads("world_size: 4 cpu_threads: 3", {16}), 3);
}

TEST_F(SpecResolverTest, OnlyTrainingRunsAsAGangOrOnGpus) {
  for (const char* resources : {"world_size: 2", "gpus: 1"}) {
    EXPECT_THAT(Resolve("train_teacher { training { iterations: 1 } } "
                        "resources { " +
                        std::string(resources) + " }"),
                IsOk());
    EXPECT_THAT(Resolve("estimate_preconditioning { teacher: "
                        "'projects/p/models/teacher' } resources { " +
                        std::string(resources) + " }"),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("only train_teacher and distill run")));
  }
}

TEST_F(SpecResolverTest, RefusesResourcesThatMakeNoSense) {
  for (const char* resources :
       {"world_size: -1", "gpus: 2", "gpus: -1", "max_ranks_per_node: -1",
        "time_limit { seconds: 0 }", "time_limit { seconds: -5 }"}) {
    const std::string field =
        std::string(resources).substr(0, std::string(resources).find(' '));
    EXPECT_THAT(
        Resolve("train_teacher { training { iterations: 1 } } resources { " +
                std::string(resources) + " }"),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 HasSubstr("resources." + field.substr(0, field.find(':')))));
  }
}

TEST_F(SpecResolverTest, EveryProcessTakesAnEqualPartOfTheBatch) {
  const auto resolve = [&](const std::string& training) {
    return Resolve("train_teacher { training { iterations: 1 " + training +
                   " } } resources { world_size: 4 cpu_threads: 1 }");
  };
  EXPECT_THAT(resolve("batch_size: 24 accumulation: 3"), IsOk());
  EXPECT_THAT(resolve("batch_size: 24 accumulation: 4"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("use a multiple of 16")));
  EXPECT_THAT(resolve("batch_size: 30"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("4 processes (resources.world_size)")));
}

TEST_F(SpecResolverTest, AugmentationIsAProbability) {
  EXPECT_THAT(Resolve("train_teacher { training { iterations: 1 } "
                      "augment_probability: 1 }"),
              IsOk());
  for (const char* bad : {"-0.1", "1.1", "nan"}) {
    EXPECT_THAT(Resolve("train_teacher { training { iterations: 1 } "
                        "augment_probability: " +
                        std::string(bad) + " }"),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("train_teacher.augment_probability")));
  }
}

TEST_F(SpecResolverTest, FillsInTheDefaultsOfADiscriminator) {
  v1::JobSpec spec = Parse(
      "distill { teacher: 'projects/p/models/teacher' "
      "training { iterations: 10 } gan { weight: 0.5 } }");
  ASSERT_THAT(Resolve(&spec), IsOk());
  const v1::GanSpec& gan = spec.distill().gan();
  EXPECT_EQ(gan.r1_weight(), 0.1);
  EXPECT_EQ(gan.start_step(), 0);
  EXPECT_EQ(gan.channels(), 32);
  EXPECT_EQ(gan.learning_rate(), 2e-4);
}

TEST_F(SpecResolverTest, ChecksADiscriminator) {
  EXPECT_THAT(ResolveDistill("gan {}"), IsOk());
  EXPECT_THAT(ResolveDistill("method: METHOD_CM gan { weight: 1 r1_weight: -1 "
                             "start_step: 5 channels: 8 }"),
              IsOk());
  const struct {
    const char *gan, *field;
  } kBad[] = {{"weight: -1", "gan.weight"},
              {"weight: inf", "gan.weight"},
              {"channels: 8", "gan.weight"},
              {"weight: 1 r1_weight: -2", "gan.r1_weight"},
              {"weight: 1 start_step: -1", "gan.start_step"},
              {"weight: 1 channels: 2000", "gan.channels"},
              {"weight: 1 learning_rate: 2", "gan.learning_rate"}};
  for (const auto& bad : kBad) {
    EXPECT_THAT(
        ResolveDistill(absl::StrCat("gan { ", bad.gan, " }")),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.field)))
        << bad.gan;
  }
}

TEST_F(SpecResolverTest, RefusesMoreThreadsThanThereAre) {
  EXPECT_THAT(
      Resolve("train_teacher { training { iterations: 1 } } "
              "resources { cpu_threads: 3 }"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 CPU slots")));
}

TEST_F(SpecResolverTest, LooksModelsUp) {
  EXPECT_THAT(Resolve("estimate_preconditioning { "
                      "teacher: 'projects/p/models/nobody' }"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Resolve("estimate_preconditioning { teacher: 'teacher' }"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no model's name")));
  EXPECT_THAT(
      Resolve("estimate_preconditioning { }"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is missing")));
  EXPECT_THAT(
      Resolve("evaluate { model: 'projects/p/models/cm' gamma: 1 "
              "feature_extractor: 'projects/p/models/features' }"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("kind CTM only")));
}

TEST_F(SpecResolverTest, KnowsHowOftenPixelsCanBeHalved) {
  EXPECT_THAT(Resolve("train_teacher { training { iterations: 1 } network { "
                      "channel_mult: [1, 1, 1, 1, 1, 1, 1] } }"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("give at most 6")));
  EXPECT_THAT(Resolve("train_teacher { training { iterations: 1 } "
                      "network { attn_resolutions: 12 } }"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the levels are 32, 16, 8")));
}

TEST_F(SpecResolverTest, AsksForATask) {
  EXPECT_THAT(Resolve(""), StatusIs(absl::StatusCode::kInvalidArgument,
                                    HasSubstr("give one of train_teacher")));
}

}  // namespace
}  // namespace retort::jobs
