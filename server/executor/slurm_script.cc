#include "server/executor/slurm_script.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "server/executor/slurm_output.h"

namespace retort::executor::slurm {
namespace {

// The service ends jobs at their limit itself; Slurm's limit is for its plans,
// and for a service that is away.
constexpr absl::Duration kTimeSlack = absl::Minutes(2);

// Before what limit there is (the partition's, at least) ranks are asked to
// write a checkpoint and end. Slurm may ask up to a minute earlier.
constexpr char kWarning[] = "--signal=TERM@60";

// What each rank does: say where others reach it, take one of the node's
// devices, become the worker. Its arguments come behind.
constexpr char kRankScript[] = R"sh(
for node in $RETORT_NODE_ADDRESSES; do
  case $node in
    "$SLURMD_NODENAME="*) export RETORT_GANG_HOST="${node#*=}" ;;
  esac
done
case ${CUDA_VISIBLE_DEVICES-} in
  *,*) export CUDA_VISIBLE_DEVICES="$(echo "$CUDA_VISIBLE_DEVICES" |
         cut -d, -f$((SLURM_LOCALID + 1)))" ;;
esac
exec "$@" --rank="$SLURM_PROCID"
)sh";

// At most so many ranks on a node; 0: as Slurm likes. Ranks with GPUs are
// spread evenly over as few nodes as hold them, since --gres is per node.
int RanksPerNode(const GangSpec& spec, const ScriptOptions& options) {
  int most = spec.max_ranks_per_node;
  if (spec.gpus > 0) {
    const int fit = std::max(options.gpus_per_node / spec.gpus, 1);
    most = most == 0 ? fit : std::min(most, fit);
    const int nodes = (spec.ranks + most - 1) / most;
    return (spec.ranks + nodes - 1) / nodes;
  }
  return most == 0 ? 0 : std::min(most, spec.ranks);
}

void AddIf(const char* option, const std::string& value,
           std::vector<std::string>* arguments) {
  if (!value.empty()) arguments->push_back(absl::StrCat(option, value));
}

}  // namespace

std::string JobName(const std::string& instance, const std::string& subject,
                    int64_t epoch) {
  return absl::StrCat("retort-", instance, ":", subject, "@", epoch);
}

std::vector<std::string> SubmitArguments(const GangSpec& spec,
                                         const ScriptOptions& options) {
  std::vector<std::string> arguments = {
      "--parsable",
      absl::StrCat("--job-name=",
                   JobName(options.instance, spec.subject, spec.epoch)),
      absl::StrCat("--ntasks=", spec.ranks),
      absl::StrCat("--output=", spec.log_path),
      "--open-mode=append",
      "--chdir=/",
      // RETORT_WORKER_CA and its like, whatever SBATCH_EXPORT says.
      "--export=ALL",
      // So that an operator's `scontrol requeue` works, and preemption by it.
      "--requeue",
      kWarning,
  };
  const int per_node = RanksPerNode(spec, options);
  if (per_node > 0) {
    arguments.push_back(absl::StrCat("--ntasks-per-node=", per_node));
    arguments.push_back(
        absl::StrCat("--nodes=", (spec.ranks + per_node - 1) / per_node));
  }
  if (spec.threads > 0) {
    arguments.push_back(absl::StrCat("--cpus-per-task=", spec.threads));
  }
  std::string gres = spec.slurm.gres();
  if (gres.empty() && spec.gpus > 0) {
    gres = absl::StrCat("gpu:", per_node * spec.gpus);
  }
  AddIf("--gres=", gres, &arguments);
  AddIf("--account=", spec.slurm.account(), &arguments);
  AddIf("--partition=", spec.slurm.partition(), &arguments);
  AddIf("--qos=", spec.slurm.qos(), &arguments);
  AddIf("--constraint=", spec.slurm.constraint(), &arguments);
  if (spec.time_limit < absl::InfiniteDuration()) {
    // Whole minutes, as Slurm counts.
    const absl::Duration limit =
        absl::Ceil(spec.time_limit + kTimeSlack, absl::Minutes(1));
    arguments.push_back(absl::StrCat("--time=", limit / absl::Minutes(1)));
  }
  return arguments;
}

std::string BatchScript(const GangSpec& spec, const ScriptOptions& options) {
  std::vector<std::string> srun = {"srun", "--mpi=none", "--kill-on-bad-exit=1",
                                   absl::StrCat("--ntasks=", spec.ranks)};
  if (spec.threads > 0) {
    // From 22.05 on srun does not take it from the job.
    srun.push_back(absl::StrCat("--cpus-per-task=", spec.threads));
  }
  std::vector<std::string> worker = {
      options.worker_binary,
      absl::StrCat("--server=", options.server),
      absl::StrCat("--subject=", spec.subject),
      absl::StrCat("--epoch=", spec.epoch),
      absl::StrCat("--ranks=", spec.ranks),
      absl::StrCat("--log_level=", options.log_level)};
  if (options.lease > absl::ZeroDuration()) {
    worker.push_back(
        absl::StrCat("--lease=", absl::ToDoubleSeconds(options.lease)));
  }
  srun.insert(srun.end(), {"sh", "-c", kRankScript, "sh"});
  srun.insert(srun.end(), worker.begin(), worker.end());

  std::string script = absl::StrCat(
      "#!/bin/sh\n# ", spec.subject, ", epoch ", spec.epoch, "\n",
      "if [ \"${SLURM_RESTART_COUNT:-0}\" != 0 ]; then\n",
      "  echo \"retort: requeued by Slurm; the service starts it anew\"\n",
      "  exit 0\nfi\n", "echo \"", kLogMark, "$SLURM_JOB_ID (epoch ",
      spec.epoch, ") on $SLURM_JOB_NODELIST\"\n",
      "export RETORT_WORKER_TOKEN=", ShellWord(spec.token), "\n",
      "export OMP_WAIT_POLICY=\"${OMP_WAIT_POLICY:-passive}\"\n");
  if (spec.threads > 0) {
    absl::StrAppend(&script, "export OMP_NUM_THREADS=", spec.threads, "\n");
  }
  if (spec.gpus == 0)
    absl::StrAppend(&script, "export CUDA_VISIBLE_DEVICES=\n");
  // Slurm knows its nodes by addresses that need not be their names.
  absl::StrAppend(
      &script,
      "RETORT_NODE_ADDRESSES=$(scontrol --oneliner show node "
      "\"$SLURM_JOB_NODELIST\" |\n"
      "  sed -n 's/^NodeName=\\([^ ]*\\) .* NodeAddr=\\([^ ]*\\) .*/\\1=\\2/p'"
      " |\n  tr '\\n' ' ')\nexport RETORT_NODE_ADDRESSES\nexec ",
      absl::StrJoin(srun, " ",
                    [](std::string* out, const std::string& word) {
                      out->append(ShellWord(word));
                    }),
      "\n");
  return script;
}

std::string ShellWord(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

}  // namespace retort::executor::slurm
