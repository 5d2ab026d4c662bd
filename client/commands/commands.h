#ifndef RETORT_CLIENT_COMMANDS_COMMANDS_H_
#define RETORT_CLIENT_COMMANDS_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "client/context.h"

// One function per subcommand: each adds its flags and help to `parent` and
// what it does as a callback. The callback leaves its outcome in the context.
namespace retort::client {

void AddJobsSubmit(CLI::App* parent, Context* context);
void AddJobsList(CLI::App* parent, Context* context);
void AddJobsGet(CLI::App* parent, Context* context);
void AddJobsClone(CLI::App* parent, Context* context);
void AddJobsPause(CLI::App* parent, Context* context);
void AddJobsResume(CLI::App* parent, Context* context);
void AddJobsCancel(CLI::App* parent, Context* context);
void AddJobsDelete(CLI::App* parent, Context* context);
void AddJobsLogs(CLI::App* parent, Context* context);
void AddJobsWatch(CLI::App* parent, Context* context);
void AddJobsMetrics(CLI::App* parent, Context* context);
void AddJobsCheckpoints(CLI::App* parent, Context* context);
void AddJobsCompare(CLI::App* parent, Context* context);
void AddJobsExplain(CLI::App* parent, Context* context);

void AddQuotasList(CLI::App* parent, Context* context);
void AddQuotasGet(CLI::App* parent, Context* context);
void AddQuotasSet(CLI::App* parent, Context* context);

void AddNodesList(CLI::App* parent, Context* context);
void AddNodesDrain(CLI::App* parent, Context* context);
void AddNodesUndrain(CLI::App* parent, Context* context);

void AddModelsList(CLI::App* parent, Context* context);
void AddModelsGet(CLI::App* parent, Context* context);
void AddModelsImport(CLI::App* parent, Context* context);
void AddModelsExport(CLI::App* parent, Context* context);
void AddModelsDelete(CLI::App* parent, Context* context);

void AddDeploymentsCreate(CLI::App* parent, Context* context);
void AddDeploymentsList(CLI::App* parent, Context* context);
void AddDeploymentsGet(CLI::App* parent, Context* context);
void AddDeploymentsDelete(CLI::App* parent, Context* context);

void AddPresetsList(CLI::App* parent, Context* context);
void AddPresetsShow(CLI::App* parent, Context* context);

void AddSample(CLI::App* parent, Context* context);
void AddCluster(CLI::App* parent, Context* context);
void AddQueue(CLI::App* parent, Context* context);
void AddTop(CLI::App* parent, Context* context);
// Needs the complete root for its list of words.
void AddCompletion(CLI::App* root, Context* context);

// Adds a subcommand that runs `body` and keeps its status.
CLI::App* AddCommand(CLI::App* parent, Context* context,
                     const std::string& name, const std::string& description,
                     std::function<absl::Status()> body);

// Follows a job to its end on standard output and sets the exit code to 1 if
// it did not succeed. Goes on when the server is away for up to two minutes.
absl::Status WatchJob(Context* context, const std::string& name);

}  // namespace retort::client

#endif  // RETORT_CLIENT_COMMANDS_COMMANDS_H_
