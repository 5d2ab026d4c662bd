#ifndef RETORT_CORE_BASE_VERSION_H_
#define RETORT_CORE_BASE_VERSION_H_

namespace retort {

// Of all programs; the same as project() in CMakeLists.txt.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace retort

#endif  // RETORT_CORE_BASE_VERSION_H_
