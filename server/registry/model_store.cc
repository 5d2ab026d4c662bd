#include "server/registry/model_store.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/registry/model_manifest.h"
#include "server/registry/safetensors_header.h"

namespace retort::registry {
namespace {

// The same for two headers that ask for the same, whatever order their maps
// are written in.
std::string RequestHash(const v1::ImportModelHeader& header) {
  v1::ImportModelHeader plain = header;
  plain.clear_network();
  plain.clear_manifest();
  std::string text = plain.SerializeAsString();
  for (const auto* value : {&header.network(), &header.manifest()}) {
    const auto json = ToJson(*value);
    absl::StrAppend(&text, "\n", json.ok() ? json->dump() : "");
  }
  return base::Sha256Hex(text);
}

absl::Status AlreadyExists(const std::string& name) {
  return service::Error(
      absl::StatusCode::kAlreadyExists, v1::ERROR_REASON_ALREADY_EXISTS,
      absl::StrCat("there is a model ", name, " already; choose another id"),
      {{"name", name}});
}

// Returns the hash that the manifest claims for the weights, or any.
std::string ClaimedHash(const v1::ImportModelHeader& header) {
  const auto& fields = header.manifest().fields();
  const auto found = fields.find("weights_sha256");
  return found == fields.end() ? std::string(64, '0')
                               : found->second.string_value();
}

// Checks all of the header that can be checked before the bytes come: all but
// the weights' own hash, and what a file of Python's says itself.
absl::Status CheckHeader(const v1::ImportModelHeader& header) {
  if (!v1::ImportModelHeader::Format_IsValid(header.format())) {
    return service::BadField("header.format", "is not a known format");
  }
  const bool python = IsPythonFormat(header.format());
  if (python && !header.has_manifest() && !header.has_network()) {
    return absl::OkStatus();
  }
  const std::string file = python ? kWeightsFile : UploadName(header.format());
  return ManifestOfImport(header, {file, ClaimedHash(header), {}}).status();
}

absl::Status VerifyFiles(const std::string& dir, const ModelFacts& facts) {
  for (const auto& [name, expected] : facts.files) {
    const std::string path = absl::StrCat(dir, "/", name);
    RETORT_ASSIGN_OR_RETURN(const std::string actual, base::Sha256File(path));
    if (actual != expected) {
      return absl::DataLossError(
          absl::StrCat(path, " is damaged: its manifest says SHA-256 ",
                       expected, ", the file has ", actual,
                       "; check the disk, then make the model again"));
    }
  }
  return absl::OkStatus();
}

v1::Model ParseRecord(const std::string& bytes) {
  v1::Model model;
  model.ParseFromString(bytes);
  return model;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelStore>> ModelStore::Open(
    db::Database* db, const base::DataDir& data_dir, base::Clock* clock,
    metrics::ServiceMetrics* metrics, WeightsTool* tool,
    const ModelStoreOptions& options) {
  RETORT_RETURN_IF_ERROR(MigrateRegistry(db));
  // Uploads of an earlier server that broke off with it.
  RETORT_RETURN_IF_ERROR(base::RemoveTree(data_dir.incoming_dir()));
  RETORT_RETURN_IF_ERROR(base::MakeDirs(data_dir.incoming_dir()));
  RETORT_RETURN_IF_ERROR(base::MakeDirs(data_dir.models_dir()));
  std::unique_ptr<ModelStore> store(
      new ModelStore(db, data_dir, clock, metrics, tool, options));
  RETORT_RETURN_IF_ERROR(store->Mend());
  store->UpdateMetrics();
  return store;
}

ModelStore::ModelStore(db::Database* db, const base::DataDir& data_dir,
                       base::Clock* clock, metrics::ServiceMetrics* metrics,
                       WeightsTool* tool, const ModelStoreOptions& options)
    : db_(db),
      data_dir_(data_dir),
      clock_(clock),
      metrics_(metrics),
      tool_(tool),
      options_(options) {}

std::string ModelStore::DirOf(const service::ResourceName& name) const {
  // An id holds no dot, so that the two forms cannot meet.
  if (name.project == service::kDefaultProject) {
    return data_dir_.model_dir(name.id);
  }
  return data_dir_.model_dir(absl::StrCat(name.project, ".", name.id));
}

absl::Status ModelStore::Mend() {
  struct Found {
    std::string name;
    RowState state;
    v1::Model model;
  };
  std::vector<Found> rows;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& c) {
    return c.Query(
        "SELECT name, state, record FROM models", {}, [&](const db::Row& row) {
          rows.push_back({row.Text(0), static_cast<RowState>(row.Int(1)),
                          ParseRecord(row.Bytes(2))});
          return absl::OkStatus();
        });
  }));
  for (const Found& row : rows) {
    RETORT_RETURN_IF_ERROR(MendRow(row.name, row.state, row.model));
  }
  return absl::OkStatus();
}

absl::Status ModelStore::MendRow(const std::string& name, RowState state,
                                 const v1::Model& model) {
  RETORT_ASSIGN_OR_RETURN(const service::ResourceName parsed,
                          service::ParseName(service::kModels, name));
  const std::string dir = DirOf(parsed);
  switch (state) {
    case RowState::kArriving:
      // The rename is the moment of truth: what has its final name is whole.
      return base::IsDirectory(dir) ? SetState(name, RowState::kPresent)
                                    : RemoveRow(name);
    case RowState::kLeaving:
      RETORT_RETURN_IF_ERROR(base::RemoveTree(dir));
      return RemoveRow(name);
    case RowState::kPresent:
      break;
  }
  const auto size =
      base::FileSize(absl::StrCat(dir, "/", WeightsFileOf(model)));
  if (!size.ok() || *size != model.bytes()) {
    RETORT_LOG(error,
               "model {} is not usable: {}; restore {} from a copy, or delete "
               "the model",
               name,
               size.ok() ? "its weights have another size than they had"
                         : size.status().ToString(),
               dir);
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Model> ModelStore::Get(const std::string& name) const {
  RETORT_RETURN_IF_ERROR(service::ParseName(service::kModels, name).status());
  v1::Model model;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& c) {
    return c.Query("SELECT record FROM models WHERE name = ? AND state = ?",
                   {name, static_cast<int>(RowState::kPresent)},
                   [&](const db::Row& row) {
                     model = ParseRecord(row.Bytes(0));
                     return absl::OkStatus();
                   });
  }));
  if (model.name().empty()) return service::NotFound("model", name);
  return model;
}

absl::StatusOr<std::string> ModelStore::Dir(const std::string& name) const {
  RETORT_ASSIGN_OR_RETURN(const v1::Model model, Get(name));
  RETORT_ASSIGN_OR_RETURN(const service::ResourceName parsed,
                          service::ParseName(service::kModels, name));
  const std::string dir = DirOf(parsed);
  if (!base::FileExists(absl::StrCat(dir, "/", WeightsFileOf(model)))) {
    return absl::DataLossError(
        absl::StrCat("the files of model ", name, " are gone from ", dir,
                     "; restore them from a copy, or delete the model"));
  }
  return dir;
}

absl::StatusOr<ModelStore::Listing> ModelStore::List(
    const std::string& project, const std::vector<v1::Model::Kind>& kinds,
    const service::Page& page) const {
  Listing listing;
  const auto wanted = [&](int64_t kind) {
    return kinds.empty() ||
           std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  };
  // Rows of other kinds are skipped here: they are few.
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& c) {
    return c.Query(
        "SELECT seq, kind, record FROM models "
        "WHERE project = ? AND state = ? AND seq < ? ORDER BY seq DESC",
        {project, static_cast<int>(RowState::kPresent), page.before},
        [&](const db::Row& row) {
          if (listing.more || !wanted(row.Int(1))) return absl::OkStatus();
          if (static_cast<int>(listing.models.size()) == page.size) {
            listing.more = true;
            return absl::OkStatus();
          }
          listing.last_seq = row.Int(0);
          listing.models.push_back(ParseRecord(row.Bytes(2)));
          return absl::OkStatus();
        });
  }));
  return listing;
}

absl::StatusOr<v1::Model> ModelStore::Describe(const std::string& name,
                                               const std::string& display_name,
                                               const std::string& dir,
                                               int64_t parameters) const {
  RETORT_ASSIGN_OR_RETURN(const nlohmann::json manifest, ReadManifest(dir));
  RETORT_ASSIGN_OR_RETURN(const ModelFacts facts, ParseManifest(manifest));
  RETORT_RETURN_IF_ERROR(VerifyFiles(dir, facts));
  const std::string weights = absl::StrCat(dir, "/", facts.weights_file);
  if (facts.weights_file == kWeightsFile) {
    RETORT_ASSIGN_OR_RETURN(const std::vector<TensorEntry> tensors,
                            ReadTensorEntries(weights));
    parameters = CountParameters(tensors);
  }
  v1::Model model;
  model.set_name(name);
  model.set_display_name(display_name);
  model.set_kind(facts.kind);
  model.set_preconditioning(facts.preconditioning);
  model.set_parameters(parameters);
  model.set_weights_sha256(facts.files.at(facts.weights_file));
  RETORT_ASSIGN_OR_RETURN(const int64_t bytes, base::FileSize(weights));
  model.set_bytes(bytes);
  const int64_t micros = absl::ToUnixMicros(clock_->Now());
  model.mutable_create_time()->set_seconds(micros / 1000000);
  model.mutable_create_time()->set_nanos(
      static_cast<int32_t>(micros % 1000000 * 1000));
  RETORT_ASSIGN_OR_RETURN(*model.mutable_manifest(), ToStruct(manifest));
  // Nothing of a model ever changes but that it goes away and another one
  // comes by its name.
  model.set_etag(base::Sha256Hex(absl::StrCat(name, micros)).substr(0, 16));
  model.add_files(kManifestFile);
  for (const auto& file : facts.files) model.add_files(file.first);
  return model;
}

absl::Status ModelStore::Register(const v1::Model& model,
                                  const std::string& dir,
                                  const std::string& request_id,
                                  const std::string& request_sha256) {
  RETORT_ASSIGN_OR_RETURN(const service::ResourceName name,
                          service::ParseName(service::kModels, model.name()));
  const std::string record = model.SerializeAsString();
  const db::Value request =
      request_id.empty() ? db::Value(nullptr) : db::Value(request_id);
  const absl::Status inserted = db_->Write([&](db::Connection& c) {
    return c.Execute(
        "INSERT INTO models(name, project, kind, state, request_id, "
        "request_sha256, record) VALUES(?, ?, ?, ?, ?, ?, ?)",
        {model.name(), name.project, static_cast<int>(model.kind()),
         static_cast<int>(RowState::kArriving), request, request_sha256,
         db::Blob{record}});
  });
  if (absl::IsAlreadyExists(inserted)) return AlreadyExists(model.name());
  RETORT_RETURN_IF_ERROR(inserted);
  auto undo = absl::MakeCleanup([&] {
    const absl::Status undone = RemoveRow(model.name());
    if (!undone.ok()) RETORT_LOG(error, "{}", undone.ToString());
  });
  // A folder of that name without a row is nobody's.
  RETORT_RETURN_IF_ERROR(base::ReplaceDir(dir, DirOf(name)));
  std::move(undo).Cancel();
  RETORT_RETURN_IF_ERROR(SetState(model.name(), RowState::kPresent));
  UpdateMetrics();
  RETORT_LOG(info, "model {} is there ({} bytes)", model.name(), model.bytes());
  return absl::OkStatus();
}

absl::StatusOr<v1::Model> ModelStore::Adopt(const std::string& name,
                                            const std::string& display_name,
                                            const std::string& dir) {
  const auto present = Get(name);
  if (present.ok()) return IfAdopted(*present, dir);
  if (!absl::IsNotFound(present.status())) return present.status();
  RETORT_ASSIGN_OR_RETURN(const service::ResourceName parsed,
                          service::ParseName(service::kModels, name));
  if (!base::IsDirectory(dir) && base::IsDirectory(DirOf(parsed))) {
    // An earlier call moved the folder, but could not say so any more.
    RETORT_RETURN_IF_ERROR(SetState(name, RowState::kPresent));
    return Get(name);
  }
  RETORT_ASSIGN_OR_RETURN(v1::Model model, Describe(name, display_name, dir));
  const absl::Status registered = Register(model, dir, "", "");
  if (absl::IsAlreadyExists(registered)) {
    // Two calls for one result, or an import that was faster.
    const absl::StatusOr<v1::Model> other = Get(name);
    if (absl::IsNotFound(other.status())) {
      return absl::UnavailableError(
          absl::StrCat(name, " is on its way in or out; try again"));
    }
    RETORT_RETURN_IF_ERROR(other.status());
    return IfAdopted(*other, dir);
  }
  RETORT_RETURN_IF_ERROR(registered);
  return model;
}

absl::StatusOr<v1::Model> ModelStore::IfAdopted(const v1::Model& present,
                                                const std::string& dir) const {
  if (!base::IsDirectory(dir)) return present;
  RETORT_ASSIGN_OR_RETURN(const nlohmann::json manifest, ReadManifest(dir));
  RETORT_ASSIGN_OR_RETURN(const ModelFacts facts, ParseManifest(manifest));
  if (facts.files.at(facts.weights_file) == present.weights_sha256()) {
    return present;
  }
  return service::Error(
      absl::StatusCode::kAlreadyExists, v1::ERROR_REASON_ALREADY_EXISTS,
      absl::StrCat("there is another model ", present.name(),
                   " already; this one stays in ", dir,
                   ": import its weights and manifest.json under another id"),
      {{"name", present.name()}});
}

absl::StatusOr<v1::Model> ModelStore::FindImport(
    const v1::ImportModelHeader& header) const {
  RETORT_ASSIGN_OR_RETURN(
      const std::string project,
      service::ParseParent(header.parent(), "header.parent"));
  v1::Model model;
  std::string request_sha256;
  if (!header.request_id().empty()) {
    RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& c) {
      return c.Query(
          "SELECT record, request_sha256 FROM models "
          "WHERE project = ? AND request_id = ? AND state = ?",
          {project, header.request_id(), static_cast<int>(RowState::kPresent)},
          [&](const db::Row& row) {
            model = ParseRecord(row.Bytes(0));
            request_sha256 = row.Text(1);
            return absl::OkStatus();
          });
    }));
  }
  if (model.name().empty()) {
    return absl::NotFoundError(
        absl::StrCat("no import with request_id ", header.request_id()));
  }
  if (request_sha256 != RequestHash(header)) {
    return service::Error(
        absl::StatusCode::kAlreadyExists, v1::ERROR_REASON_REQUEST_ID_REUSED,
        absl::StrCat("request_id ", header.request_id(),
                     " has been used for the import of ", model.name(),
                     "; use a fresh one for another import"));
  }
  return model;
}

absl::StatusOr<std::string> ModelStore::MakeModelId(
    const v1::ImportModelHeader& header) const {
  if (header.model_id().empty()) return service::MakeId("model");
  RETORT_RETURN_IF_ERROR(
      service::ValidateId(header.model_id(), "header.model_id"));
  return header.model_id();
}

absl::StatusOr<std::unique_ptr<ModelImport>> ModelStore::BeginImport(
    const v1::ImportModelHeader& header) {
  RETORT_ASSIGN_OR_RETURN(
      const std::string project,
      service::ParseParent(header.parent(), "header.parent"));
  RETORT_ASSIGN_OR_RETURN(const std::string id, MakeModelId(header));
  if (header.size_bytes() <= 0) {
    return service::BadField("header.size_bytes",
                             "must be the file's length in bytes");
  }
  if (header.size_bytes() > options_.max_import_bytes) {
    return service::Error(absl::StatusCode::kResourceExhausted,
                          v1::ERROR_REASON_LIMIT_EXCEEDED,
                          absl::StrCat("the file has ", header.size_bytes(),
                                       " bytes; this server takes at most ",
                                       options_.max_import_bytes));
  }
  // A file of Python's and what is made of it lie there together for a while.
  RETORT_RETURN_IF_ERROR(CheckRoom(header.size_bytes() *
                                   (IsPythonFormat(header.format()) ? 2 : 1)));
  RETORT_RETURN_IF_ERROR(CheckHeader(header));
  const std::string name =
      service::ResourceName{project, service::kModels, id}.ToString();
  const auto present = Get(name);
  if (present.ok()) return AlreadyExists(name);
  if (!absl::IsNotFound(present.status())) return present.status();
  return ModelImport::Create(
      absl::StrCat(data_dir_.incoming_dir(), "/", service::MakeId("import")),
      name, header);
}

absl::Status ModelStore::CheckRoom(int64_t bytes) const {
  RETORT_ASSIGN_OR_RETURN(const int64_t free_bytes,
                          base::FreeBytes(data_dir_.root()));
  if (bytes <= free_bytes - options_.reserve_bytes) return absl::OkStatus();
  return service::Error(
      absl::StatusCode::kResourceExhausted, v1::ERROR_REASON_LIMIT_EXCEEDED,
      absl::StrCat(bytes, " bytes are to be written, but ", data_dir_.root(),
                   " has only ", free_bytes,
                   " free; make room on the server and try again"));
}

absl::StatusOr<v1::Model> ModelStore::CommitImport(ModelImport* import) {
  RETORT_RETURN_IF_ERROR(import->Finish(tool_));
  RETORT_ASSIGN_OR_RETURN(const int64_t parameters,
                          tool_->Check(import->dir()));
  const v1::ImportModelHeader& header = import->header();
  RETORT_ASSIGN_OR_RETURN(v1::Model model,
                          Describe(import->name(), header.display_name(),
                                   import->dir(), parameters));
  RETORT_RETURN_IF_ERROR(
      Register(model, import->dir(), header.request_id(), RequestHash(header)));
  return model;
}

absl::Status ModelStore::Delete(
    const std::string& name, const std::string& etag,
    const std::vector<std::string>& users,
    const std::function<bool(const std::string&)>& may_name) {
  RETORT_ASSIGN_OR_RETURN(const service::ResourceName parsed,
                          service::ParseName(service::kModels, name));
  RETORT_ASSIGN_OR_RETURN(const v1::Model model, Get(name));
  if (!etag.empty() && etag != model.etag()) {
    return service::Error(absl::StatusCode::kAborted,
                          v1::ERROR_REASON_ETAG_MISMATCH,
                          absl::StrCat("the etag is not that of the model ",
                                       name, " as it is now; get it again"));
  }
  std::vector<std::string> in_use = users;
  // One transaction, so that no deployment can come in between.
  RETORT_RETURN_IF_ERROR(db_->Write([&](db::Connection& c) -> absl::Status {
    RETORT_RETURN_IF_ERROR(
        c.Query("SELECT name FROM deployments WHERE model = ? ORDER BY seq",
                {name}, [&](const db::Row& row) {
                  in_use.push_back(row.Text(0));
                  return absl::OkStatus();
                }));
    if (!in_use.empty()) return absl::OkStatus();
    return c.Execute("UPDATE models SET state = ? WHERE name = ?",
                     {static_cast<int>(RowState::kLeaving), name});
  }));
  if (!in_use.empty()) {
    for (std::string& user : in_use) {
      if (may_name && !may_name(user)) user = "something in another project";
    }
    return service::Error(absl::StatusCode::kFailedPrecondition,
                          v1::ERROR_REASON_IN_USE,
                          absl::StrCat("model ", name, " is used by ",
                                       absl::StrJoin(in_use, ", "),
                                       "; delete or cancel that first"),
                          {{"user", in_use.front()}});
  }
  RETORT_RETURN_IF_ERROR(base::RemoveTree(DirOf(parsed)));
  RETORT_RETURN_IF_ERROR(RemoveRow(name));
  UpdateMetrics();
  return absl::OkStatus();
}

absl::StatusOr<std::string> ModelStore::FilePath(
    const std::string& name, const std::string& file) const {
  RETORT_ASSIGN_OR_RETURN(const v1::Model model, Get(name));
  const std::string wanted = file.empty() ? WeightsFileOf(model) : file;
  if (std::find(model.files().begin(), model.files().end(), wanted) ==
      model.files().end()) {
    return service::Error(
        absl::StatusCode::kNotFound, v1::ERROR_REASON_RESOURCE_NOT_FOUND,
        absl::StrCat("model ", name, " has no file '", wanted, "'; it has ",
                     absl::StrJoin(model.files(), ", ")));
  }
  RETORT_ASSIGN_OR_RETURN(const std::string dir, Dir(name));
  return absl::StrCat(dir, "/", wanted);
}

absl::StatusOr<std::string> ModelStore::ConvertForExport(
    const std::string& name, std::function<bool()> stop) {
  RETORT_ASSIGN_OR_RETURN(const v1::Model model, Get(name));
  RETORT_ASSIGN_OR_RETURN(const std::string dir, Dir(name));
  RETORT_RETURN_IF_ERROR(CheckRoom(model.bytes()));
  const std::string folder =
      absl::StrCat(data_dir_.incoming_dir(), "/", service::MakeId("export"));
  RETORT_RETURN_IF_ERROR(base::MakeDirs(folder));
  const absl::Status exported = tool_->Export(
      dir, absl::StrCat(folder, "/", kExportedFile), std::move(stop));
  if (exported.ok()) return folder;
  // A process that was killed leaves what it had written under other names.
  const absl::Status removed = base::RemoveTree(folder);
  if (!removed.ok()) {
    RETORT_LOG(warn, "cannot remove an export: {}", removed.ToString());
  }
  return exported;
}

absl::Status ModelStore::SetState(const std::string& name, RowState state) {
  return db_->Write([&](db::Connection& c) {
    return c.Execute("UPDATE models SET state = ? WHERE name = ?",
                     {static_cast<int>(state), name});
  });
}

absl::Status ModelStore::RemoveRow(const std::string& name) {
  return db_->Write([&](db::Connection& c) {
    return c.Execute("DELETE FROM models WHERE name = ?", {name});
  });
}

void ModelStore::UpdateMetrics() const {
  int64_t count = 0;
  const absl::Status counted = db_->Read([&](db::Connection& c) {
    return c.Query("SELECT count(*) FROM models WHERE state = ?",
                   {static_cast<int>(RowState::kPresent)},
                   [&](const db::Row& row) {
                     count = row.Int(0);
                     return absl::OkStatus();
                   });
  });
  if (counted.ok()) metrics_->SetModels(count);
}

}  // namespace retort::registry
