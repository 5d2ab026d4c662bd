#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/flag_values.h"
#include "client/output.h"
#include "client/spec_file.h"
#include "client/table.h"
#include "core/base/status_macros.h"
#include "retort/v1/model_service.grpc.pb.h"

namespace retort::client {
namespace {

struct ListModelsOptions {
  std::vector<std::string> kinds;
  int limit = 50;
};

void PrintModels(const v1::ListModelsResponse& response,
                 const ListModelsOptions& options) {
  Table table({"MODEL", "KIND", "PRECONDITIONING", "PARAMETERS", "SIZE",
               "CREATED", "NAME"});
  const absl::Time now = absl::Now();
  for (const v1::Model& model : response.models()) {
    const auto* kind =
        v1::Model::Kind_descriptor()->FindValueByNumber(model.kind());
    const auto* precond =
        v1::PreconditioningKind_descriptor()->FindValueByNumber(
            model.preconditioning());
    const bool has_precond =
        model.preconditioning() != v1::PRECONDITIONING_KIND_UNSPECIFIED;
    table.Add({ShortName(model.name()),
               kind == nullptr ? "" : ShortEnumName(*kind),
               precond != nullptr && has_precond ? ShortEnumName(*precond) : "",
               absl::StrCat(model.parameters()), Bytes(model.bytes()),
               Ago(model.create_time(), now), model.display_name()});
  }
  table.Print(options.kinds.empty()
                  ? "no models; train one with: retort jobs submit, or bring "
                    "one in with: retort models import FILE"
                  : "no models of this kind");
  if (!response.next_page_token().empty()) NoteMore();
}

absl::Status ListModels(Context* context, const ListModelsOptions& options) {
  v1::ListModelsRequest request;
  request.set_parent(context->Parent());
  for (const std::string& kind : options.kinds) {
    RETORT_ASSIGN_OR_RETURN(
        const int value,
        ParseEnumFlag("--kind", kind, *v1::Model::Kind_descriptor()));
    request.add_kinds(static_cast<v1::Model::Kind>(value));
  }
  auto stub = context->NewStub<v1::ModelService>();
  v1::ListModelsResponse all;
  do {
    request.set_page_size(std::min(options.limit - all.models_size(), 1000));
    v1::ListModelsResponse page;
    RETORT_RETURN_IF_ERROR(context->Call(
        *stub, &v1::ModelService::Stub::ListModels, request, &page));
    all.mutable_models()->MergeFrom(page.models());
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && all.models_size() < options.limit);
  if (context->options.json) {
    PrintJsonList("models", all.models());
  } else {
    PrintModels(all, options);
  }
  return absl::OkStatus();
}

}  // namespace

void AddModelsList(CLI::App* parent, Context* context) {
  auto options = std::make_shared<ListModelsOptions>();
  CLI::App* command = AddCommand(parent, context, "list", "List models",
                                 [=] { return ListModels(context, *options); });
  command
      ->add_option("--kind", options->kinds,
                   "Only this kind: teacher, cm, ctm, preconditioning, "
                   "feature-extractor or perceptual (repeatable)")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--limit", options->limit, "At most so many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  command->footer("Example:\n  retort models list --kind teacher --json");
}

}  // namespace retort::client
