#include "launch/agent/agent.h"

#include <csignal>
#include <cstdlib>
#include <mutex>

#include "base/error.h"
#include "base/event_log.h"
#include "base/file.h"
#include "base/log.h"
#include "launch/agent/coordinator.h"
#include "launch/agent/failure_file.h"
#include "launch/agent/meeting.h"
#include "launch/agent/worker.h"

namespace vesalius::launch {
namespace {

constexpr double kTick = 0.1;       // seconds
constexpr double kLonelyAfter = 5;  // seconds without an answer of the first node
constexpr double kMeetWithin = 120;
constexpr double kGoneWithin = 10;  // ranks that were killed, before an agent leaves without that

volatile std::sig_atomic_t g_save = 0;
void OnSave(int) { g_save = 1; }

void InstallSaveSignals() {
  for (const int signal : {SIGTERM, SIGINT, SIGUSR2, SIGHUP}) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (signal == SIGHUP && action.sa_handler == SIG_IGN) continue;  // under nohup it is to go on
    action.sa_handler = OnSave;
    sigaction(signal, &action, nullptr);
  }
}

double Now() { return static_cast<double>(page::Now()) * 1e-9; }

// This launch's number: as the batch script says, or one more than the run folder has seen.
int Generation(const std::string& run) {
  if (const char* given = std::getenv("VESALIUS_GENERATION"); given != nullptr)
    return std::atoi(given);
  const std::string path = run + "/ATTEMPT";
  if (!Exists(path)) return 1;
  const std::vector<std::string> parts = Split(Trim(ReadFile(path)), '/');
  Require(parts.size() == 3, ExitCode::kInvalidData, path,
          " is damaged (it should hold run/generation/attempt)");
  return std::atoi(parts[1].c_str()) + 1;
}

std::string TokenOf(const std::string& run) {
  return Exists(run + "/ATTEMPT") ? std::string(Trim(ReadFile(run + "/ATTEMPT"))) : "";
}

Observer ForPeople(const LaunchOptions& options, Deadlines& deadlines) {
  Observer observer;
  const std::string learned = options.run + "/deadlines.json";
  observer.failed = [&deadlines, learned, run = options.run](int attempt, const Cause& cause,
                                                             const std::vector<RankView>& ranks,
                                                             const Decision& decision) {
    deadlines.Save(learned);
    events::Failure("detect", cause.step,
                    {{"cause", cause.Line()},
                     {"attempt", attempt},
                     {"of_rank", cause.rank},
                     {"on", cause.host}});
    events::Instant("attempt.end", cause.step, {{"attempt", attempt}, {"code", cause.code}});
    if (decision.again) events::Instant("restart", -1, {{"rung", decision.action}});
    WriteFailure(run, TokenOf(run), attempt, cause, ranks, decision);
    // Two failed launches are nothing to tell: the third is.
    if (cause.kind == Cause::kLaunch && decision.again) return;
    log::Warning(cause.Line(), "; ", decision.action);
  };
  observer.started = [](int attempt) {
    events::Instant("attempt.start", -1, {{"attempt", attempt}});
  };
  observer.stepping = [](int attempt) {
    events::Instant("attempt.stepping", -1, {{"attempt", attempt}});
  };
  observer.slow = [](const RankView& rank, const std::string& phase, double score) {
    events::Instant(
        "straggler", rank.step,
        {{"of_rank", rank.rank}, {"on", rank.host}, {"phase", phase}, {"score", score}});
    log::Warning("rank ", rank.rank, " on ", rank.host, " is slow in ", phase, ": ",
                 Fixed(score, 2), " of the usual speed");
  };
  observer.note = [](const std::string& text) { log::Info(text); };
  return observer;
}

ExitCode Decide(const LaunchOptions& options, Worker& worker) {
  Deadlines deadlines(options.deadlines);
  deadlines.Load(options.run + "/deadlines.json");
  CoordinatorOptions plan;
  plan.ranks = options.ranks;
  plan.nodes = options.nodes;
  plan.spares = options.spares;
  plan.one_launcher = options.command.starter != Starter::kPlain;
  plan.generation = Generation(options.run);
  // Plain processes of one machine meet in its memory, those of several in the run folder.
  plan.store = options.nodes == 1 || !options.key.empty()
                   ? MemoryFolder(options.run, options.node) + "/store"
                   : StrCat(options.run, "/.store-", plan.generation);
  Coordinator coordinator(plan, deadlines, ForPeople(options, deadlines), Now());
  std::mutex mutex;
  std::unique_ptr<Service> service;
  if (options.nodes + options.spares > 1) {
    const std::string token = NewToken();
    service =
        Service::Open(token, MemoryFolder(options.run, options.node), [&](const Report& report) {
          const std::lock_guard lock(mutex);
          coordinator.Receive(report, Now());
          return coordinator.OrderFor(report.node);
        });
    worker.Join(service->address(), token);
    Publish(options.run, {service->address(), token, options.key});
  }
  Order order;
  for (;;) {
    if (g_save != 0) worker.RequestSave();
    const Report report = worker.Tick(order);
    const Duty before = order.duty;
    {
      const std::lock_guard lock(mutex);
      coordinator.Receive(report, Now());
      coordinator.Tick(Now());
      order = coordinator.OrderFor(options.node);
      if (coordinator.Done()) break;
    }
    // While something is being stopped every moment counts.
    if (order.duty == before) worker.Wait(order.duty == Duty::kStop ? kTick / 10 : kTick);
  }
  if (service != nullptr) Withdraw(options.run);
  deadlines.Save(options.run + "/deadlines.json");
  return static_cast<ExitCode>(*coordinator.Done());
}

// The first node's agent, and this one's service for the memory of the node.
struct FirstNode {
  std::string token;
  std::unique_ptr<Service> service;
  std::unique_ptr<Line> line;
};

// What the agent whose address is in the run folder answers; nothing while none does, and why. The
// address may be that of a launch that was killed, and its port by now somebody else's.
std::optional<Order> Greet(const LaunchOptions& options, Worker& worker, FirstNode* first,
                           std::string* why) {
  try {
    const auto invitation = FindInvitation(options.run, options.key);
    if (!invitation) return std::nullopt;
    if (invitation->token != first->token) {
      first->token = invitation->token;
      first->service =
          Service::Open(first->token, MemoryFolder(options.run, options.node), nullptr);
      worker.Join(first->service->address(), first->token);
      first->line = std::make_unique<Line>(invitation->address, first->token);
    }
    return first->line->Tell(worker.Tick({}));
  } catch (const Error& error) {
    *why = StrCat(": ", error.what());
    return std::nullopt;
  }
}

ExitCode Serve(const LaunchOptions& options, Worker& worker) {
  FirstNode first;
  std::optional<Order> met;
  std::string why;
  for (const double since = Now(); !met; worker.Wait(kTick)) {
    if (g_save != 0) return ExitCode::kSavedResumable;
    Require(Now() - since < kMeetWithin, ExitCode::kPeerLost,
            "no agent of a first node has answered at ", options.run, "/agents.address within ",
            kMeetWithin, " s", why);
    met = Greet(options, worker, &first, &why);
  }
  Order order = *met;
  double leaving = 0;  // since
  for (double answered = Now();;) {
    if (g_save != 0) worker.RequestSave();
    const Report report = worker.Tick(order);
    const Duty before = order.duty;
    if (const auto answer = first.line->Tell(report)) {
      if (order.duty != Duty::kLeave) order = *answer;
      answered = Now();
    }
    if (order.duty == Duty::kLeave && leaving == 0) leaving = Now();
    if (report.done == Duty::kLeave || (leaving > 0 && Now() - leaving > kGoneWithin))
      return static_cast<ExitCode>(order.exit_code);
    if (Now() - answered > kLonelyAfter && order.duty != Duty::kLeave) {
      log::Warning("node ", options.node, ": the first node's agent has not answered for ",
                   kLonelyAfter, " s; leaving");
      order.duty = Duty::kLeave;
      order.exit_code = static_cast<int>(ExitCode::kPeerLost);
    }
    if (order.duty == before) worker.Wait(order.duty == Duty::kStop ? kTick / 10 : kTick);
  }
}

}  // namespace

ExitCode RunAgent(const LaunchOptions& options) {
  InstallSaveSignals();
  MakeDirs(options.run);
  Worker worker({options.number, options.node, options.run, options.command});
  events::Open(options.run, "agent-" + options.node, TokenOf(options.run), -1);
  events::Instant("generation.start", -1, {{"node", options.node}});
  const ExitCode code = options.number == 0 ? Decide(options, worker) : Serve(options, worker);
  events::Instant("generation.end", -1, {{"code", static_cast<int>(code)}});
  return code;
}

}  // namespace vesalius::launch
