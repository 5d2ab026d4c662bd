#include "server/http/http_server.h"

#include <civetweb.h>
#include <prometheus/text_serializer.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace retort::http {
namespace {

int Respond(mg_connection* connection, int code, const char* reason,
            const char* type, const std::string& body) {
  const std::string head = absl::StrCat(
      "HTTP/1.1 ", code, " ", reason, "\r\nContent-Type: ", type,
      "\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n\r\n");
  mg_write(connection, head.data(), head.size());
  mg_write(connection, body.data(), body.size());
  return code;
}

// civetweb says why it could not start only through its log.
int KeepLastMessage(const mg_connection*, const char* message) {
  return message != nullptr;  // 1: it need not write it anywhere
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const std::string& host, int port, metrics::ServiceMetrics* metrics) {
  std::unique_ptr<HttpServer> server(new HttpServer(metrics));
  const std::string address = absl::StrContains(host, ':')
                                  ? absl::StrCat("[", host, "]:", port)
                                  : absl::StrCat(host, ":", port);
  const char* options[] = {
      "listening_ports",    address.c_str(), "num_threads", "2",
      "request_timeout_ms", "10000",         nullptr};
  mg_callbacks callbacks = {};
  callbacks.log_message = KeepLastMessage;
  server->context_ = mg_start(&callbacks, nullptr, options);
  if (server->context_ == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, " for HTTP: the port is in ",
                     "use or not allowed; choose another one (--http_listen, ",
                     "port 0: any free one)"));
  }
  mg_server_port ports[1] = {};
  if (mg_get_server_ports(server->context_, 1, ports) == 1) {
    server->port_ = ports[0].port;
  }
  mg_set_request_handler(server->context_, "/metrics$", AnswerMetrics,
                         server.get());
  mg_set_request_handler(server->context_, "/healthz$", AnswerHealth,
                         server.get());
  return server;
}

HttpServer::~HttpServer() {
  if (context_ != nullptr) mg_stop(context_);
}

int HttpServer::AnswerMetrics(mg_connection* connection, void* self) {
  const auto families =
      static_cast<HttpServer*>(self)->metrics_->registry()->Collect();
  return Respond(connection, 200, "OK",
                 "text/plain; version=0.0.4; charset=utf-8",
                 prometheus::TextSerializer().Serialize(families));
}

int HttpServer::AnswerHealth(mg_connection* connection, void* self) {
  if (static_cast<HttpServer*>(self)->healthy_) {
    return Respond(connection, 200, "OK", "text/plain", "ok\n");
  }
  return Respond(connection, 503, "Service Unavailable", "text/plain",
                 "starting\n");
}

}  // namespace retort::http
