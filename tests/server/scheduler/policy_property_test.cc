// What holds of every decision, tried on thousands of random snapshots.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "server/scheduler/planner.h"
#include "server/scheduler/preemption.h"
#include "tests/server/scheduler/cluster.h"

namespace retort::scheduler {
namespace {

using ::retort::testing::Cluster;

constexpr int kSeeds = 4000;

// A random cluster, some of it running, with random queues.
class RandomCluster {
  std::mt19937 random_;
  bool exact_;

 public:
  // `exact`: all times are known and nobody waits out a loss.
  explicit RandomCluster(int seed, bool exact = false)
      : random_(seed), exact_(exact) {
    const int projects = 1 + Any(4);
    for (int i = 0; i < projects; ++i) {
      cluster.AddProject(absl::StrCat("p", i), 1 + Any(3));
      Project& project = cluster.projects.back();
      project.usage = Any(100000);
      if (Any(3) == 0) project.quota.max_gpus = 4 + Any(30);
      if (Any(3) == 0) project.quota.max_jobs = 1 + Any(6);
      if (Any(3) == 0) {
        project.quota.max_gpu_hours = Any(200);
        project.quota.used_gpu_hours = Any(100);
        project.quota.renews = cluster.now + absl::Hours(Any(100));
      }
    }
    for (int i = Any(12); i > 0; --i) AddGang();
    for (Node& node : cluster.nodes()) node.usable = Any(8) != 0;
    for (int i = Any(40); i > 0; --i) AddJob(i);
    for (int p = 0; p < projects; ++p) {
      cluster.HeadSince(p, AnyClass()) = cluster.now - absl::Hours(Any(40));
    }
    cluster.options.max_starts = 1 + Any(20);
    cluster.options.depth = 1 + Any(40);
  }

  int Any(int below) { return static_cast<int>(random_() % below); }
  JobClass AnyClass() { return static_cast<JobClass>(Any(3)); }
  absl::Duration AnyTime() {
    return exact_ || Any(4) != 0 ? absl::Minutes(1 + Any(600))
                                 : absl::InfiniteDuration();
  }

  Cluster cluster{2 + static_cast<int>(random_() % 6), 8};

 private:
  void AddGang() {
    Placement nodes;
    for (int i = 0; i < static_cast<int>(cluster.nodes().size()); ++i) {
      const int free = cluster.nodes()[i].free.gpus;
      if (free > 0 && Any(2) == 0) nodes.push_back({i, 1 + Any(free)});
    }
    if (nodes.empty()) return;
    RunningGang& gang =
        cluster.Run(absl::StrCat("r", cluster.gangs().size()), nodes, AnyTime(),
                    AnyClass(), Any(cluster.projects.size()));
    gang.start = cluster.now - absl::Minutes(Any(60));
    gang.last_checkpoint = cluster.now - absl::Minutes(Any(60));
    gang.preemptible = Any(2) == 0;
    gang.stopping = gang.preemptible && Any(5) == 0;
  }
  void AddJob(int i) {
    const int together = 1 + Any(4);
    const int project = Any(cluster.projects.size());
    const JobClass job_class = AnyClass();
    QueuedJob& job =
        cluster.Queue(absl::StrCat("j", i), together * (1 + Any(6)), AnyTime(),
                      job_class, project);
    job.gang.ranks_together = together;
    job.gang.per_rank.cpus = 1 + Any(10);
    if (Any(5) == 0) job.gang.per_rank.gpus = Any(5);
    if (Any(5) == 0) job.gang.max_ranks_per_node = 1 + Any(8);
    job.priority = Any(3);
    if (!exact_ && Any(8) == 0)
      job.not_before = cluster.now + absl::Minutes(Any(9));
    if (Any(15) == 0) cluster.AddClaim(job, job_class, project);
  }
};

// Project and class of each job that waits.
std::map<const QueuedJob*, std::pair<int, JobClass>> Owners(
    const Snapshot& snapshot) {
  std::map<const QueuedJob*, std::pair<int, JobClass>> owners;
  for (const Claim& claim : snapshot.claims) {
    owners[claim.job] = {claim.project, claim.job_class};
  }
  for (const Queue& queue : snapshot.queues) {
    for (const QueuedJob* job : queue.jobs) {
      owners[job] = {queue.project, queue.job_class};
    }
  }
  return owners;
}

std::string Text(const Decision& decision) {
  std::string text;
  for (const Start& start : decision.start) {
    absl::StrAppend(&text, "start ", start.job->name);
    for (const NodeRanks& at : start.nodes) {
      absl::StrAppend(&text, " ", at.node, ":", at.ranks);
    }
    absl::StrAppend(&text, "\n");
  }
  for (const Preemption& p : decision.preempt) {
    absl::StrAppend(&text, "stop ", p.victim->name, " for ", p.job->name, "\n");
  }
  for (const Refusal& refusal : decision.refuse) {
    absl::StrAppend(&text, "refuse ", refusal.job->name, "\n");
  }
  return absl::StrCat(text, absl::FormatTime(decision.wake));
}

class SeededTest : public ::testing::Test {
 protected:
  // Calls `check` for many seeds, until one fails.
  template <typename Check>
  void ForSeeds(Check check, bool exact = false) {
    for (int seed = 0; seed < kSeeds && !HasFailure(); ++seed) {
      SCOPED_TRACE(absl::StrCat("seed ", seed));
      RandomCluster random(seed, exact);
      check(random);
    }
  }
};

TEST_F(SeededTest, NoGangIsSplitAndNoNodeHoldsMoreThanItHas) {
  int starts = 0;
  ForSeeds([&](RandomCluster& random) {
    Room free = FreeRoom(random.cluster.snapshot().nodes);
    for (const Start& start : random.cluster.Decide().start) {
      const Gang& gang = start.job->gang;
      int ranks = 0;
      std::set<int> nodes;
      for (const NodeRanks& at : start.nodes) {
        EXPECT_TRUE(nodes.insert(at.node).second);
        EXPECT_TRUE(random.cluster.nodes()[at.node].usable);
        EXPECT_EQ(at.ranks % gang.ranks_together, 0);
        if (gang.max_ranks_per_node > 0) {
          EXPECT_LE(at.ranks, gang.max_ranks_per_node);
        }
        ranks += at.ranks;
      }
      EXPECT_EQ(ranks, gang.ranks);
      Take(start.nodes, gang.per_rank, &free);
      ++starts;
    }
    for (const Resources& left : free) {
      EXPECT_GE(left.gpus, 0);
      EXPECT_GE(left.cpus, 0);
    }
  });
  EXPECT_GT(starts, kSeeds);
}

TEST_F(SeededTest, NoProjectGoesOverItsQuota) {
  ForSeeds([](RandomCluster& random) {
    const Snapshot& snapshot = random.cluster.snapshot();
    const auto owners = Owners(snapshot);
    const Decision decision = random.cluster.Decide();
    std::vector<int> gpus(snapshot.projects.size());
    std::vector<int> jobs(snapshot.projects.size());
    std::vector<double> hours(snapshot.projects.size());
    std::vector<bool> starts(snapshot.projects.size());
    const auto add = [&](int p, int count, absl::Time end) {
      gpus[p] += count;
      ++jobs[p];
      if (end == absl::InfiniteFuture()) return;
      end = std::min(end, snapshot.projects[p].quota.renews);
      hours[p] +=
          count * std::max(0.0, absl::ToDoubleHours(end - snapshot.now));
    };
    for (const RunningGang* gang : snapshot.running) {
      int ranks = 0;
      for (const NodeRanks& at : gang->nodes) ranks += at.ranks;
      add(gang->project, ranks, gang->expected_end);
    }
    std::set<const QueuedJob*> begun;
    for (const Start& start : decision.start) begun.insert(start.job);
    for (const Preemption& p : decision.preempt) begun.insert(p.job);
    for (const QueuedJob* job : begun) {
      const int p = owners.at(job).first;
      add(p, job->gang.gpus(), snapshot.now + job->time_limit);
      starts[p] = starts[p] || job->gang.gpus() > 0;
      // What started before the snapshot may have been over; what starts now
      // may not.
      EXPECT_LE(jobs[p], snapshot.projects[p].quota.max_jobs);
    }
    for (size_t p = 0; p < starts.size(); ++p) {
      const Quota& quota = snapshot.projects[p].quota;
      if (!starts[p]) continue;
      EXPECT_LE(gpus[p], quota.max_gpus);
      EXPECT_LE(hours[p] + quota.used_gpu_hours, quota.max_gpu_hours + 1e-6);
    }
  });
}

TEST_F(SeededTest, OnlyTrulyLowerClassesAreStoppedAndNoMoreThanNeeded) {
  int stopped = 0;
  ForSeeds([&](RandomCluster& random) {
    random.cluster.options.max_preemptors = 1;
    const Snapshot& snapshot = random.cluster.snapshot();
    const auto owners = Owners(snapshot);
    bool head = false, behind_head = false;
    Planner planner(snapshot, random.cluster.options,
                    [&](const Candidate&, Verdict verdict) {
                      head = head || verdict == Verdict::kHead;
                      behind_head = behind_head ||
                                    (head && verdict == Verdict::kPreempts);
                    });
    const Decision decision = planner.Run();
    // Behind a head, its nodes are left alone.
    std::set<int> closed;
    if (behind_head) {
      for (const NodeRanks& at : planner.reservation()->nodes) {
        closed.insert(at.node);
      }
    }
    // Claims that wait have a part in what is stopping; only without them is
    // the arithmetic below the whole truth.
    const bool simple = snapshot.claims.empty();
    Room room = FreeRoom(snapshot.nodes);
    const auto put_back = [&](const RunningGang& gang, Room* to) {
      for (const NodeRanks& at : gang.nodes) {
        if (!snapshot.nodes[at.node].usable || closed.count(at.node) > 0) {
          continue;
        }
        PutBack({at}, gang.per_rank, to);
      }
    };
    for (const RunningGang* gang : snapshot.running) {
      if (gang->stopping) put_back(*gang, &room);
    }
    for (const Start& start : decision.start) {
      // What starts after the preemption is backfilled beside it.
      Take(start.nodes, start.job->gang.per_rank, &room);
    }
    for (const int node : closed) room[node] = {};
    for (const Preemption& p : decision.preempt) {
      EXPECT_LT(p.victim->job_class, owners.at(p.job).second);
      EXPECT_TRUE(p.victim->preemptible);
      EXPECT_FALSE(p.victim->stopping);
      EXPECT_GE(snapshot.now - p.victim->start, random.cluster.options.min_run);
      ++stopped;
      if (!simple) continue;
      Room without = room;
      for (const Preemption& other : decision.preempt) {
        if (other.victim != p.victim) put_back(*other.victim, &without);
      }
      EXPECT_LT(RanksIn(p.job->gang, without), p.job->gang.ranks);
    }
    if (!simple || decision.preempt.empty()) return;
    for (const Preemption& p : decision.preempt) put_back(*p.victim, &room);
    EXPECT_GE(RanksIn(decision.preempt[0].job->gang, room),
              decision.preempt[0].job->gang.ranks);
  });
  EXPECT_GT(stopped, 300);
}

TEST_F(SeededTest, TheSameSnapshotHasTheSameDecisionInAnyOrder) {
  ForSeeds([](RandomCluster& random) {
    const Snapshot& snapshot = random.cluster.snapshot();
    const PolicyOptions& options = random.cluster.options;
    const std::string text = Text(Decide(snapshot, options));
    EXPECT_EQ(Text(Decide(snapshot, options)), text);
    std::vector<Queue> queues(snapshot.queues.begin(), snapshot.queues.end());
    std::vector<const RunningGang*> running(snapshot.running.begin(),
                                            snapshot.running.end());
    std::reverse(queues.begin(), queues.end());
    std::reverse(running.begin(), running.end());
    Snapshot reversed = snapshot;
    reversed.queues = queues;
    reversed.running = running;
    EXPECT_EQ(Text(Decide(reversed, options)), text);
  });
}

TEST_F(SeededTest, NothingThatStartsDelaysTheHeadsReservation) {
  int heads = 0;
  ForSeeds([&](RandomCluster& random) {
    const Snapshot& snapshot = random.cluster.snapshot();
    const QueuedJob* head = nullptr;
    Planner planner(snapshot, random.cluster.options,
                    [&](const Candidate& candidate, Verdict verdict) {
                      if (verdict == Verdict::kHead) head = candidate.job;
                    });
    const Decision decision = planner.Run();
    if (head == nullptr) return;
    const absl::Time promised = planner.reservation()->start;
    if (promised == absl::InfiniteFuture()) return;
    // With all that has started and all that stops, by the same ends.
    const std::optional<Reservation> after = planner.ReserveFor(head->gang);
    ASSERT_TRUE(after.has_value());
    EXPECT_LE(after->start, promised) << head->name;
    ++heads;
  });
  EXPECT_GT(heads, 500);
}

TEST_F(SeededTest, RoomIsLeftOnlyIfNobodyCanUseIt) {
  ForSeeds([](RandomCluster& random) {
    Cluster& cluster = random.cluster;
    cluster.options.depth = cluster.options.max_starts = 1000;
    const int jobs = 1 + random.Any(60);
    Cluster simple(static_cast<int>(cluster.nodes().size()), 8);
    simple.options = cluster.options;
    simple.AddProject("p");
    for (int i = 0; i < jobs; ++i) simple.Queue(absl::StrCat(i), 1);
    const int gpus = 8 * static_cast<int>(cluster.nodes().size());
    EXPECT_EQ(simple.Started().size(), std::min(jobs, gpus));
  });
}

// Runs one project's queue to its end, jobs taking exactly their time limits.
// Returns when each has started.
std::map<std::string, absl::Time> RunOut(RandomCluster* random, bool backfill) {
  Cluster& from = random->cluster;
  std::vector<Node> nodes = from.nodes();
  for (Node& node : nodes) node.usable = true;
  std::vector<Project> projects(1);
  std::vector<const QueuedJob*> line;
  for (const Queue& queue : from.snapshot().queues) {
    line.insert(line.end(), queue.jobs.begin(), queue.jobs.end());
  }
  std::deque<RunningGang> gangs(from.gangs());
  for (RunningGang& gang : gangs) gang.project = 0;
  PolicyOptions options;
  options.preempt = false;
  options.backfill = backfill;
  std::map<std::string, absl::Time> started;
  absl::Time now = from.now;
  while (true) {
    std::vector<const RunningGang*> running;
    for (const RunningGang& gang : gangs) running.push_back(&gang);
    const Queue queue{0, JobClass::kNormal, absl::InfiniteFuture(), line};
    const Decision decision =
        Decide({now, nodes, projects, {&queue, 1}, {}, running}, options);
    const auto drop = [&](const QueuedJob* job) {
      line.erase(std::find(line.begin(), line.end(), job));
    };
    for (const Refusal& refusal : decision.refuse) drop(refusal.job);
    for (const Start& start : decision.start) {
      Room free = FreeRoom(nodes);
      Take(start.nodes, start.job->gang.per_rank, &free);
      for (size_t i = 0; i < nodes.size(); ++i) nodes[i].free = free[i];
      RunningGang gang;
      gang.seq = start.job->seq;
      gang.per_rank = start.job->gang.per_rank;
      gang.nodes = start.nodes;
      gang.expected_end = now + start.job->time_limit;
      gangs.push_back(gang);
      started[start.job->name] = now;
      drop(start.job);
    }
    absl::Time next = decision.wake;
    for (const RunningGang& gang : gangs) {
      next = std::min(next, gang.expected_end);
    }
    if (next == absl::InfiniteFuture()) break;
    now = next;
    for (auto it = gangs.begin(); it != gangs.end();) {
      if (it->expected_end > now) {
        ++it;
        continue;
      }
      Room free = FreeRoom(nodes);
      PutBack(it->nodes, it->per_rank, &free);
      for (size_t i = 0; i < nodes.size(); ++i) nodes[i].free = free[i];
      it = gangs.erase(it);
    }
  }
  EXPECT_TRUE(line.empty());
  return started;
}

TEST_F(SeededTest, WithExactTimesTheHeadStartsNoLaterForTheBackfill) {
  ForSeeds(
      [](RandomCluster& random) {
        const Snapshot& snapshot = random.cluster.snapshot();
        // The first that waits for room when all jobs stand in one line.
        const auto without = RunOut(&random, false);
        const auto with = RunOut(&random, true);
        ASSERT_EQ(without.size(), with.size());
        std::string head;
        for (const Queue& queue : snapshot.queues) {
          for (const QueuedJob* job : queue.jobs) {
            if (head.empty() && without.count(job->name) > 0 &&
                without.at(job->name) > snapshot.now) {
              head = job->name;
            }
          }
        }
        if (head.empty()) return;
        EXPECT_LE(with.at(head), without.at(head)) << head;
      },
      true);
}

}  // namespace
}  // namespace retort::scheduler
