#ifndef RETORT_SERVER_WORKER_CONVERT_WEIGHTS_H_
#define RETORT_SERVER_WORKER_CONVERT_WEIGHTS_H_

#include <nlohmann/json.hpp>
#include <string>

namespace retort::worker {

// Reads a file that torch.save or EDM's pickle.dump wrote, as data, and writes
// its tensors to `out` as safetensors:
//   {"ok": true, "form": "edm-snapshot", "network": {...} or null}
//   {"ok": false, "error": "...", "code": "INVALID_ARGUMENT"}
// The error does not name `file`: it is the server's, and not the one that
// whoever reads the error has sent.
nlohmann::json ImportWeightsFile(const std::string& file,
                                 const std::string& out);

// Writes the weights of a model's folder to `out` as torch.save does, under
// the reference's names: what belongs to the preconditioning stays behind.
// {"ok": true}, or as above.
nlohmann::json ExportWeightsFile(const std::string& dir,
                                 const std::string& out);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_CONVERT_WEIGHTS_H_
