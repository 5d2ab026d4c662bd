#ifndef RETORT_SERVER_SIMULATOR_VARIANTS_H_
#define RETORT_SERVER_SIMULATOR_VARIANTS_H_

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "server/simulator/simulation.h"

namespace retort::simulator {

// The policy as it is, and with a part of it switched off: what that part is
// worth.
struct Variant {
  std::string name;
  std::string words;
  SimulationOptions options;
};

// "policy", "no-preemption", "no-backfill", "spread", "no-aging", and "fifo":
// one line, nobody overtakes, emptiest nodes first.
std::vector<Variant> AllVariants(const SimulationOptions& options);

// The figures of a run (Measures::ToJson) as lines for people.
std::string Summary(const std::string& name,
                    const nlohmann::ordered_json& figures);

}  // namespace retort::simulator

#endif  // RETORT_SERVER_SIMULATOR_VARIANTS_H_
