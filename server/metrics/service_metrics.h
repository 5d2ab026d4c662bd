#ifndef RETORT_SERVER_METRICS_SERVICE_METRICS_H_
#define RETORT_SERVER_METRICS_SERVICE_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace retort::metrics {

// Every metric of the service: names and labels are declared here and in its
// .cc only. Methods are output, cheap and thread-safe; nothing reads them
// back but the exposer.
class ServiceMetrics {
 public:
  ServiceMetrics();

  // For the HTTP endpoint.
  std::shared_ptr<prometheus::Registry> registry() const { return registry_; }

  // retort_jobs{state}. `state` is the lower-case name: "running".
  void SetJobs(absl::string_view state, int64_t count);
  // retort_queue_length, retort_cpu_slots, retort_cpu_slots_used.
  void SetQueueLength(int64_t count);
  void SetCpuSlots(int64_t total, int64_t used);
  // retort_training_images_per_second{job}: dropped when the job ends.
  void SetJobImagesPerSecond(const std::string& job, double value);
  void RemoveJob(const std::string& job);

  // retort_worker_starts_total{role}, retort_worker_failures_total{role}: a
  // failure is an end that nobody asked for.
  void CountWorkerStart(absl::string_view role);
  void CountWorkerFailure(absl::string_view role);

  // retort_rpc_total{method,code}, retort_rpc_seconds{method}.
  void CountRpc(absl::string_view method, absl::string_view code,
                absl::Duration took);

  // retort_sample_requests_total{deployment,code},
  // retort_sample_images_total{deployment},
  // retort_sample_seconds{deployment}: from admission to answer.
  void CountSampleRequest(const std::string& deployment, absl::string_view code,
                          int64_t images, absl::Duration took);
  // retort_sample_queue{deployment}: images admitted and not yet answered.
  void SetSampleQueue(const std::string& deployment, int64_t images);
  // retort_ready_replicas{deployment}; -1 drops the deployment's series.
  void SetReadyReplicas(const std::string& deployment, int replicas);
  // retort_models.
  void SetModels(int64_t count);

 private:
  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Family<prometheus::Gauge>* jobs_;
  prometheus::Gauge* queue_length_;
  prometheus::Gauge* cpu_slots_;
  prometheus::Gauge* cpu_slots_used_;
  prometheus::Family<prometheus::Gauge>* job_images_per_second_;
  prometheus::Family<prometheus::Counter>* worker_starts_;
  prometheus::Family<prometheus::Counter>* worker_failures_;
  prometheus::Family<prometheus::Counter>* rpcs_;
  prometheus::Family<prometheus::Histogram>* rpc_seconds_;
  prometheus::Family<prometheus::Counter>* sample_requests_;
  prometheus::Family<prometheus::Counter>* sample_images_;
  prometheus::Family<prometheus::Histogram>* sample_seconds_;
  prometheus::Family<prometheus::Gauge>* sample_queue_;
  prometheus::Family<prometheus::Gauge>* ready_replicas_;
  prometheus::Gauge* models_;
};

}  // namespace retort::metrics

#endif  // RETORT_SERVER_METRICS_SERVICE_METRICS_H_
