#ifndef RETORT_TESTS_SUPPORT_CAPTURED_LOG_H_
#define RETORT_TESTS_SUPPORT_CAPTURED_LOG_H_

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>
#include <string>

namespace retort::testing {

// What is logged while it lives. Nobody may log while it comes or goes; text()
// is for when those who log are done.
class CapturedLog {
 public:
  CapturedLog() {
    spdlog::default_logger()->sinks().push_back(
        std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
  }
  ~CapturedLog() { spdlog::default_logger()->sinks().pop_back(); }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;

  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_CAPTURED_LOG_H_
