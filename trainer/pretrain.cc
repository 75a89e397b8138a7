#include "trainer/pretrain.h"

#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>

#include "base/agent_watch.h"
#include "base/error.h"
#include "base/event_log.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/rank_page.h"
#include "checkpoints/attempt.h"
#include "checkpoints/manifest.h"
#include "checkpoints/source.h"
#include "dist/bootstrap.h"
#include "trainer/config_changes.h"
#include "trainer/device.h"
#include "trainer/initial_weights.h"
#include "trainer/stop_signal.h"
#include "trainer/stop_watch.h"
#include "trainer/train.h"
#include "trainer/wordpieces.h"

namespace vesalius::trainer {
namespace {

// A text tower that comes from a file has it.
constexpr const char* kFirstOfText = "text.embeddings.word_embeddings";

// What is validated before anything starts.
struct Inputs {
  Config config;
  Sources sources;
  std::shared_ptr<const data::Dataset> train, valid;  // joined
  ModelVocabulary vocabulary;
};

Inputs LoadInputs(const PretrainOptions& options) {
  Inputs in{LoadConfig(options.preset, options.config_file, options.set), {}, nullptr, nullptr, {}};
  in.sources = OpenSources(options.data, in.config.data.vocab);
  in.train = data::JoinDatasets(in.sources.datasets);
  const data::Vocabulary& words = in.train->vocabulary();
  data::Datasets valid;
  for (const std::string& text : options.data)
    valid.push_back(WithWordpieces(data::OpenDataset(ParseSource(text).folder, data::Split::kValid),
                                   words.wordpieces));
  in.valid = data::JoinDatasets(valid);
  Require(in.train->size() >= in.config.trainer.global_batch ||
              (in.config.data.tail != data::Tail::kDrop && in.train->size() > 0),
          ExitCode::kConfig, "trainer.global_batch = ", in.config.trainer.global_batch,
          " is more than the ", in.train->size(), " training samples of ", in.train->path());
  in.vocabulary = VocabularyOf(words, words.wordpieces);
  return in;
}

// Rank 0's part of the start: owns the folder, decides where to go on. Runs on one rank only, so
// that the decision is made once.
struct Start {
  std::unique_ptr<checkpoints::Attempt> attempt;
  std::string resume;       // auto, none, or the folder of --resume where that decides
  std::string resume_from;  // the source
  InitialWeights initial;
};

bool IsUsed(const std::string& run) {
  return Exists(run + "/ATTEMPT") || Exists(run + "/metrics.jsonl") || Exists(run + "/ckpt");
}

void RequireUnused(const PretrainOptions& options) {
  Require(options.resume != "none" || !IsUsed(options.run), ExitCode::kConfig, options.run,
          " already holds a run, and --resume none starts from nothing: choose a new folder, or "
          "leave --resume out to go on");
}

std::string RunIdOf(const std::string& token) { return token.substr(0, token.find('/')); }

// What --resume comes to for the attempt with `token` ("": none yet). A folder that it names is
// where a run begins that has nothing of its own. Then its own steps go on, so that the same words
// lose nothing, but for one that is named: back to that, unless this launch has saved since.
std::string HowToGoOn(const PretrainOptions& options, const std::string& token,
                      const std::vector<checkpoints::MemoryStep>& memory) {
  if (options.resume == "auto" || options.resume == "none") return options.resume;
  const bool names_own = !checkpoints::OwnStep(options.run, options.resume).empty();
  std::vector<std::string> damaged;
  std::string own;
  try {
    own = checkpoints::NewestSource(options.run, RunIdOf(token), memory, &damaged);
  } catch (const Error& error) {  // a newer one that cannot be read may be what PATH avoids
    if (!names_own || error.code() != ExitCode::kInputMissing) throw;
  }
  if (own.empty()) return options.resume;
  const std::string launch = token.substr(0, token.rfind('/') + 1);
  const bool saved_since =
      !token.empty() && checkpoints::OpenSource(own)->info().token.starts_with(launch);
  if (names_own && !saved_since) return options.resume;
  log::Info("--resume ", options.resume,
            " is for a run without steps: this one has its own and goes "
            "on from ",
            own);
  return "auto";
}

// Without a good step, a run that once had some does not begin anew by itself.
void RequireNothingLost(const std::string& run, const std::vector<std::string>& damaged) {
  const std::string quarantine = checkpoints::CheckpointFolder(run) + "/quarantine";
  const bool moved = !IsMissing(quarantine) && !ListDir(quarantine).empty();
  Require(damaged.empty() && !moved, ExitCode::kInvalidData, "no checkpoint in ", run,
          " is good: ", Join(damaged, "; "), damaged.empty() || !moved ? "" : "; ",
          moved ? StrCat(quarantine, " holds ", Join(ListDir(quarantine), ", ")) : "",
          "; bring a good one back to ", checkpoints::CheckpointFolder(run),
          ", name another one (--resume PATH), start a new run folder, or remove ",
          damaged.empty() ? quarantine : checkpoints::CheckpointFolder(run), " to begin anew");
}

// The source to go on from (checkpoints/source.h), "" to begin. With `auto` only its manifest has
// been read.
std::string FindCheckpoint(const std::string& run, const std::string& resume,
                           const std::string& run_id,
                           const std::vector<checkpoints::MemoryStep>& memory) {
  if (resume == "none") return "";
  std::vector<std::string> skipped;
  std::string found = resume == "auto" ? checkpoints::NewestSource(run, run_id, memory, &skipped)
                                       : checkpoints::ResolveStep(resume, &skipped);
  for (const std::string& reason : skipped) log::Warning("passed over ", reason);
  if (found.empty()) RequireNothingLost(run, skipped);
  return found;
}

void RequireFits(const std::string& step_folder, const Inputs& in) {
  const std::unique_ptr<checkpoints::Reader> source = checkpoints::OpenSource(step_folder);
  const checkpoints::Reader& reader = *source;
  const std::vector<std::string> changes =
      ForbiddenChanges(reader.info().config_text, in.config.text);
  Require(changes.empty(), ExitCode::kConfig,
          "these keys may not change when a run goes on: ", Join(changes, ", "),
          ". Set them back, or start a new run folder");
  const auto& blobs = reader.info().blobs;
  const auto words = blobs.find("vocabulary");
  Require(words != blobs.end() && words->second == SerializeVocabulary(in.vocabulary),
          ExitCode::kConfig, "the vocabulary differs from that of ", step_folder);
  const auto state = blobs.find("loader");
  Require(state != blobs.end(), ExitCode::kInvalidData, step_folder, " holds no loader state");
  const std::vector<data::SourcePosition> sources = data::ParseLoaderState(state->second).sources;
  Require(sources.size() == in.sources.datasets.size(), ExitCode::kConfig, step_folder, " read ",
          sources.size(), " data set(s), now there are ", in.sources.datasets.size(),
          ": give the same, or start a new run folder");
  for (std::size_t s = 0; s < sources.size(); ++s) {
    const data::Dataset& now = *in.sources.datasets[s];
    Require(sources[s].fingerprint == now.fingerprint(), ExitCode::kConfig, "the data set ",
            now.path(), " has changed since ", step_folder, " (fingerprint ",
            sources[s].fingerprint, " -> ", now.fingerprint(),
            "); resume with the original data in the same order, or start a new run folder");
  }
}

// Steps of this run that are newer than the one it goes on from (damaged, or passed over by
// --resume PATH) would win the next time: they move to quarantine.
void SetNewerAside(const std::string& run, const std::string& resume_from) {
  if (resume_from.empty()) return;
  const std::vector<std::string> steps = checkpoints::ListSteps(run);
  const bool memory = checkpoints::IsMemorySource(resume_from);
  const std::string in_memory =
      memory ? checkpoints::StepName(checkpoints::OpenSource(resume_from)->info().step) : "";
  const auto from = std::find_if(steps.begin(), steps.end(), [&](const std::string& step) {
    return memory ? std::filesystem::path(step).filename() <= in_memory
                  : std::filesystem::equivalent(step, resume_from);
  });
  if (from == steps.end() && !memory) return;
  for (auto newer = steps.begin(); newer != from; ++newer) {
    checkpoints::Quarantine(*newer);
    log::Warning(*newer, " is newer than the step to go on from; it is moved to ", run,
                 "/ckpt/quarantine");
  }
}

// The next older source, once a rank has found that `source` is damaged.
std::string NextOlder(const std::string& run, const Inputs& in, const Start& start,
                      const std::string& source, const std::string& why) {
  Require(start.resume == "auto", ExitCode::kInvalidData, why);
  if (checkpoints::IsMemorySource(source)) {
    log::Warning("the state in memory is not used: ", why);
  } else {
    log::Warning(why, "; ", source, " is moved to quarantine");
    checkpoints::Quarantine(source);
  }
  std::string next = FindCheckpoint(run, "auto", start.attempt->run_id(), {});
  Require(!next.empty(), ExitCode::kInvalidData, "no checkpoint in ", run, " is good: ", why,
          "; start a new run folder");
  RequireFits(next, in);
  SetNewerAside(run, next);
  return next;
}

// What --init gives; nothing when the run goes on from `resume_from`.
InitialWeights InitialWeightsOf(const PretrainOptions& options, const Inputs& in,
                                const std::string& resume_from) {
  if (options.init.empty() || !resume_from.empty()) return {};
  return ReadInitialWeights(options.init, in.config, in.vocabulary);
}

// What a start would go on from, without touching the run folder. Without memory: that is its
// attempt's to use.
std::string FindFitting(const PretrainOptions& options, const Inputs& in) {
  std::string found = FindCheckpoint(options.run, HowToGoOn(options, "", {}), /*run_id=*/"", {});
  if (!found.empty()) RequireFits(found, in);
  return found;
}

// What a start in this run folder would meet, without touching it (--check).
void CheckStart(const PretrainOptions& options, const Inputs& in) {
  RequireUnused(options);
  const InitialWeights initial = InitialWeightsOf(options, in, FindFitting(options, in));
  for (const std::string& line : initial.summary) std::cout << "# " << line << "\n";
}

Start BeginAttempt(const PretrainOptions& options, const Inputs& in,
                   const std::vector<checkpoints::MemoryStep>& memory) {
  RequireUnused(options);
  RequireNoStopFile(options.run);
  if (!IsUsed(options.run)) FindFitting(options, in);  // refused, a new folder stays a new one
  Start start{checkpoints::Attempt::Acquire(options.run), "", "", {}};
  start.resume = HowToGoOn(options, start.attempt->token(), memory);
  start.resume_from = FindCheckpoint(options.run, start.resume, start.attempt->run_id(), memory);
  if (!start.resume_from.empty()) RequireFits(start.resume_from, in);
  start.initial = InitialWeightsOf(options, in, start.resume_from);
  // Nothing newer is moved for a named step that is damaged.
  if (start.resume != "auto" && !checkpoints::OwnStep(options.run, start.resume_from).empty())
    checkpoints::OpenSource(start.resume_from)->Verify();
  SetNewerAside(options.run, start.resume_from);
  checkpoints::UnmarkDone(options.run);
  const std::string folder = StrCat(options.run, "/attempts/", start.attempt->number());
  MakeDirs(folder);
  WriteFileAtomic(folder + "/config.txtpb", in.config.text);
  return start;
}

void RequireEnoughSamples(const Config& config, int ranks) {
  Require(config.trainer.global_batch >= ranks, ExitCode::kConfig,
          "trainer.global_batch = ", config.trainer.global_batch, " is less than the ", ranks,
          " ranks");
  Require(config.trainer.slices == 0 || ranks <= config.trainer.slices, ExitCode::kConfig,
          "trainer.slices = ", config.trainer.slices,
          " gives work to that many ranks at most, not ", ranks);
}

// The resolved configuration of every rank must be the same.
void RequireAgreement(dist::Bootstrap& bootstrap, const Inputs& in) {
  const std::string mine = StrCat(Hex64(Hash64(in.config.text)), " ", in.train->fingerprint());
  const std::vector<std::string> all = bootstrap.Exchange("config.agreement", mine);
  for (size_t r = 1; r < all.size(); ++r)
    Require(all[r] == all[0], ExitCode::kConfig, "rank ", r,
            " has another configuration or data set than rank 0 (", all[r], " against ", all[0],
            ")");
}

void WritePid(const std::string& run, int attempt, int rank) {
  const std::string folder = StrCat(run, "/ranks/", attempt);
  MakeDirs(folder);
  WriteFileAtomic(StrCat(folder, "/rank-", rank, ".pid"), StrCat(::getpid(), "\n"));
}

// This rank's file of the run record; its first event tells since when the process is there.
void OpenEvents(const std::string& run, const std::string& token, int rank, int attempt) {
  char writer[32];
  std::snprintf(writer, sizeof(writer), "rank-%04d", rank);
  events::Open(run, writer, token, rank);
  events::Instant("rank.start", -1,
                  {{"attempt", attempt}, {"pid", ::getpid()}, {"since", events::ProcessStart()}});
}

// Says where the weights come from.
void TellStart(const PretrainOptions& options, const Config& config, const Start& start) {
  if (!start.resume_from.empty()) {
    if (!options.init.empty())
      log::Info("--init is ignored: the run goes on from ", start.resume_from);
    return;
  }
  for (const std::string& line : start.initial.summary) log::Info(line);
  if (config.model.text.frozen && start.initial.tensors.count(kFirstOfText) == 0)
    log::Warning("model.text.frozen without --init for the text tower: its random start stays");
}

ExitCode RunRank(dist::Bootstrap& bootstrap, const PretrainOptions& options, const Inputs& in) {
  RequireAgreement(bootstrap, in);
  RequireEnoughSamples(in.config, bootstrap.size());
  const at::Device device = ChooseDevice(options.device, bootstrap.node_rank());
  // How many threads share a product shows in its bits: fixed slices want the same at every size.
  const TrainerConfig& plan = in.config.trainer;
  SetUpThreads(plan.slices > 0 ? std::max(plan.threads, 1) : plan.threads, bootstrap.node_size());

  Start start;
  const std::vector<checkpoints::MemoryStep> memory =
      checkpoints::CommonMemory(bootstrap.Exchange("memory", checkpoints::DescribeMemory()));
  const std::string facts = dist::OnLead(bootstrap, "start", [&] {
    start = BeginAttempt(options, in, memory);
    return StrCat(start.attempt->number(), "\n", start.attempt->token(), "\n", start.resume_from);
  });
  const std::vector<std::string> parts = Split(facts, '\n');
  const int attempt = std::stoi(parts[0]);
  // Ranks that are threads share one log, that of rank 0.
  if (options.local_ranks == 0 || bootstrap.rank() == 0)
    log::OpenFile(options.run, bootstrap.rank());
  WritePid(options.run, attempt, bootstrap.rank());
  OpenEvents(options.run, parts[1], bootstrap.rank(), attempt);

  dist::CommunicatorOptions comm_options;
  comm_options.deadline =
      std::chrono::milliseconds(static_cast<std::int64_t>(in.config.dist.deadline * 1e3));
  const std::unique_ptr<dist::Communicator> comm = bootstrap.MakeCommunicator(
      device.is_cuda() ? dist::Device::kCuda : dist::Device::kCpu, comm_options);
  if (bootstrap.rank() == 0)
    log::Info("attempt ", attempt, ": ", bootstrap.size(), " rank(s) over ", comm->backend(), ", ",
              at::get_num_threads(), " thread(s) each, ", in.train->size(), " training samples");
  const bool fresh = parts[2].empty();
  if (bootstrap.rank() == 0) TellStart(options, in.config, start);
  const ExitCode code =
      Train({in.config, options.run, *comm, device, in.sources, in.train, in.valid, in.vocabulary,
             start.attempt.get(), parts[1], attempt, parts[2],
             [&](const std::string& source, const std::string& why) {
               return dist::OnLead(bootstrap, "resume.other",
                                   [&] { return NextOlder(options.run, in, start, source, why); });
             },
             fresh && !options.init.empty() ? &start.initial : nullptr, options.faults});
  events::Instant("rank.end", -1, {{"code", static_cast<int>(code)}});
  return code;
}

}  // namespace

ExitCode Pretrain(const PretrainOptions& options) {
  Require(!options.run.empty(), ExitCode::kUsage, "give the run folder with --run DIR");
  if (const char* pages = std::getenv("VESALIUS_PAGE"); pages != nullptr && !options.check) {
    InstallStopSignals(/*with_usr1=*/false);  // a rank whose page is there can be asked to stop
    page::Open(pages, dist::LaunchedRank());
  }
  if (const char* memory = std::getenv("VESALIUS_MEMORY"); memory != nullptr && !options.check)
    LeaveWithAgent(memory);
  const page::In leaving(page::Section::kExit);  // where a rank is that has left all others
  std::unique_ptr<dist::Bootstrap> bootstrap;
  const page::In init(page::Section::kInit);
  const Inputs in = LoadInputs(options);
  const bool cuda = ChooseDevice(options.device, 0).is_cuda();
  RequireEnoughSamples(in.config, std::max(1, options.local_ranks));
  if (options.check) {
    CheckStart(options, in);
    std::cout << in.config.text << "# " << in.train->path() << ": " << in.train->size()
              << " training samples, fingerprint " << in.train->fingerprint() << "\n";
    return ExitCode::kFinished;
  }
  InstallStopSignals(/*with_usr1=*/!cuda);
  at::globalContext().setDeterministicAlgorithms(in.config.trainer.deterministic, false);
  if (options.local_ranks > 0) {
    std::vector<ExitCode> codes(options.local_ranks);
    dist::RunLocalRanks(options.local_ranks, [&](dist::Bootstrap& bootstrap) {
      codes[bootstrap.rank()] = RunRank(bootstrap, options, in);
    });
    return codes[0];
  }
  bootstrap = dist::MakeBootstrap();
  return RunRank(*bootstrap, options, in);
}

}  // namespace vesalius::trainer
