#include "server/metrics/service_metrics.h"

#include <map>

namespace retort::metrics {
namespace {

using Labels = std::map<std::string, std::string>;

template <typename Builder>
auto* Family(Builder builder, const char* name, const char* help,
             prometheus::Registry* registry) {
  return &builder.Name(name).Help(help).Register(*registry);
}

prometheus::Family<prometheus::Gauge>* Gauges(const char* name,
                                              const char* help,
                                              prometheus::Registry* registry) {
  return Family(prometheus::BuildGauge(), name, help, registry);
}

prometheus::Family<prometheus::Counter>* Counters(
    const char* name, const char* help, prometheus::Registry* registry) {
  return Family(prometheus::BuildCounter(), name, help, registry);
}

prometheus::Family<prometheus::Histogram>* Histograms(
    const char* name, const char* help, prometheus::Registry* registry) {
  return Family(prometheus::BuildHistogram(), name, help, registry);
}

// From a millisecond to five minutes.
const prometheus::Histogram::BucketBoundaries& Seconds() {
  static const auto& bounds = *new prometheus::Histogram::BucketBoundaries{
      0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300};
  return bounds;
}

template <typename Metric>
void RemoveSeries(prometheus::Family<Metric>* family, const Labels& labels) {
  if (family->Has(labels)) family->Remove(&family->Add(labels));
}

}  // namespace

ServiceMetrics::ServiceMetrics()
    : registry_(std::make_shared<prometheus::Registry>()) {
  prometheus::Registry* r = registry_.get();
  jobs_ = Gauges("retort_jobs", "Jobs by state", r);
  queue_length_ =
      &Gauges("retort_queue_length", "Jobs that wait to start", r)->Add({});
  cpu_slots_ =
      &Gauges("retort_cpu_slots", "CPU threads that jobs may use", r)->Add({});
  cpu_slots_used_ =
      &Gauges("retort_cpu_slots_used", "CPU threads that jobs use", r)->Add({});
  job_images_per_second_ =
      Gauges("retort_training_images_per_second",
             "Images per second of a running job, as it reports", r);
  worker_starts_ = Counters("retort_worker_starts_total",
                            "Worker processes started, by role", r);
  worker_failures_ =
      Counters("retort_worker_failures_total",
               "Worker processes that ended unasked, by role", r);
  rpcs_ = Counters("retort_rpc_total", "Calls by method and code", r);
  rpc_seconds_ = Histograms("retort_rpc_seconds",
                            "Time from call to answer, by method", r);
  sample_requests_ = Counters("retort_sample_requests_total",
                              "Sample requests by deployment and code", r);
  sample_images_ = Counters("retort_sample_images_total",
                            "Images answered, by deployment", r);
  sample_seconds_ =
      Histograms("retort_sample_seconds",
                 "Time from admission to answer, by deployment", r);
  sample_queue_ =
      Gauges("retort_sample_queue", "Images admitted and not yet answered", r);
  ready_replicas_ =
      Gauges("retort_ready_replicas", "Replicas that take requests", r);
  models_ = &Gauges("retort_models", "Models in the registry", r)->Add({});
}

void ServiceMetrics::SetJobs(absl::string_view state, int64_t count) {
  jobs_->Add({{"state", std::string(state)}}).Set(static_cast<double>(count));
}

void ServiceMetrics::SetQueueLength(int64_t count) {
  queue_length_->Set(static_cast<double>(count));
}

void ServiceMetrics::SetCpuSlots(int64_t total, int64_t used) {
  cpu_slots_->Set(static_cast<double>(total));
  cpu_slots_used_->Set(static_cast<double>(used));
}

void ServiceMetrics::SetJobImagesPerSecond(const std::string& job,
                                           double value) {
  job_images_per_second_->Add({{"job", job}}).Set(value);
}

void ServiceMetrics::RemoveJob(const std::string& job) {
  RemoveSeries(job_images_per_second_, {{"job", job}});
}

void ServiceMetrics::CountWorkerStart(absl::string_view role) {
  worker_starts_->Add({{"role", std::string(role)}}).Increment();
}

void ServiceMetrics::CountWorkerFailure(absl::string_view role) {
  worker_failures_->Add({{"role", std::string(role)}}).Increment();
}

void ServiceMetrics::CountRpc(absl::string_view method, absl::string_view code,
                              absl::Duration took) {
  const std::string name(method);
  rpcs_->Add({{"method", name}, {"code", std::string(code)}}).Increment();
  rpc_seconds_->Add({{"method", name}}, Seconds())
      .Observe(absl::ToDoubleSeconds(took));
}

void ServiceMetrics::CountSampleRequest(const std::string& deployment,
                                        absl::string_view code, int64_t images,
                                        absl::Duration took) {
  const Labels labels = {{"deployment", deployment}};
  sample_requests_
      ->Add({{"deployment", deployment}, {"code", std::string(code)}})
      .Increment();
  sample_images_->Add(labels).Increment(static_cast<double>(images));
  sample_seconds_->Add(labels, Seconds()).Observe(absl::ToDoubleSeconds(took));
}

void ServiceMetrics::SetSampleQueue(const std::string& deployment,
                                    int64_t images) {
  sample_queue_->Add({{"deployment", deployment}})
      .Set(static_cast<double>(images));
}

void ServiceMetrics::SetReadyReplicas(const std::string& deployment,
                                      int replicas) {
  const Labels labels = {{"deployment", deployment}};
  if (replicas < 0) {
    RemoveSeries(ready_replicas_, labels);
    RemoveSeries(sample_queue_, labels);
  } else {
    ready_replicas_->Add(labels).Set(replicas);
  }
}

void ServiceMetrics::SetModels(int64_t count) {
  models_->Set(static_cast<double>(count));
}

}  // namespace retort::metrics
