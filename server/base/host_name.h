#ifndef RETORT_SERVER_BASE_HOST_NAME_H_
#define RETORT_SERVER_BASE_HOST_NAME_H_

#include <string>

namespace retort::service {

// This machine's name; "localhost" if the system does not tell.
std::string HostName();

}  // namespace retort::service

#endif  // RETORT_SERVER_BASE_HOST_NAME_H_
