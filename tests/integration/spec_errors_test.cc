// Job files that cannot work: what is said, and with which exit code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/service_process.h"
#include "tests/support/tiny_specs.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

class SpecErrorsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    service_ = new ServiceProcess();
    service_->Start();
  }
  static void TearDownTestSuite() {
    delete service_;
    service_ = nullptr;
  }

  // The error's message of a job file that is refused with `code`.
  static std::string Refusal(const json& spec, int code = 4,
                             const std::string& reason = "SPEC_INVALID") {
    const json error = service_->Error(
        code, {"jobs", "submit", "-f", service_->JobFile(spec)});
    EXPECT_EQ(error["reason"], reason) << error;
    return error["message"];
  }

  static std::string Write(const std::string& name, const std::string& text) {
    const std::string path = service_->dir() / name;
    std::ofstream(path) << text;
    return path;
  }

  static json Teacher() { return TinyTeacher("", 5); }

  static ServiceProcess* service_;
};

ServiceProcess* SpecErrorsTest::service_ = nullptr;

TEST_F(SpecErrorsTest, UnknownFieldIsNamedWithItsLineAndTheNearestOne) {
  const std::string file = Write("typo.yaml",
                                 "spec:\n"
                                 "  train_teacher:\n"
                                 "    training: {iteratons: 5}\n");
  const json error = service_->Error(4, {"jobs", "submit", "-f", file});
  EXPECT_EQ(error["code"], "INVALID_ARGUMENT");
  EXPECT_THAT(
      error["message"],
      AllOf(HasSubstr("typo.yaml:3: spec.train_teacher.training.iteratons: "
                      "no such field"),
            HasSubstr("did you mean iterations?")));
  const ProcessResult plain = service_->Cli({"jobs", "submit", "-f", file});
  EXPECT_EQ(plain.code, 4);
  EXPECT_THAT(plain.err, ::testing::StartsWith("retort: error: "));
  EXPECT_EQ(plain.out, "");
}

TEST_F(SpecErrorsTest, WrongTypesAndUnknownEnumValuesAreNamed) {
  json spec = Teacher();
  spec["train_teacher"]["training"]["batch_size"] = "many";
  EXPECT_THAT(Refusal(spec, 4, ""),
              ContainsRegex("training.batch_size: must be a whole number from "
                            "-?[0-9]+ to [0-9]+, not 'many'"));
  spec = Teacher();
  spec["train_teacher"]["optimizer"]["kind"] = "sgd";
  EXPECT_THAT(Refusal(spec, 4, ""),
              AllOf(HasSubstr("optimizer.kind: no such value: 'sgd'"),
                    ContainsRegex("(did you mean|known:).* adam")));
}

TEST_F(SpecErrorsTest, NoIterationsAtAllIsImpossible) {
  json spec = Teacher();
  spec["train_teacher"]["training"]["iterations"] = 0;
  EXPECT_THAT(Refusal(spec),
              AllOf(HasSubstr("train_teacher.training.iterations: is 0"),
                    HasSubstr("say how many steps to train, 1 or more")));
}

TEST_F(SpecErrorsTest, NoiseThatFallsTheWrongWayIsImpossible) {
  json spec = Teacher();
  spec["train_teacher"]["noise"] = {{"sigma_min", 80}, {"sigma_max", 0.5}};
  EXPECT_THAT(Refusal(spec),
              HasSubstr("train_teacher.noise.sigma_min: is 80, not below "
                        "sigma_max, 0.5; choose a smaller one"));
}

TEST_F(SpecErrorsTest, AttentionMustSitOnALevel) {
  json spec = Teacher();
  spec["train_teacher"]["network"]["attn_resolutions"] = {7};
  EXPECT_THAT(Refusal(spec), AllOf(HasSubstr("attn_resolutions"),
                                   HasSubstr("7 is the resolution of no level"),
                                   HasSubstr("the levels are 32, 16")));
}

TEST_F(SpecErrorsTest, AllProblemsAreSaidAtOnce) {
  json spec = Teacher();
  spec["train_teacher"]["training"] = {{"iterations", 5}, {"batch_size", -1}};
  spec["train_teacher"]["network"]["dropout"] = 1.5;
  spec["train_teacher"]["data"]["path"] = "relative/folder";
  EXPECT_THAT(Refusal(spec),
              AllOf(HasSubstr("training.batch_size: is -1; must be in [1, "),
                    HasSubstr("network.dropout: is 1.5; must be in [0, 1)"),
                    HasSubstr("data.path: \"relative/folder\" is relative; "
                              "give the absolute folder")));
}

TEST_F(SpecErrorsTest, UnknownTeacherIsNotFound) {
  const std::string message = Refusal(
      {{"distill", {{"teacher", "nobody"}, {"training", {{"iterations", 5}}}}}},
      3, "RESOURCE_NOT_FOUND");
  EXPECT_THAT(message, AllOf(HasSubstr("no model projects/default/models/"
                                       "nobody"),
                             HasSubstr("retort models list")));
}

TEST_F(SpecErrorsTest, MoreThreadsThanTheServiceHasAreRefused) {
  json spec = Teacher();
  spec["resources"]["cpu_threads"] = 64;
  EXPECT_THAT(Refusal(spec),
              HasSubstr("resources.cpu_threads: is 64, but this service has 1 "
                        "CPU slot; ask for at most that many"));
}

TEST_F(SpecErrorsTest, AGangThatHasNoPlaceHereIsRefusedAtOnce) {
  json spec = Teacher();
  spec["resources"]["world_size"] = 2;
  EXPECT_THAT(Refusal(spec),
              HasSubstr("resources: such a job can never start here: needs 2 "
                        "CPU slots, but the service has 1"));
}

TEST_F(SpecErrorsTest, ValidateOnlyFillsInDefaultsAndMakesNoJob) {
  const json job =
      service_->Json({"jobs", "submit", "-f", service_->JobFile(Teacher()),
                      "--id", "never", "--validate-only"});
  EXPECT_EQ(job["spec"]["train_teacher"]["training"]["ema_rate"], 0.999);
  service_->Error(3, {"jobs", "get", "never"});
}

TEST_F(SpecErrorsTest, IdsAreTakenOnceAndRequestsAnsweredTwice) {
  const std::string file = service_->JobFile(TinyTeacher("/nowhere", 5));
  const std::vector<std::string> submit = {
      "jobs", "submit", "-f", file, "--id", "once", "--request-id", "r1"};
  const json first = service_->Json(submit);
  EXPECT_EQ(service_->Json(submit)["create_time"], first["create_time"]);
  EXPECT_EQ(service_->Json({"jobs", "list"})["jobs"].size(), 1u);
  const json taken =
      service_->Error(6, {"jobs", "submit", "-f", file, "--id", "once"});
  EXPECT_EQ(taken["code"], "ALREADY_EXISTS");
  EXPECT_THAT(taken["message"],
              AllOf(HasSubstr("jobs/once exists"),
                    HasSubstr("choose another job_id, or leave it out")));
  const json reused = service_->Error(
      6, {"jobs", "submit", "-f", file, "--id", "twice", "--request-id", "r1"});
  EXPECT_EQ(reused["reason"], "REQUEST_ID_REUSED");
  EXPECT_THAT(reused["message"],
              AllOf(HasSubstr("request_id r1 came before with another request"),
                    HasSubstr("use a fresh one")));
  const json bad_id =
      service_->Error(4, {"jobs", "submit", "-f", file, "--id", "No Good"});
  EXPECT_THAT(bad_id["message"],
              AllOf(HasSubstr("No Good"),
                    HasSubstr("an id is 1 to 63 of a-z, 0-9 and -")));
}

TEST_F(SpecErrorsTest, ExitCodesTellUsageFromAbsenceFromSilence) {
  EXPECT_EQ(service_->Cli({"jobs", "submit"}).code, 2);
  const ProcessResult missing =
      service_->Cli({"jobs", "submit", "-f", "/nowhere/job.yaml"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_THAT(missing.err, HasSubstr("/nowhere/job.yaml"));
  EXPECT_EQ(service_->Cli({"jobz"}).code, 2);
  EXPECT_EQ(service_->Cli({"jobs", "get", "nobody"}).code, 3);
  EXPECT_EQ(service_->Cli({"deployments", "get", "nobody"}).code, 3);
  EXPECT_EQ(service_->Cli({"sample", "nobody"}).code, 3);
  const ProcessResult silent =
      RunProgram({absl::StrCat(RETORT_BIN_DIR, "/retort"), "--server",
                  "127.0.0.1:1", "jobs", "list"},
                 service_->dir().path(), ServiceProcess::kPatience);
  EXPECT_EQ(silent.code, 5);
  EXPECT_THAT(silent.err,
              AllOf(HasSubstr("no answer from 127.0.0.1:1"),
                    HasSubstr("is retortd running there? --server or "
                              "RETORT_SERVER names another address")));
}

}  // namespace
}  // namespace retort::testing
