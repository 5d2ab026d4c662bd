#include "server/scheduler/cluster_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/error.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::scheduler {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1800000000);

class ClusterStoreTest : public ::testing::Test {
 protected:
  ClusterStoreTest() { Reopen(); }
  // As after a restart.
  void Reopen() {
    store_.reset();
    db_.reset();
    db_ = *db::Database::Open(dir_ / "retort.db");
    store_ = *ClusterStore::Create(db_.get());
  }

  retort::testing::TempDir dir_;
  std::unique_ptr<db::Database> db_;
  std::unique_ptr<ClusterStore> store_;
};

TEST_F(ClusterStoreTest, AnUnknownProjectHasTheDefaults) {
  RETORT_ASSERT_OK_AND_ASSIGN(const ProjectRecord project,
                              store_->GetProject("p"));
  EXPECT_EQ(project.weight, 1);
  EXPECT_EQ(project.max_gpus, 0);
  EXPECT_EQ(ClusterStore::EtagOf(project), "r0");
  EXPECT_THAT(*store_->ListProjects(), IsEmpty());
}

TEST_F(ClusterStoreTest, UsageAndLimitsDoNotOverwriteEachOther) {
  ASSERT_THAT(store_->UpdateProject("p", "",
                                    [](ProjectRecord* record) {
                                      record->weight = 3;
                                      record->max_jobs = 2;
                                      return absl::OkStatus();
                                    }),
              IsOk());
  ClusterStore::Change change;
  change.usage["p"] = {12.5, 3.5, kNow};
  ASSERT_THAT(store_->Write(change), IsOk());
  Reopen();
  RETORT_ASSERT_OK_AND_ASSIGN(const ProjectRecord project,
                              store_->GetProject("p"));
  EXPECT_EQ(project.weight, 3);
  EXPECT_EQ(project.max_jobs, 2);
  EXPECT_EQ(project.usage.fair, 12.5);
  EXPECT_EQ(project.usage.gpu_hours, 3.5);
  EXPECT_EQ(project.usage.at, kNow);
}

TEST_F(ClusterStoreTest, AStaleEtagChangesNothing) {
  const auto set = [](double weight) {
    return [weight](ProjectRecord* record) {
      record->weight = weight;
      return absl::OkStatus();
    };
  };
  RETORT_ASSERT_OK_AND_ASSIGN(const ProjectRecord first,
                              store_->UpdateProject("p", "r0", set(2)));
  EXPECT_EQ(ClusterStore::EtagOf(first), "r1");
  const auto stale = store_->UpdateProject("p", "r0", set(5));
  EXPECT_THAT(stale, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(service::ReasonOf(stale.status()), v1::ERROR_REASON_ETAG_MISMATCH);
  EXPECT_EQ(store_->GetProject("p")->weight, 2);
}

TEST_F(ClusterStoreTest, KeepsGangsClaimsAndDrainedNodes) {
  ClusterStore::Change change;
  GangRecord gang{"a", JobClass::kHigh, {{"n1", 2}, {"n2", 1}}, kNow};
  gang.room_for = "c";
  gang.stop_by = kNow + absl::Minutes(2);
  change.gangs = {gang, {"b", JobClass::kLow, {{"n1", 1}}, kNow}};
  change.gangs[1].placed = false;
  change.claims = {{"d", JobClass::kNormal, {{"n2", 1}}},
                   {"c", JobClass::kHigh, {{"n1", 4}}}};
  ASSERT_THAT(store_->Write(change), IsOk());
  ASSERT_THAT(store_->Drain("n2", "new disks"), IsOk());
  Reopen();
  const std::vector<GangRecord> gangs = *store_->ListGangs();
  ASSERT_THAT(gangs, SizeIs(2));
  EXPECT_THAT(gangs[0].nodes, ElementsAre(Pair("n1", 2), Pair("n2", 1)));
  EXPECT_EQ(gangs[0].job_class, JobClass::kHigh);
  EXPECT_EQ(gangs[0].room_for, "c");
  EXPECT_EQ(gangs[0].stop_by, gang.stop_by);
  EXPECT_TRUE(gangs[0].placed);
  EXPECT_FALSE(gangs[1].placed);
  EXPECT_EQ((*store_->ListClaims())[0].job, "d");
  EXPECT_THAT(*store_->ListDrained(), ElementsAre(Pair("n2", "new disks")));
  ClusterStore::Change gone;
  gone.gone_gangs = {"a"};
  gone.gone_claims = {"d"};
  ASSERT_THAT(store_->Write(gone), IsOk());
  ASSERT_THAT(store_->Undrain("n2"), IsOk());
  EXPECT_THAT(*store_->ListGangs(), SizeIs(1));
  EXPECT_THAT(*store_->ListClaims(), SizeIs(1));
  EXPECT_THAT(*store_->ListDrained(), IsEmpty());
}

}  // namespace
}  // namespace retort::scheduler
