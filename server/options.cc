#include "server/options.h"

#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "server/auth/listen_policy.h"
#include "server/base/host_name.h"

namespace retort {
namespace {

// The options of a file, by name, each with how its value is read.
std::map<std::string, std::function<void(const YAML::Node&)>> Readers(
    ServerOptions* options) {
  const auto text = [](std::string* value) {
    return [value](const YAML::Node& node) { *value = node.as<std::string>(); };
  };
  const auto flag = [](bool* value) {
    return [value](const YAML::Node& node) { *value = node.as<bool>(); };
  };
  const auto number = [](double* value) {
    return [value](const YAML::Node& node) { *value = node.as<double>(); };
  };
  return {
      {"data_dir", text(&options->data_dir)},
      {"listen", text(&options->listen)},
      {"http_listen", text(&options->http_listen)},
      {"worker_binary", text(&options->worker_binary)},
      {"executor", text(&options->executor)},
      {"worker_listen", text(&options->worker_listen)},
      {"worker_address", text(&options->worker_address)},
      {"slurm_bin", text(&options->slurm_bin)},
      {"cpu_slots",
       [options](const YAML::Node& node) {
         options->cpu_slots = node.as<int>();
       }},
      {"gpus",
       [options](const YAML::Node& node) { options->gpus = node.as<int>(); }},
      {"min_run",
       [options](const YAML::Node& node) {
         options->min_run = node.as<int>();
       }},
      {"tls_cert", text(&options->tls.cert)},
      {"tls_key", text(&options->tls.key)},
      {"tls_client_ca", text(&options->tls.client_ca)},
      {"tokens_file", text(&options->tokens_file)},
      {"insecure", flag(&options->insecure)},
      {"http_insecure", flag(&options->http_insecure)},
      {"log_level", text(&options->log_level)},
      {"lease", number(&options->lease)},
      {"hang_timeout", number(&options->hang_timeout)},
      {"attach_timeout", number(&options->attach_timeout)},
      {"stall_timeout", number(&options->stall_timeout)},
  };
}

absl::Status ReadYaml(const std::string& yaml, const std::string& source,
                      ServerOptions* options) {
  const auto readers = Readers(options);
  const std::vector<YAML::Node> documents = YAML::LoadAll(yaml);
  if (documents.empty() || documents[0].IsNull()) return absl::OkStatus();
  const YAML::Node root = documents[0];
  if (documents.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ":", documents[1].Mark().line + 1,
                     ": does not belong to the options before it"));
  }
  if (!root.IsMap()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": is not a list of `option: value` lines"));
  }
  for (const auto& entry : root) {
    const std::string name = entry.first.as<std::string>();
    const auto reader = readers.find(name);
    const int line = entry.first.Mark().line + 1;
    if (reader == readers.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          source, ":", line, ": unknown option \"", name, "\"; options are ",
          absl::StrJoin(readers, ", ", [](std::string* out, const auto& known) {
            out->append(known.first);
          })));
    }
    try {
      reader->second(entry.second);
    } catch (const YAML::Exception&) {
      return absl::InvalidArgumentError(
          absl::StrCat(source, ":", line, ": the value of \"", name,
                       "\" is of the wrong type"));
    }
  }
  return absl::OkStatus();
}

std::string DefaultDataDir() {
  const char* xdg = std::getenv("XDG_DATA_HOME");
  if (xdg != nullptr && xdg[0] == '/') return absl::StrCat(xdg, "/retort");
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') {
    return absl::StrCat(home, "/.local/share/retort");
  }
  return "retort-data";
}

// NVIDIA's driver makes a device file for each.
int CountGpus() {
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    const std::vector<std::string> devices =
        absl::StrSplit(visible, ',', absl::SkipWhitespace());
    return static_cast<int>(devices.size());
  }
  int count = 0;
  while (::access(absl::StrCat("/dev/nvidia", count).c_str(), F_OK) == 0) {
    ++count;
  }
  return count;
}

// The folder of the running program.
std::string ProgramDir(const std::string& program) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? base::ParentDir(program) : self.parent_path().string();
}

absl::Status InOption(absl::string_view name, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("--", name, ": ", status.message()));
}

absl::Status CheckListen(const ServerOptions& options) {
  RETORT_ASSIGN_OR_RETURN(const auth::ListenAddress address,
                          auth::ParseListenAddress(options.listen));
  const bool tls = options.tls.enabled();
  if (!options.tokens_file.empty() && !tls && !auth::IsLoopback(address)) {
    return absl::PermissionDeniedError(absl::StrCat(
        "tokens need TLS beyond the loopback, else ", options.listen,
        " would have them read on the way; give --tls_cert and --tls_key"));
  }
  return auth::MayListen(address, options.insecure, tls);
}

absl::Status CheckHttpListen(const ServerOptions& options) {
  if (options.http_listen.empty()) return absl::OkStatus();
  RETORT_ASSIGN_OR_RETURN(const auth::ListenAddress address,
                          auth::ParseListenAddress(options.http_listen));
  if (options.insecure || options.http_insecure || auth::IsLoopback(address)) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat(
      "listening on ", address.host, " would show /metrics, which has neither ",
      "TLS nor tokens, to other machines; listen on 127.0.0.1, or say ",
      "--http_insecure if they may see it"));
}

// Workers have tokens, too, which are not to be read on the way.
absl::Status CheckWorkerListen(const ServerOptions& options) {
  RETORT_ASSIGN_OR_RETURN(const auth::ListenAddress address,
                          auth::ParseListenAddress(options.worker_listen));
  if (address.port == 0) {
    return absl::InvalidArgumentError(
        "needs a port that stays the same: workers that outlive a server look "
        "for the next one there");
  }
  return auth::MayListen(address, options.insecure, options.tls.enabled());
}

absl::Status CheckExecutor(const ServerOptions& options) {
  if (options.executor == "local") return absl::OkStatus();
  if (options.executor != "slurm") {
    return absl::InvalidArgumentError(absl::StrCat(
        "--executor: is \"", options.executor, "\"; choose local or slurm"));
  }
  RETORT_RETURN_IF_ERROR(InOption("worker_listen", CheckWorkerListen(options)));
  return InOption("worker_address",
                  auth::ParseListenAddress(options.worker_address).status());
}

// What nodes dial if nothing is said of it.
std::string DefaultWorkerAddress(const std::string& worker_listen) {
  const auto address = auth::ParseListenAddress(worker_listen);
  if (!address.ok()) return worker_listen;  // Validate() complains
  if (address->host != "0.0.0.0" && address->host != "::") {
    return worker_listen;
  }
  return absl::StrCat(service::HostName(), ":", address->port);
}

}  // namespace

absl::Status ApplyYaml(const std::string& yaml, const std::string& source,
                       ServerOptions* options) {
  try {
    return ReadYaml(yaml, source, options);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": is no YAML: ", error.what()));
  }
}

absl::Status ServerOptions::Resolve(const std::string& program) {
  if (data_dir.empty()) data_dir = DefaultDataDir();
  if (http_listen == "none") http_listen.clear();
  std::error_code error;
  const auto absolute = std::filesystem::absolute(data_dir, error);
  if (!error) data_dir = absolute.lexically_normal().string();
  while (data_dir.size() > 1 && data_dir.back() == '/') data_dir.pop_back();
  if (worker_binary.empty()) {
    worker_binary = absl::StrCat(ProgramDir(program), "/retort-worker");
  }
  if (cpu_slots == 0) {
    cpu_slots = std::max(1u, std::thread::hardware_concurrency());
  }
  if (gpus < 0) gpus = CountGpus();
  if (worker_address.empty()) {
    worker_address = DefaultWorkerAddress(worker_listen);
  }
  return Validate();
}

absl::Status ServerOptions::Validate() const {
  RETORT_RETURN_IF_ERROR(InOption("listen", CheckListen(*this)));
  RETORT_RETURN_IF_ERROR(InOption("http_listen", CheckHttpListen(*this)));
  if (tls.cert.empty() != tls.key.empty() ||
      (tls.cert.empty() && !tls.client_ca.empty())) {
    return absl::InvalidArgumentError(
        "--tls_cert and --tls_key go together, and --tls_client_ca with them; "
        "give the one that is missing");
  }
  RETORT_RETURN_IF_ERROR(CheckExecutor(*this));
  if (cpu_slots < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--cpu_slots: is ", cpu_slots, "; must be positive, or 0 for all"));
  }
  for (const auto& [name, seconds] :
       {std::pair("lease", lease), std::pair("attach_timeout", attach_timeout),
        std::pair("hang_timeout", hang_timeout),
        std::pair("stall_timeout", stall_timeout)}) {
    if (!(seconds > 0)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--", name, ": is ", seconds, "; must be seconds above 0"));
    }
  }
  if (min_run < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--min_run: is ", min_run, "; must be a number of seconds, or 0"));
  }
  return absl::OkStatus();
}

std::vector<std::string> ServerOptions::Doubts() const {
  std::vector<std::string> doubts;
  const int there = CountGpus();
  if (executor == "local" && gpus > there) {
    doubts.push_back(absl::StrCat(
        "--gpus: is ", gpus, ", but this machine shows ",
        there == 0 ? "none" : absl::StrCat(there),
        " (/dev/nvidia*, CUDA_VISIBLE_DEVICES); jobs that are given one that "
        "is not there will fail"));
  }
  return doubts;
}

std::string ServerOptions::ToYaml() const {
  YAML::Emitter out;
  out << YAML::BeginMap;
  out << YAML::Key << "data_dir" << YAML::Value << data_dir;
  out << YAML::Key << "listen" << YAML::Value << listen;
  out << YAML::Key << "http_listen" << YAML::Value << YAML::DoubleQuoted
      << http_listen;
  out << YAML::Key << "worker_binary" << YAML::Value << worker_binary;
  out << YAML::Key << "executor" << YAML::Value << executor;
  out << YAML::Key << "worker_listen" << YAML::Value << worker_listen;
  out << YAML::Key << "worker_address" << YAML::Value << YAML::DoubleQuoted
      << worker_address;
  out << YAML::Key << "slurm_bin" << YAML::Value << YAML::DoubleQuoted
      << slurm_bin;
  out << YAML::Key << "cpu_slots" << YAML::Value << cpu_slots;
  out << YAML::Key << "gpus" << YAML::Value << gpus;
  out << YAML::Key << "min_run" << YAML::Value << min_run;
  out << YAML::Key << "tls_cert" << YAML::Value << YAML::DoubleQuoted
      << tls.cert;
  out << YAML::Key << "tls_key" << YAML::Value << YAML::DoubleQuoted << tls.key;
  out << YAML::Key << "tls_client_ca" << YAML::Value << YAML::DoubleQuoted
      << tls.client_ca;
  out << YAML::Key << "tokens_file" << YAML::Value << YAML::DoubleQuoted
      << tokens_file;
  out << YAML::Key << "insecure" << YAML::Value << insecure;
  out << YAML::Key << "http_insecure" << YAML::Value << http_insecure;
  out << YAML::Key << "log_level" << YAML::Value << log_level;
  out << YAML::Key << "lease" << YAML::Value << lease;
  out << YAML::Key << "attach_timeout" << YAML::Value << attach_timeout;
  out << YAML::Key << "hang_timeout" << YAML::Value << hang_timeout;
  out << YAML::Key << "stall_timeout" << YAML::Value << stall_timeout;
  out << YAML::EndMap;
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace retort
