#ifndef RETORT_TESTS_SUPPORT_API_METHODS_H_
#define RETORT_TESTS_SUPPORT_API_METHODS_H_

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "inference/grpc_service.pb.h"
#include "retort/v1/cluster_service.pb.h"
#include "retort/v1/deployment_service.pb.h"
#include "retort/v1/job_service.pb.h"
#include "retort/v1/model_service.pb.h"
#include "retort/v1/sampling_service.pb.h"

namespace retort::testing {

// Every method of every service of the API's files.
inline std::vector<const google::protobuf::MethodDescriptor*> ApiMethods() {
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  for (const google::protobuf::FileDescriptor* file :
       {v1::Job::descriptor()->file(), v1::Model::descriptor()->file(),
        v1::Deployment::descriptor()->file(),
        v1::SampleRequest::descriptor()->file(),
        v1::Cluster::descriptor()->file(),
        inference::ServerLiveRequest::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int k = 0; k < file->service(i)->method_count(); ++k) {
        methods.push_back(file->service(i)->method(k));
      }
    }
  }
  return methods;
}

// As gRPC spells it: "/retort.v1.JobService/GetJob".
inline std::string MethodPath(
    const google::protobuf::MethodDescriptor& method) {
  return "/" + method.service()->full_name() + "/" + method.name();
}

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_API_METHODS_H_
