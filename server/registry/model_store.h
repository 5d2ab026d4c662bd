#ifndef RETORT_SERVER_REGISTRY_MODEL_STORE_H_
#define RETORT_SERVER_REGISTRY_MODEL_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/clock.h"
#include "core/base/run_dir.h"
#include "retort/v1/model_service.pb.h"
#include "server/base/pagination.h"
#include "server/base/resource_name.h"
#include "server/db/database.h"
#include "server/metrics/service_metrics.h"
#include "server/registry/model_import.h"
#include "server/registry/registry_schema.h"
#include "server/registry/weights_tool.h"

namespace retort::registry {

struct ModelStoreOptions {
  // Larger uploads are refused before a byte of them is read.
  int64_t max_import_bytes = int64_t{16} << 30;
  // An upload must leave this much of the disk free.
  int64_t reserve_bytes = int64_t{64} << 20;
};

// Of ModelStore::ConvertForExport.
inline constexpr char kExportedFile[] = "weights.pt";

// The models: folders <data_dir>/models/<id>/, each with a row in retort.db.
// A model is there when its row says so, and then its folder is whole.
// What a crash left between row and folder is mended by Open.
//
// Models never change. Thread-safe; no lock is held while files are written.
class ModelStore {
 public:
  // A listing's page and where the next one begins.
  struct Listing {
    std::vector<v1::Model> models;
    int64_t last_seq = 0;
    bool more = false;
  };

  // Opens the store, mends it, and logs models whose files are gone. `db`,
  // `clock`, `metrics` and `tool` outlive it.
  static absl::StatusOr<std::unique_ptr<ModelStore>> Open(
      db::Database* db, const base::DataDir& data_dir, base::Clock* clock,
      metrics::ServiceMetrics* metrics, WeightsTool* tool,
      const ModelStoreOptions& options = ModelStoreOptions());

  // NOT_FOUND (RESOURCE_NOT_FOUND).
  absl::StatusOr<v1::Model> Get(const std::string& name) const;

  // Returns the model's folder. NOT_FOUND as Get; DATA_LOSS if its files have
  // been removed behind the server's back.
  absl::StatusOr<std::string> Dir(const std::string& name) const;

  // Newest first. `kinds` empty: all.
  absl::StatusOr<Listing> List(const std::string& project,
                               const std::vector<v1::Model::Kind>& kinds,
                               const service::Page& page) const;

  // Takes in the folder `dir` that a job has made: verifies every file against
  // the manifest's SHA-256, moves the folder to the models and registers it as
  // `name`. OK and without effect if that model is there already: `dir` is gone
  // since an earlier call moved it, or holds the same weights. ALREADY_EXISTS
  // if another model is called so, DATA_LOSS if a file is damaged,
  // INVALID_ARGUMENT if it is no model.
  absl::StatusOr<v1::Model> Adopt(const std::string& name,
                                  const std::string& display_name,
                                  const std::string& dir);

  // Returns the model that an earlier import with the same request_id made;
  // NOT_FOUND if there is none, ALREADY_EXISTS (REQUEST_ID_REUSED) if that
  // import was of something else.
  absl::StatusOr<v1::Model> FindImport(
      const v1::ImportModelHeader& header) const;

  // Checks the header and makes room for the bytes. INVALID_ARGUMENT,
  // ALREADY_EXISTS, RESOURCE_EXHAUSTED (too large, or not enough disk).
  absl::StatusOr<std::unique_ptr<ModelImport>> BeginImport(
      const v1::ImportModelHeader& header);

  // All bytes have been appended: converts and checks the file, and registers
  // the model. Blocks for seconds. INVALID_ARGUMENT (FILE_INVALID),
  // ALREADY_EXISTS.
  absl::StatusOr<v1::Model> CommitImport(ModelImport* import);

  // Removes the model with its files. `users` are the live jobs that need it,
  // as far as the caller knows; deployments are looked up here. The error
  // names only those of which `may_name` says so; without it, all.
  // FAILED_PRECONDITION (IN_USE), ABORTED (ETAG_MISMATCH), NOT_FOUND.
  absl::Status Delete(
      const std::string& name, const std::string& etag,
      const std::vector<std::string>& users,
      const std::function<bool(const std::string&)>& may_name = {});

  // Returns the path of one of the model's files ("": the weights).
  // NOT_FOUND, with the names that there are.
  absl::StatusOr<std::string> FilePath(const std::string& name,
                                       const std::string& file) const;

  // Writes the model's weights as torch.save does. Returns a folder with the
  // file kExportedFile in it, which the caller removes; leaves nothing on an
  // error, whatever had been written by then. Blocks for seconds; Cancelled
  // once `stop` says true. INVALID_ARGUMENT for a model that has no tensors,
  // RESOURCE_EXHAUSTED without room for the copy, and the errors of Dir.
  absl::StatusOr<std::string> ConvertForExport(const std::string& name,
                                               std::function<bool()> stop);

 private:
  ModelStore(db::Database* db, const base::DataDir& data_dir,
             base::Clock* clock, metrics::ServiceMetrics* metrics,
             WeightsTool* tool, const ModelStoreOptions& options);

  // Where the model called `name` lies, or will.
  std::string DirOf(const service::ResourceName& name) const;
  absl::Status Mend();
  absl::Status MendRow(const std::string& name, RowState state,
                       const v1::Model& model);
  // `parameters`: of a model whose file does not show them.
  absl::StatusOr<v1::Model> Describe(const std::string& name,
                                     const std::string& display_name,
                                     const std::string& dir,
                                     int64_t parameters = 0) const;
  // RESOURCE_EXHAUSTED unless a file of so many bytes has room here.
  absl::Status CheckRoom(int64_t bytes) const;
  // The model `present`, if it is what `dir` holds or held; ALREADY_EXISTS if
  // not.
  absl::StatusOr<v1::Model> IfAdopted(const v1::Model& present,
                                      const std::string& dir) const;
  // Inserts the row, moves `dir` to the models, makes the row visible.
  absl::Status Register(const v1::Model& model, const std::string& dir,
                        const std::string& request_id,
                        const std::string& request_sha256);
  absl::Status SetState(const std::string& name, RowState state);
  absl::Status RemoveRow(const std::string& name);
  absl::StatusOr<std::string> MakeModelId(
      const v1::ImportModelHeader& header) const;
  void UpdateMetrics() const;

  db::Database* const db_;
  const base::DataDir data_dir_;
  base::Clock* const clock_;
  metrics::ServiceMetrics* const metrics_;
  WeightsTool* const tool_;
  const ModelStoreOptions options_;
};

}  // namespace retort::registry

#endif  // RETORT_SERVER_REGISTRY_MODEL_STORE_H_
