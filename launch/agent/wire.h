// Reports and orders as messages.
#pragma once

#include "launch/agent/report.h"
#include "launch/agent/wire.pb.h"

namespace vesalius::launch {

wire::Report ToWire(const Report& report);
Report FromWire(const wire::Report& message);
wire::Order ToWire(const Order& order);
Order FromWire(const wire::Order& message);

}  // namespace vesalius::launch
