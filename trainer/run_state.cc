#include "trainer/run_state.h"

#include <set>

#include "base/error.h"
#include "checkpoints/source.h"
#include "dist/tensor.h"

namespace vesalius::trainer {

RunState::RunState(const TrainContext& context)
    : context_(context),
      train_step_(context.config, context.vocabulary, context.device, context.comm),
      watch_(context.config.watch) {}

void RunState::TakeInitialWeights(const InitialWeights& initial) {
  if (context_.lead()) ApplyInitialWeights(initial, train_step_.parameters());
  std::vector<dist::Ticket> tickets;
  for (const auto& parameter : train_step_.parameters())
    tickets.push_back(context_.comm.Broadcast(
        "init." + parameter.name, parameter.tensor.data_ptr(), parameter.tensor.numel(),
        dist::DTypeOf(parameter.tensor.scalar_type()), /*root=*/0));
  for (dist::Ticket& ticket : tickets) ticket.Wait();
}

std::int64_t RunState::Load(const std::string& source) {
  const std::unique_ptr<checkpoints::Reader> reader = checkpoints::OpenSource(source);
  LoadParameters(*reader);
  std::vector<at::Tensor> staging;
  std::set<checkpoints::TensorKey> loaded;
  for (const checkpoints::TensorView& view :
       StateViews(train_step_.parameters(), &train_step_.optimiser(), &staging))
    loaded.emplace(view.meta.name, view.meta.role);
  // Every node has a memory of its own.
  const bool shared = !checkpoints::IsMemorySource(source);
  reader->VerifyShare(shared ? context_.comm.rank() : 0, shared ? context_.comm.size() : 1, loaded);
  position_ = data::ParseLoaderState(Blob(*reader, "loader"));
  if (reader->info().blobs.contains("watch")) watch_.Parse(Blob(*reader, "watch"));
  return reader->info().step;
}

void RunState::SetUpTables(const std::string& source) {
  tables_ = trainer::SetUpTables(context_.config, *context_.train, context_.vocabulary.wordpieces,
                                 context_.comm, context_.device, &train_step_.model());
  if (!source.empty()) LoadTables(*checkpoints::OpenSource(source), tables_);
}

void RunState::GoBack(const checkpoints::Reader& step, bool other_samples) {
  LoadParameters(step);
  LoadTables(step, tables_);
  if (step.info().blobs.contains("watch")) watch_.Parse(Blob(step, "watch"), /*keep_counts=*/true);
  if (!other_samples) position_ = data::ParseLoaderState(Blob(step, "loader"));
}

void RunState::Advance(const data::LoaderState& after, std::int64_t unreadable) {
  const std::int64_t total = position_.unreadable + unreadable;
  position_ = after;
  position_.unreadable = total;
  const std::int64_t limit = context_.config.data.max_unreadable;
  Require(unreadable == 0 || total <= limit, ExitCode::kInvalidData, total,
          " samples of this run could not be read, more than data.max_unreadable = ", limit,
          "; `vesalius inspect ", context_.train->path(), "` names the damaged ones");
}

checkpoints::StepInfo RunState::Info(std::int64_t step) const {
  checkpoints::StepInfo info;
  info.step = step;
  info.samples = position_.samples;
  info.token = context_.token;
  info.config_text = context_.config.text;
  info.world = context_.comm.size();
  info.blobs = {{"loader", data::SerializeLoaderState(position_)},
                {"vocabulary", SerializeVocabulary(context_.vocabulary)},
                {"watch", watch_.Serialize()}};
  if (tables_.knowledge) info.blobs["concepts"] = data::SerializeConceptGraph(tables_.concepts);
  return info;
}

std::vector<checkpoints::TensorView> RunState::Views(std::vector<at::Tensor>* staging) {
  std::vector<checkpoints::TensorView> views =
      StateViews(train_step_.parameters(), &train_step_.optimiser(), staging);
  for (const checkpoints::TensorView& view : TableViews(tables_)) views.push_back(view);
  return views;
}

void RunState::LoadParameters(const checkpoints::Reader& reader) {
  LoadState(reader, train_step_.parameters(), &train_step_.optimiser());
}

const std::string& RunState::Blob(const checkpoints::Reader& reader, const char* name) const {
  const auto found = reader.info().blobs.find(name);
  Require(found != reader.info().blobs.end(), ExitCode::kInvalidData, "step ", reader.info().step,
          " of ", context_.run_folder, " holds no ", name, " state");
  return found->second;
}

}  // namespace vesalius::trainer
