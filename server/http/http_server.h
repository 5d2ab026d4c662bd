#ifndef RETORT_SERVER_HTTP_HTTP_SERVER_H_
#define RETORT_SERVER_HTTP_HTTP_SERVER_H_

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/metrics/service_metrics.h"

struct mg_context;
struct mg_connection;

namespace retort::http {

// The port for people's tools: GET /metrics answers in Prometheus' text form,
// GET /healthz with 200 "ok" (503 "starting" until SetHealthy). Serves from
// threads of its own until destroyed.
class HttpServer {
 public:
  // Listens on host:port (port 0: any free one). Unavailable if the port is
  // in use or cannot be had. `metrics` outlives the server.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      const std::string& host, int port, metrics::ServiceMetrics* metrics);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // The port it listens on.
  int port() const { return port_; }
  void SetHealthy(bool healthy) { healthy_ = healthy; }

 private:
  explicit HttpServer(metrics::ServiceMetrics* metrics) : metrics_(metrics) {}

  static int AnswerMetrics(mg_connection* connection, void* self);
  static int AnswerHealth(mg_connection* connection, void* self);

  metrics::ServiceMetrics* const metrics_;
  std::atomic<bool> healthy_{false};
  mg_context* context_ = nullptr;
  int port_ = 0;
};

}  // namespace retort::http

#endif  // RETORT_SERVER_HTTP_HTTP_SERVER_H_
