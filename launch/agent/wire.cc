#include "launch/agent/wire.h"

#include <algorithm>

namespace vesalius::launch {
namespace {

template <typename Array, typename Repeated>
void Read(const Repeated& from, Array* to) {
  std::copy_n(from.begin(), std::min<std::size_t>(from.size(), to->size()), to->begin());
}

wire::RankView ToWire(const RankView& view) {
  wire::RankView out;
  out.set_rank(view.rank);
  out.set_host(view.host);
  out.set_pid(view.pid);
  out.set_opened(view.opened);
  out.set_stopped(view.stopped);
  out.set_ended(view.ended);
  out.set_signal(view.signal);
  out.set_code(view.code);
  out.set_by_us(view.by_us);
  out.set_ended_for(view.ended_for);
  out.mutable_inside()->Assign(view.inside.begin(), view.inside.end());
  out.mutable_longest()->Assign(view.longest.begin(), view.longest.end());
  out.set_step(view.step);
  out.set_steps(view.steps);
  out.set_committed(view.committed);
  out.set_issued(view.issued);
  out.set_waiting(view.waiting);
  out.set_issued_name(view.issued_name);
  out.set_waiting_name(view.waiting_name);
  out.set_error(view.error);
  out.mutable_phases()->Assign(view.phases.begin(), view.phases.end());
  out.mutable_stack()->Assign(view.stack.begin(), view.stack.end());
  return out;
}

RankView FromWire(const wire::RankView& message) {
  RankView view;
  view.rank = message.rank();
  view.host = message.host();
  view.pid = message.pid();
  view.opened = message.opened();
  view.stopped = message.stopped();
  view.ended = message.ended();
  view.signal = message.signal();
  view.code = message.code();
  view.by_us = message.by_us();
  view.ended_for = message.ended_for();
  Read(message.inside(), &view.inside);
  Read(message.longest(), &view.longest);
  view.step = message.step();
  view.steps = message.steps();
  view.committed = message.committed();
  view.issued = message.issued();
  view.waiting = message.waiting();
  view.issued_name = message.issued_name();
  view.waiting_name = message.waiting_name();
  view.error = message.error();
  Read(message.phases(), &view.phases);
  view.stack.assign(message.stack().begin(), message.stack().end());
  return view;
}

}  // namespace

wire::Report ToWire(const Report& report) {
  wire::Report out;
  out.set_number(report.number);
  out.set_node(report.node);
  out.set_host(report.host);
  out.set_address(report.address);
  out.set_attempt(report.attempt);
  out.set_done(static_cast<int>(report.done));
  out.set_unhealthy(report.unhealthy);
  out.set_launcher(report.launcher);
  out.set_launcher_code(report.launcher_code);
  out.set_save(report.save);
  for (const RankView& view : report.ranks) *out.add_ranks() = ToWire(view);
  return out;
}

Report FromWire(const wire::Report& message) {
  Report report;
  report.number = message.number();
  report.node = message.node();
  report.host = message.host();
  report.address = message.address();
  report.attempt = message.attempt();
  report.done = static_cast<Duty>(message.done());
  report.unhealthy = message.unhealthy();
  report.launcher = message.launcher();
  report.launcher_code = message.launcher_code();
  report.save = message.save();
  for (const wire::RankView& view : message.ranks()) report.ranks.push_back(FromWire(view));
  return report;
}

wire::Order ToWire(const Order& order) {
  wire::Order out;
  out.set_attempt(order.attempt);
  out.set_duty(static_cast<int>(order.duty));
  out.set_first_rank(order.first_rank);
  out.set_ranks(order.ranks);
  out.set_world(order.world);
  out.set_launches(order.launches);
  out.mutable_nodes()->Assign(order.nodes.begin(), order.nodes.end());
  out.mutable_partners()->Assign(order.partners.begin(), order.partners.end());
  out.set_store(order.store);
  out.set_generation(order.generation);
  out.set_save(order.save);
  out.set_stacks(order.stacks);
  out.set_at_once(order.at_once);
  out.set_exit_code(order.exit_code);
  return out;
}

Order FromWire(const wire::Order& message) {
  Order order;
  order.attempt = message.attempt();
  order.duty = static_cast<Duty>(message.duty());
  order.first_rank = message.first_rank();
  order.ranks = message.ranks();
  order.world = message.world();
  order.launches = message.launches();
  order.nodes.assign(message.nodes().begin(), message.nodes().end());
  order.partners.assign(message.partners().begin(), message.partners().end());
  order.store = message.store();
  order.generation = message.generation();
  order.save = message.save();
  order.stacks = message.stacks();
  order.at_once = message.at_once();
  order.exit_code = message.exit_code();
  return order;
}

}  // namespace vesalius::launch
