#ifndef RETORT_SERVER_WEIGHTS_PROCESS_H_
#define RETORT_SERVER_WEIGHTS_PROCESS_H_

#include <functional>
#include <string>
#include <vector>

#include "server/registry/weights_tool.h"

namespace retort {

// Does it in a process of its own, the worker's binary with one of
//   --check-model DIR, --import-weights FILE --out FILE,
//   --export-weights DIR --out FILE
// which prints {"ok": bool, "error": string, ...}. Hostile weights cost that
// process only, which is also what INVALID_ARGUMENT says when it dies of those
// that were sent. A run that hangs is killed.
class WeightsProcess : public registry::WeightsTool {
 public:
  explicit WeightsProcess(std::string worker_binary)
      : worker_binary_(std::move(worker_binary)) {}

  absl::StatusOr<int64_t> Check(const std::string& dir) override;
  absl::StatusOr<nlohmann::json> Convert(const std::string& file,
                                         const std::string& weights) override;
  absl::Status Export(const std::string& dir, const std::string& file,
                      std::function<bool()> stop) override;

 private:
  struct Task {
    std::vector<std::string> arguments;
    std::string wrong;  // begins the error
    // Whether the file came from the caller, whose fault an error then is.
    bool callers_file = true;
    std::function<bool()> stop;
  };
  // Returns the answer if it is one that says ok.
  absl::StatusOr<nlohmann::json> Run(const Task& task);

  const std::string worker_binary_;
};

}  // namespace retort

#endif  // RETORT_SERVER_WEIGHTS_PROCESS_H_
