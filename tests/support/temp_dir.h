#ifndef RETORT_TESTS_SUPPORT_TEMP_DIR_H_
#define RETORT_TESTS_SUPPORT_TEMP_DIR_H_

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "core/base/check.h"

namespace retort::testing {

// A fresh directory under $TMPDIR (or /tmp), removed with everything in it
// when the object dies. One per test keeps tests independent when ctest runs
// them in parallel.
class TempDir {
 public:
  TempDir() {
    std::string name =
        (std::filesystem::temp_directory_path() / "retort_test_XXXXXX");
    RETORT_CHECK(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

  // Returns the path of an entry `name` of this directory.
  std::string operator/(const std::string& name) const {
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_TEMP_DIR_H_
