#include "server/rpc/inference_service.h"

#include <gtest/gtest.h>

#include "tests/server/rpc/not_there_yet.h"
#include "tests/server/rpc/service_fixture.h"

namespace retort::rpc {
namespace {

using ::testing::ElementsAre;

class InferenceServiceTest : public ServiceFixture {
 protected:
  InferenceServiceTest() { Serve(&service_); }
  ~InferenceServiceTest() override { Shutdown(); }

  InferenceService service_{&metrics_};
};

TEST_F(InferenceServiceTest, AnswersWhatIsNotThereYetWithAReason) {
  EXPECT_THAT(
      MethodsNotThereYet(server_.get(),
                         inference::GRPCInferenceService::service_full_name()),
      ElementsAre("ServerLive", "ServerReady", "ModelReady", "ServerMetadata",
                  "ModelMetadata", "ModelInfer"));
}

}  // namespace
}  // namespace retort::rpc
