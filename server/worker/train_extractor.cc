#include "server/worker/train_extractor.h"

#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "core/base/stop_flag.h"
#include "core/data/fashion_mnist.h"

namespace retort::worker {
namespace {

absl::Status Train(const ExtractorOptions& options) {
  at::set_num_threads(options.threads);
  RETORT_ASSIGN_OR_RETURN(
      const auto train,
      data::LoadFashionMnist(options.data_dir, data::Split::kTrain,
                             options.resolution));
  RETORT_ASSIGN_OR_RETURN(
      const auto test,
      data::LoadFashionMnist(options.data_dir, data::Split::kTest,
                             options.resolution));
  RETORT_ASSIGN_OR_RETURN(const eval::TrainedClassifier trained,
                          eval::TrainClassifier(
                              *train, *test, options.train,
                              [](const eval::ClassifierProgress& p) {
                                RETORT_LOG(info, "step {}/{}  loss {:.4f}",
                                           p.step, p.steps, p.loss);
                              },
                              base::StopFlag()));
  RETORT_ASSIGN_OR_RETURN(const io::ModelManifest manifest,
                          eval::SaveClassifier(options.out, trained));
  RETORT_LOG(info, "{:.2f} % of {} test images right; weights {} in {}",
             100 * trained.test_accuracy, trained.test_size,
             manifest.weights_sha256, options.out);
  return absl::OkStatus();
}

}  // namespace

int TrainExtractor(const ExtractorOptions& options) {
  const absl::Status status = Train(options);
  if (status.ok()) return 0;
  RETORT_LOG(error, "{}", std::string(status.message()));
  return 1;
}

}  // namespace retort::worker
