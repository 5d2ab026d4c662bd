#include "server/registry/deployment_store.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/base/error.h"
#include "server/registry/model_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_weights_tool.h"
#include "tests/support/model_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::registry {
namespace {

using testing::IsOk;
using testing::StatusIs;

constexpr char kModel[] = "projects/default/models/m";
constexpr char kDeployment[] = "projects/default/deployments/d";

class DeploymentStoreTest : public ::testing::Test {
 protected:
  DeploymentStoreTest() {
    db_ = *db::Database::Open(data_dir_.db_path());
    models_ =
        *ModelStore::Open(db_.get(), data_dir_, &clock_, &metrics_, &tool_);
    testing::WriteModelFolder(dir_ / "result", "ctm");
    RETORT_CHECK_OK(models_->Adopt(kModel, "", dir_ / "result").status());
    Reopen();
  }

  void Reopen() { store_ = *DeploymentStore::Open(db_.get(), &clock_); }

  static v1::Deployment Wanted(const std::string& name = kDeployment) {
    v1::Deployment deployment;
    deployment.set_name(name);
    deployment.add_models()->set_model(kModel);
    deployment.set_replicas(2);
    return deployment;
  }

  testing::TempDir dir_;
  testing::FakeClock clock_;
  metrics::ServiceMetrics metrics_;
  testing::FakeWeightsTool tool_;
  base::DataDir data_dir_{dir_.path()};
  std::unique_ptr<db::Database> db_;
  std::unique_ptr<ModelStore> models_;
  std::unique_ptr<DeploymentStore> store_;
};

TEST_F(DeploymentStoreTest, KeepsADeploymentOverARestart) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Deployment made,
                              store_->Create(Wanted(), "", ""));
  EXPECT_EQ(made.state(), v1::Deployment::STATE_STARTING);
  EXPECT_FALSE(made.etag().empty());
  Reopen();
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Deployment kept,
                              store_->Get(kDeployment));
  EXPECT_EQ(kept.SerializeAsString(), made.SerializeAsString());
}

TEST_F(DeploymentStoreTest, NeedsItsModel) {
  v1::Deployment deployment = Wanted();
  deployment.mutable_models(0)->set_model("projects/default/models/gone");
  EXPECT_THAT(store_->Create(deployment, "", ""),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->Get(kDeployment), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(DeploymentStoreTest, RefusesATakenName) {
  ASSERT_THAT(store_->Create(Wanted(), "", ""), IsOk());
  EXPECT_THAT(store_->Create(Wanted(), "", ""),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(DeploymentStoreTest, ARepeatedRequestFindsItsDeployment) {
  ASSERT_THAT(store_->Create(Wanted(), "r", "hash"), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(
      const v1::Deployment again,
      store_->Create(Wanted("projects/default/deployments/made-up"), "r",
                     "hash"));
  EXPECT_EQ(again.name(), kDeployment);
  const auto other = store_->Create(Wanted(), "r", "other hash");
  EXPECT_EQ(service::ReasonOf(other.status()),
            v1::ERROR_REASON_REQUEST_ID_REUSED);
}

TEST_F(DeploymentStoreTest, ADeletionThatACrashCutShortIsFinishedAtTheStart) {
  ASSERT_THAT(store_->Create(Wanted(), "", ""), IsOk());
  EXPECT_THAT(store_->MarkDeleting(kDeployment, "stale"),
              StatusIs(absl::StatusCode::kAborted));
  ASSERT_THAT(store_->MarkDeleting(kDeployment, ""), IsOk());
  EXPECT_EQ(store_->Get(kDeployment)->state(), v1::Deployment::STATE_DELETING);
  Reopen();
  EXPECT_THAT(store_->Get(kDeployment), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(DeploymentStoreTest, ListsNewestFirstInPages) {
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_THAT(
        store_->Create(
            Wanted(std::string("projects/default/deployments/") + id), "", ""),
        IsOk());
  }
  RETORT_ASSERT_OK_AND_ASSIGN(const auto first,
                              store_->List("default", {2, INT64_MAX}));
  ASSERT_EQ(first.deployments.size(), 2u);
  EXPECT_EQ(first.deployments[0].name(), "projects/default/deployments/c");
  EXPECT_TRUE(first.more);
  RETORT_ASSERT_OK_AND_ASSIGN(const auto second,
                              store_->List("default", {2, first.last_seq}));
  ASSERT_EQ(second.deployments.size(), 1u);
  EXPECT_FALSE(second.more);
  EXPECT_EQ(store_->All()->size(), 3u);
}

}  // namespace
}  // namespace retort::registry
