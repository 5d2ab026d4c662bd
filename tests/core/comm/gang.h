#ifndef RETORT_TESTS_CORE_COMM_GANG_H_
#define RETORT_TESTS_CORE_COMM_GANG_H_

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/comm/process_group.h"
#include "tests/support/rank_threads.h"

namespace retort::testing {

// Calls `body` for every rank of a gang on this machine at once, on a thread
// each, joined by gloo; returns when all have returned.
inline void RunGang(int size,
                    const std::function<void(comm::Communicator&)>& body) {
  std::promise<std::pair<std::string, int>> store;
  auto where = store.get_future().share();
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.emplace_back([&, rank, where] {
      comm::ProcessGroupOptions options;
      options.rank = rank;
      options.size = size;
      if (rank == 0) {
        options.on_listening = [&](const std::string& host, int port) {
          store.set_value({host, port});
        };
      } else {
        options.store_host = where.get().first;
        options.store_port = where.get().second;
      }
      auto comm = comm::JoinProcessGroup(options);
      ASSERT_TRUE(comm.ok()) << comm.status();
      body(**comm);
    });
  }
  for (std::thread& rank : ranks) rank.join();
}

}  // namespace retort::testing

#endif  // RETORT_TESTS_CORE_COMM_GANG_H_
