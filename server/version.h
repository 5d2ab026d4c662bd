#ifndef RETORT_SERVER_VERSION_H_
#define RETORT_SERVER_VERSION_H_

namespace retort {

// Of the service; the same as project() in CMakeLists.txt.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace retort

#endif  // RETORT_SERVER_VERSION_H_
