#ifndef RETORT_SERVER_OPTIONS_H_
#define RETORT_SERVER_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/auth/tls.h"

namespace retort {

// How retortd runs. Set by flags and by a YAML file with the same names
// (flags win); `retortd --help` is made from the same list.
struct ServerOptions {
  // Everything that is kept. Default: $XDG_DATA_HOME/retort or
  // ~/.local/share/retort.
  std::string data_dir;
  // Where gRPC is served. Port 0: any free one; retortd.json says which.
  std::string listen = "127.0.0.1:7433";
  // Where /metrics and /healthz are served. "none" or empty: nowhere.
  std::string http_listen = "127.0.0.1:7434";
  // The worker's program. Empty: retort-worker beside retortd.
  std::string worker_binary;
  // Who runs jobs: "local", as processes of this machine, or "slurm", on the
  // nodes of a Slurm cluster.
  std::string executor = "local";
  // Where workers on other machines dial in: host:port, with the same TLS as
  // the API. Needed by slurm alone. A port of its own and always the same,
  // since workers that outlive a server look for the next one there.
  std::string worker_listen = "127.0.0.1:7435";
  // The same as the nodes see it. Empty: worker_listen, with this machine's
  // name if that is every address of it (0.0.0.0).
  std::string worker_address;
  // Folder of Slurm's commands (sbatch, ...). Empty: the first in PATH.
  std::string slurm_bin;
  // CPU threads that jobs may use together. 0: as many as the machine has.
  int cpu_slots = 0;
  // GPUs that jobs may use. -1: all the machine has, of CUDA_VISIBLE_DEVICES if
  // that is set.
  int gpus = -1;
  // A job is not asked to make room for another in its first so many seconds.
  int min_run = 600;
  // TLS of the API's port: tls_cert, tls_key, tls_client_ca. Workers' TCP port
  // takes the same.
  auth::TlsOptions tls;
  // Who may call what (auth::TokenFile). Empty: whoever can connect may do
  // all.
  std::string tokens_file;
  // Serve without TLS on an address that other machines can reach. Not with
  // tokens, which would be read on the way.
  bool insecure = false;
  // Serve http_listen, which has neither TLS nor tokens, on an address that
  // other machines can reach. `insecure` means this too.
  bool http_insecure = false;
  // trace, debug, info, warn, error.
  std::string log_level = "info";

  // For those who know why; in seconds, above 0.
  //
  // How long workers of jobs work on without a server before they write a
  // checkpoint and end, and how long a server waits for one whose stream broke.
  // Counts for workers started from then on.
  double lease = 900;
  // How long the workers of a gang may take to attach once it has its place:
  // many ranks load their libraries from one file system.
  double attach_timeout = 180;
  // A worker that has not been heard of for so long (they beat every two
  // seconds) is taken to hang, and its gang is stopped and started again.
  double hang_timeout = 30;
  // So is one that has been busy with one thing for so long.
  double stall_timeout = 1800;

  // Fills in the defaults that depend on the machine. `program` is argv[0].
  absl::Status Resolve(const std::string& program);
  // Checks values that can be wrong by themselves or do not go together;
  // reads no files. InvalidArgument or PermissionDenied with the option's name.
  absl::Status Validate() const;
  // What may be a slip, though it can be done: for the log, once resolved.
  std::vector<std::string> Doubts() const;
  // YAML that --config reads back to the same options.
  std::string ToYaml() const;
};

// Reads options from YAML text. InvalidArgument with line and name for an
// unknown option or a value of another type.
absl::Status ApplyYaml(const std::string& yaml, const std::string& source,
                       ServerOptions* options);

}  // namespace retort

#endif  // RETORT_SERVER_OPTIONS_H_
