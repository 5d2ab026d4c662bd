#include "server/rpc/cluster_service.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/base/error.h"
#include "tests/server/rpc/not_there_yet.h"
#include "tests/server/rpc/service_fixture.h"
#include "tests/support/status_matchers.h"

namespace retort::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

class ClusterServiceTest : public ServiceFixture {
 protected:
  ClusterServiceTest() {
    executor_.SetNodes({{"here", 4, 0}});
    scheduler_->RunOnce();
    service_ = std::make_unique<ClusterService>(Deps("local"));
    stub_ = v1::ClusterService::NewStub(Serve(service_.get()));
  }
  ~ClusterServiceTest() override { Shutdown(); }

  ClusterServiceDeps Deps(const std::string& executor) {
    ClusterServiceDeps deps;
    deps.version = "1.2.3";
    deps.executor = executor;
    deps.node = "here";
    deps.clock = &clock_;
    deps.scheduler = scheduler_.get();
    deps.deployments = manager_.get();
    deps.metrics = &metrics_;
    return deps;
  }
  // Jobs start in the order in which they are added, if there is room.
  void AddJob(
      const std::string& id, int threads,
      const std::string& project = "default",
      v1::Job::PriorityClass job_class = v1::Job::PRIORITY_CLASS_NORMAL) {
    jobs::NewJob job;
    job.project = project;
    job.job_id = id;
    job.job.set_priority_class(job_class);
    job.job.mutable_spec()->mutable_evaluate();
    job.job.mutable_spec()->mutable_resources()->set_cpu_threads(threads);
    ASSERT_THAT(jobs_->CreateJob(job), IsOk());
    scheduler_->RunOnce();
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (v1::ClusterService::Stub::*method)(grpc::ClientContext*,
                                                       const Request&,
                                                       Response*),
      const Request& request) {
    grpc::ClientContext context;
    Response response;
    const absl::Status status =
        FromGrpc((stub_.get()->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  v1::Cluster Cluster() {
    return *Call(&v1::ClusterService::Stub::GetCluster,
                 v1::GetClusterRequest());
  }
  absl::StatusOr<v1::Quota> Update(const v1::Quota& quota,
                                   std::vector<std::string> mask = {}) {
    v1::UpdateQuotaRequest request;
    *request.mutable_quota() = quota;
    for (const std::string& path : mask) {
      request.mutable_update_mask()->add_paths(path);
    }
    return Call(&v1::ClusterService::Stub::UpdateQuota, request);
  }
  static v1::Quota Quota(const std::string& project) {
    v1::Quota quota;
    quota.set_project("projects/" + project);
    return quota;
  }
  absl::StatusOr<v1::Node> Drain(const std::string& node, bool undo = false,
                                 const std::string& reason = "new disks") {
    v1::DrainNodeRequest request;
    request.set_node(node);
    request.set_undo(undo);
    request.set_reason(reason);
    return Call(&v1::ClusterService::Stub::DrainNode, request);
  }

  std::unique_ptr<ClusterService> service_;
  std::unique_ptr<v1::ClusterService::Stub> stub_;
};

TEST_F(ClusterServiceTest, TellsWhatRunsAndWhatWaits) {
  AddJob("running", 3);
  AddJob("queued", 2);
  const v1::Cluster cluster = Cluster();
  EXPECT_EQ(cluster.version(), "1.2.3");
  EXPECT_EQ(cluster.executor(), "local");
  EXPECT_EQ(cluster.queued_jobs(), 1);
  EXPECT_EQ(cluster.running_jobs(), 1);
  ASSERT_EQ(cluster.nodes_size(), 1);
  EXPECT_EQ(cluster.nodes(0).cpu_slots(), 4);
  EXPECT_EQ(cluster.nodes(0).cpu_slots_used(), 3);
  EXPECT_TRUE(cluster.nodes(0).usable());
  EXPECT_THAT(cluster.nodes(0).occupants(),
              ElementsAre("projects/default/jobs/running"));
}

TEST_F(ClusterServiceTest, ListsTheQueueInOrderWithReasons) {
  AddJob("running", 4);
  AddJob("first", 2);
  AddJob("low", 1, "other", v1::Job::PRIORITY_CLASS_LOW);
  AddJob("high", 1, "other", v1::Job::PRIORITY_CLASS_HIGH);
  RETORT_ASSERT_OK_AND_ASSIGN(
      const v1::ListQueueResponse queue,
      Call(&v1::ClusterService::Stub::ListQueue, v1::ListQueueRequest()));
  EXPECT_EQ(queue.total(), 3);
  ASSERT_EQ(queue.entries_size(), 3);
  EXPECT_EQ(queue.entries(0).job(), "projects/other/jobs/high");
  EXPECT_EQ(queue.entries(0).explanation().reason(),
            v1::ExplainQueueResponse::REASON_FIRST);
  EXPECT_EQ(queue.entries(1).job(), "projects/default/jobs/first");
  EXPECT_EQ(queue.entries(1).cpu_slots(), 2);
  EXPECT_EQ(queue.entries(1).explanation().position(), 1);
  EXPECT_THAT(queue.entries(1).explanation().explanation(),
              HasSubstr("1 job is before it"));
  EXPECT_EQ(queue.entries(2).project(), "projects/other");
  EXPECT_EQ(queue.entries(2).priority_class(), v1::Job::PRIORITY_CLASS_LOW);
  v1::ListQueueRequest some;
  some.set_page_size(1);
  EXPECT_EQ(Call(&v1::ClusterService::Stub::ListQueue, some)->entries_size(),
            1);
  some.set_page_size(5000);
  EXPECT_THAT(
      Call(&v1::ClusterService::Stub::ListQueue, some),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_size")));
}

TEST_F(ClusterServiceTest, AQuotaKeepsAJobWaitingAndItsChangeLetsItGo) {
  v1::Quota quota = Quota("default");
  quota.set_max_jobs(1);
  quota.set_weight(2);
  ASSERT_THAT(Update(quota), IsOk());
  AddJob("a", 1);
  AddJob("b", 1);
  EXPECT_EQ(Cluster().running_jobs(), 1);
  v1::GetQuotaRequest request;
  request.set_project("projects/default");
  RETORT_ASSERT_OK_AND_ASSIGN(
      const v1::Quota known,
      Call(&v1::ClusterService::Stub::GetQuota, request));
  EXPECT_EQ(known.max_jobs(), 1);
  EXPECT_EQ(known.weight(), 2);
  EXPECT_EQ(known.running_jobs(), 1);
  EXPECT_EQ(known.queued_jobs(), 1);
  EXPECT_EQ(known.cpu_slots_used(), 1);
  quota.set_max_jobs(0);
  ASSERT_THAT(Update(quota, {"max_jobs"}), IsOk());
  scheduler_->RunOnce();
  EXPECT_EQ(Cluster().running_jobs(), 2);
}

TEST_F(ClusterServiceTest, ListsQuotasOfAllThatHaveJobsOrLimits) {
  AddJob("a", 1, "with-job");
  v1::Quota quota = Quota("limited");
  quota.set_max_gpus(8);
  ASSERT_THAT(Update(quota), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(
      const v1::ListQuotasResponse all,
      Call(&v1::ClusterService::Stub::ListQuotas, v1::ListQuotasRequest()));
  ASSERT_EQ(all.quotas_size(), 2);
  EXPECT_EQ(all.quotas(0).project(), "projects/limited");
  EXPECT_EQ(all.quotas(0).max_gpus(), 8);
  EXPECT_EQ(all.quotas(1).project(), "projects/with-job");
  EXPECT_EQ(all.quotas(1).weight(), 1);
}

TEST_F(ClusterServiceTest, RefusesQuotasThatMakeNoSense) {
  v1::Quota quota = Quota("p");
  quota.set_weight(-1);
  EXPECT_THAT(Update(quota), StatusIs(absl::StatusCode::kInvalidArgument,
                                      HasSubstr("quota.weight")));
  EXPECT_THAT(Update(Quota("p"), {"weight"}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  quota = Quota("p");
  quota.set_max_gpus(-3);
  EXPECT_THAT(Update(quota), StatusIs(absl::StatusCode::kInvalidArgument,
                                      HasSubstr("quota.max_gpus")));
  EXPECT_THAT(
      Update(Quota("p"), {"wait"}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("names wait")));
  EXPECT_THAT(Update(Quota("No Project")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  quota = Quota("p");
  quota.set_weight(3);
  quota.set_etag("r7");
  const auto stale = Update(quota);
  EXPECT_THAT(stale, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(service::ReasonOf(stale.status()), v1::ERROR_REASON_ETAG_MISMATCH);
  // What is told and not set may be sent back.
  quota = Quota("p");
  quota.set_max_jobs(4);
  quota.set_usage(1e9);
  EXPECT_EQ(Update(quota, {"max_jobs", "usage"})->usage(), 0);
}

TEST_F(ClusterServiceTest, NothingStartsOnADrainedNode) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Node drained, Drain("here"));
  EXPECT_FALSE(drained.usable());
  EXPECT_EQ(drained.state_reason(), "drained by request: new disks");
  AddJob("a", 1);
  EXPECT_EQ(Cluster().running_jobs(), 0);
  RETORT_ASSERT_OK_AND_ASSIGN(
      const v1::ListQueueResponse queue,
      Call(&v1::ClusterService::Stub::ListQueue, v1::ListQueueRequest()));
  EXPECT_EQ(queue.entries(0).explanation().reason(),
            v1::ExplainQueueResponse::REASON_NODES_DOWN);
  ASSERT_THAT(Drain("here", /*undo=*/true), IsOk());
  scheduler_->RunOnce();
  EXPECT_EQ(Cluster().running_jobs(), 1);
}

TEST_F(ClusterServiceTest, AReasonStaysUntilThereIsAnother) {
  ASSERT_THAT(Drain("here"), IsOk());
  EXPECT_EQ(Drain("here", false, "")->state_reason(),
            "drained by request: new disks");
  EXPECT_EQ(cluster_store_->ListDrained()->at("here"), "new disks");
  EXPECT_EQ(Drain("here", false, "fire")->state_reason(),
            "drained by request: fire");
  // Once it was given back it has none, and to give it back again is fine.
  for (int i = 0; i < 2; ++i) {
    RETORT_ASSERT_OK_AND_ASSIGN(const v1::Node back, Drain("here", true));
    EXPECT_TRUE(back.usable());
    EXPECT_EQ(back.state_reason(), "");
  }
  EXPECT_EQ(Drain("here", false, "")->state_reason(), "drained by request");
}

TEST_F(ClusterServiceTest, KnowsNoQuotaOfAProjectThatNobodyHasHeardOf) {
  v1::GetQuotaRequest request;
  request.set_project("projects/visoin");
  const auto get = [&] {
    return Call(&v1::ClusterService::Stub::GetQuota, request);
  };
  EXPECT_THAT(get(), StatusIs(absl::StatusCode::kNotFound,
                              HasSubstr("project visoin has no quota")));
  EXPECT_EQ(service::ReasonOf(get().status()),
            v1::ERROR_REASON_RESOURCE_NOT_FOUND);
  // Limits may come before the first job, and a job without limits.
  v1::Quota quota = Quota("visoin");
  quota.set_max_jobs(1);
  ASSERT_THAT(Update(quota), IsOk());
  EXPECT_EQ(get()->max_jobs(), 1);
  AddJob("a", 1, "other");
  request.set_project("projects/other");
  EXPECT_EQ(get()->running_jobs(), 1);
}

TEST_F(ClusterServiceTest, DrainsNoNodeThatItDoesNotHave) {
  const auto unknown = Drain("elsewhere");
  EXPECT_THAT(unknown, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(service::ReasonOf(unknown.status()),
            v1::ERROR_REASON_RESOURCE_NOT_FOUND);
  Shutdown();
  service_ = std::make_unique<ClusterService>(Deps("slurm"));
  stub_ = v1::ClusterService::NewStub(Serve(service_.get()));
  EXPECT_THAT(Drain("here"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                      HasSubstr("scontrol update")));
}

TEST_F(ClusterServiceTest, AnswersEverything) {
  EXPECT_THAT(MethodsNotThereYet(server_.get(),
                                 v1::ClusterService::service_full_name()),
              IsEmpty());
}

}  // namespace
}  // namespace retort::rpc
