#include "server/registry/deployment_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/base/resource_name.h"
#include "server/registry/registry_schema.h"

namespace retort::registry {
namespace {

v1::Deployment ParseRow(const std::string& record, bool deleting) {
  v1::Deployment deployment;
  deployment.ParseFromString(record);
  deployment.set_state(deleting ? v1::Deployment::STATE_DELETING
                                : v1::Deployment::STATE_STARTING);
  return deployment;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeploymentStore>> DeploymentStore::Open(
    db::Database* db, base::Clock* clock) {
  RETORT_RETURN_IF_ERROR(MigrateRegistry(db));
  RETORT_RETURN_IF_ERROR(db->Write([](db::Connection& c) {
    return c.Execute("DELETE FROM deployments WHERE deleting != 0");
  }));
  return std::unique_ptr<DeploymentStore>(new DeploymentStore(db, clock));
}

absl::StatusOr<v1::Deployment> DeploymentStore::FindRequest(
    const std::string& project, const std::string& request_id,
    const std::string& request_sha256) const {
  v1::Deployment found;
  std::string found_sha256;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& c) {
    return c.Query(
        "SELECT record, deleting, request_sha256 FROM deployments "
        "WHERE project = ? AND request_id = ?",
        {project, request_id}, [&](const db::Row& row) {
          found = ParseRow(row.Bytes(0), row.Int(1) != 0);
          found_sha256 = row.Text(2);
          return absl::OkStatus();
        });
  }));
  if (found.name().empty()) {
    return absl::NotFoundError(
        absl::StrCat("no deployment with request_id ", request_id));
  }
  if (found_sha256 != request_sha256) {
    return service::Error(
        absl::StatusCode::kAlreadyExists, v1::ERROR_REASON_REQUEST_ID_REUSED,
        absl::StrCat("request_id ", request_id, " has been used for ",
                     found.name(), "; use a fresh one for another deployment"));
  }
  return found;
}

absl::StatusOr<v1::Deployment> DeploymentStore::Create(
    const v1::Deployment& deployment, const std::string& request_id,
    const std::string& request_sha256) {
  RETORT_ASSIGN_OR_RETURN(
      const service::ResourceName name,
      service::ParseName(service::kDeployments, deployment.name()));
  if (!request_id.empty()) {
    auto found = FindRequest(name.project, request_id, request_sha256);
    if (!absl::IsNotFound(found.status())) return found;
  }
  v1::Deployment stored = deployment;
  stored.set_state(v1::Deployment::STATE_STARTING);
  const int64_t micros = absl::ToUnixMicros(clock_->Now());
  stored.mutable_create_time()->set_seconds(micros / 1000000);
  stored.mutable_create_time()->set_nanos(
      static_cast<int32_t>(micros % 1000000 * 1000));
  stored.set_etag(
      base::Sha256Hex(absl::StrCat(stored.name(), micros)).substr(0, 16));
  const std::string record = stored.SerializeAsString();
  const std::string& model = stored.models(0).model();
  const absl::Status inserted =
      db_->Write([&](db::Connection& c) -> absl::Status {
        // In the same transaction, so that the model cannot go in between.
        RETORT_RETURN_IF_ERROR(c.Execute(
            "INSERT INTO deployments(name, project, model, deleting, "
            "request_id, request_sha256, record) SELECT ?, ?, name, 0, ?, ?, ? "
            "FROM models WHERE name = ? AND state = ?",
            {stored.name(), name.project,
             request_id.empty() ? db::Value(nullptr) : db::Value(request_id),
             request_sha256, db::Blob{record}, model,
             static_cast<int>(RowState::kPresent)}));
        return c.Changes() == 1 ? absl::OkStatus()
                                : service::NotFound("model", model);
      });
  if (absl::IsAlreadyExists(inserted)) {
    return service::Error(absl::StatusCode::kAlreadyExists,
                          v1::ERROR_REASON_ALREADY_EXISTS,
                          absl::StrCat("there is a deployment ", stored.name(),
                                       " already; choose another id"),
                          {{"name", stored.name()}});
  }
  RETORT_RETURN_IF_ERROR(inserted);
  return stored;
}

absl::StatusOr<v1::Deployment> DeploymentStore::Get(
    const std::string& name) const {
  RETORT_RETURN_IF_ERROR(
      service::ParseName(service::kDeployments, name).status());
  v1::Deployment found;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& c) {
    return c.Query("SELECT record, deleting FROM deployments WHERE name = ?",
                   {name}, [&](const db::Row& row) {
                     found = ParseRow(row.Bytes(0), row.Int(1) != 0);
                     return absl::OkStatus();
                   });
  }));
  if (found.name().empty()) return service::NotFound("deployment", name);
  return found;
}

absl::StatusOr<DeploymentStore::Listing> DeploymentStore::List(
    const std::string& project, const service::Page& page) const {
  Listing listing;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& c) {
    return c.Query(
        "SELECT seq, record, deleting FROM deployments "
        "WHERE project = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
        {project, page.before, page.size + 1}, [&](const db::Row& row) {
          if (static_cast<int>(listing.deployments.size()) == page.size) {
            listing.more = true;
            return absl::OkStatus();
          }
          listing.last_seq = row.Int(0);
          listing.deployments.push_back(
              ParseRow(row.Bytes(1), row.Int(2) != 0));
          return absl::OkStatus();
        });
  }));
  return listing;
}

absl::StatusOr<std::vector<v1::Deployment>> DeploymentStore::All() const {
  std::vector<v1::Deployment> all;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& c) {
    return c.Query("SELECT record, deleting FROM deployments ORDER BY seq", {},
                   [&](const db::Row& row) {
                     all.push_back(ParseRow(row.Bytes(0), row.Int(1) != 0));
                     return absl::OkStatus();
                   });
  }));
  return all;
}

absl::Status DeploymentStore::MarkDeleting(const std::string& name,
                                           const std::string& etag) {
  RETORT_ASSIGN_OR_RETURN(const v1::Deployment deployment, Get(name));
  if (!etag.empty() && etag != deployment.etag()) {
    return service::Error(
        absl::StatusCode::kAborted, v1::ERROR_REASON_ETAG_MISMATCH,
        absl::StrCat("the etag is not that of the deployment ", name,
                     " as it is now; get it again"));
  }
  return db_->Write([&](db::Connection& c) {
    return c.Execute("UPDATE deployments SET deleting = 1 WHERE name = ?",
                     {name});
  });
}

absl::Status DeploymentStore::Remove(const std::string& name) {
  return db_->Write([&](db::Connection& c) {
    return c.Execute("DELETE FROM deployments WHERE name = ?", {name});
  });
}

}  // namespace retort::registry
