#include "checkpoints/save_thread.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>
#include <utility>

#include "base/direct_file.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "checkpoints/commit.h"
#include "checkpoints/protections.h"

namespace vesalius::checkpoints {
namespace {

constexpr int kNice = 10;
constexpr std::size_t kWriteBytes = std::size_t{8} << 20;
constexpr std::chrono::seconds kPatience{1};

}  // namespace

SavePass::Result SavePass::result() const {
  const std::lock_guard lock(mutex_);
  return result_;
}

void SavePass::Cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
}

void SavePass::Fail(ExitCode code, const std::string& message) {
  const std::lock_guard lock(mutex_);
  if (result_.state != State::kFailed) result_ = {State::kFailed, code, message};
}

void SavePass::FailLate(State state, const std::string& message, bool even_publishing) {
  const std::lock_guard lock(mutex_);
  if (result_.state != state || (publishing_ && !even_publishing)) return;
  result_ = {State::kFailed, ExitCode::kCannotSave, message};
  cancelled_ = true;
}

void SavePass::Check(bool publishing) {
  const std::lock_guard lock(mutex_);
  if (cancelled_) throw Cancelled();
  publishing_ = publishing_ || publishing;
}

void SavePass::Run(State done, const std::function<void()>& work) {
  try {
    work();
    const std::lock_guard lock(mutex_);
    if (result_.state != State::kFailed) result_.state = done;
  } catch (const Cancelled&) {
  } catch (const Error& error) {
    Fail(error.code(), error.what());
  } catch (const std::exception& error) {
    Fail(ExitCode::kCannotSave, error.what());
  }
}

SaveThread::SaveThread()
    : shared_(std::make_shared<Shared>()), thread_([shared = shared_] { Loop(shared); }) {}

SaveThread::~SaveThread() {
  std::unique_lock lock(shared_->mutex);
  shared_->stop = true;
  shared_->jobs.clear();
  shared_->changed.notify_all();
  const bool at_rest =
      shared_->changed.wait_for(lock, kPatience, [this] { return !shared_->running; });
  lock.unlock();
  at_rest ? thread_.join() : thread_.detach();
}

void SaveThread::Post(std::function<void()> job) {
  const std::lock_guard lock(shared_->mutex);
  shared_->jobs.push_back(std::move(job));
  shared_->changed.notify_all();
}

bool SaveThread::busy() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->running || !shared_->jobs.empty();
}

void SaveThread::Loop(const std::shared_ptr<Shared>& shared) {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);
  std::unique_lock lock(shared->mutex);
  while (true) {
    shared->changed.wait(lock, [&] { return shared->stop || !shared->jobs.empty(); });
    if (shared->stop) return;
    std::function<void()> job = std::move(shared->jobs.front());
    shared->jobs.pop_front();
    shared->running = true;
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
    shared->running = false;
    shared->changed.notify_all();
  }
}

namespace {

void WriteFile(const std::string& path, const std::string& content) {
  OutputFile file(path, ExitCode::kCannotSave);
  file.Write(content);
  if (Protects(Protection::kSync)) file.Sync();
  file.Close();
}

// The memory copy is a help, not a promise: the save goes on without it.
void PublishInMemory(Staging& staging, const std::string& part) {
  try {
    staging.Publish(part);
  } catch (const Error& error) {
    log::Warning("the state is not kept in memory: ", error.what());
  }
}

}  // namespace

void WriteShare(int rank, const std::string& checkpoints, SavePass& pass, const SavePlan& plan,
                Staging& staging, const char* buffer) {
  pass.Run(SavePass::State::kWritten, [&] {
    if (rank == 0) {
      if (!Exists(checkpoints)) {
        MakeDirs(checkpoints, ExitCode::kCannotSave);
        SyncDir(std::filesystem::path(checkpoints).parent_path().string(), ExitCode::kCannotSave);
      }
      CheckSpace(checkpoints, plan.total_bytes);
    }
    StepInfo info = pass.info;
    if (rank != 0) {  // rank 0's are for all
      info.blobs.clear();
      info.config_text.clear();
    }
    // Checksums are taken while the disk works.
    std::future<std::string> describing = std::async(std::launch::async, [&] {
      std::string part = EncodeManifest(DescribeShard(plan, info, rank, buffer));
      PublishInMemory(staging, part);
      return part;
    });
    MakeDirs(pass.temporary, ExitCode::kCannotSave);
    if (plan.bytes > 0) {
      DirectFile shard(StrCat(pass.temporary, "/", ShardName(rank)), ExitCode::kCannotSave);
      for (std::uint64_t done = 0; done < plan.bytes; done += kWriteBytes) {
        pass.Check();
        shard.Write(buffer + done, std::min<std::uint64_t>(kWriteBytes, plan.bytes - done));
        if (done == 0) AtSavePoint("write", info.step, rank);
      }
      if (Protects(Protection::kSync)) shard.Sync();
      shard.Close();
    }
    pass.Check();
    WriteFile(StrCat(pass.temporary, "/", PartName(rank)), describing.get());
    AtSavePoint("written", info.step, rank);
  });
}

}  // namespace vesalius::checkpoints
