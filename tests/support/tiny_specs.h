#ifndef RETORT_TESTS_SUPPORT_TINY_SPECS_H_
#define RETORT_TESTS_SUPPORT_TINY_SPECS_H_

#include <nlohmann/json.hpp>
#include <string>

namespace retort::testing {

// What stands below `spec:` in a job file: the smallest network that makes
// sense, on the data in `data_dir`. A step takes some 10 ms.
inline nlohmann::json TinyTeacher(const std::string& data_dir, int iterations,
                                  int checkpoint_every = 20) {
  return {
      {"train_teacher",
       {{"data", {{"path", data_dir}}},
        {"network",
         {{"model_channels", 8}, {"channel_mult", {1, 1}}, {"num_blocks", 1}}},
        {"training",
         {{"batch_size", 2},
          {"iterations", iterations},
          {"seed", 11},
          {"checkpoint_every", checkpoint_every},
          {"log_every", 5}}}}},
      {"resources", {{"cpu_threads", 1}}}};
}

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_TINY_SPECS_H_
