#include "tests/dist/nccl_stand_in.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "dist/memory.h"
#include "dist/sum.h"

namespace vesalius::dist::nccl {
namespace {

constexpr int kRemoteError = 6;
constexpr int kCudaFault = 700;

// The ranks that share a unique id.
struct World {
  std::mutex mutex;
  std::condition_variable changed;
  int size = 0;
  int joined = 0;
  bool broken = false;  // a rank has aborted: nothing moves any more, its memory may be gone
  struct Part {
    const void* in = nullptr;
    void* out = nullptr;
  };
  struct Meeting {
    std::vector<Part> parts;
    int arrived = 0;
    bool done = false;
  };
  std::map<std::uint64_t, std::shared_ptr<Meeting>> meetings;
  // Sends that wait for their receives, in order, by {from, to}.
  struct Letter {
    const void* in = nullptr;
    std::size_t bytes = 0;
    bool taken = false;
  };
  std::map<std::pair<int, int>, std::deque<std::shared_ptr<Letter>>> letters;
  std::map<int, std::shared_ptr<World>> parts;  // of the split under way, by color
  int split = 0;                                // ranks that take part in it so far
  std::vector<int> keys;                        // of the ranks, when it came from a split
};

struct FakeComm {
  std::shared_ptr<World> world;
  int rank = 0;
  std::atomic<bool> aborted = false;
  std::atomic<int> polls_left = 3;  // how often it still answers kInProgress
  std::atomic<int> result = kSuccess;
  std::uint64_t next = 0;
};

class FakeStream {
 public:
  FakeStream() : thread_([this] { Loop(); }) {}
  ~FakeStream() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  void Put(std::function<void()> work) {
    std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    changed_.notify_all();
  }

 private:
  void Loop() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !work_.empty(); });
      if (work_.empty()) return;
      const auto work = std::move(work_.front());
      work_.pop_front();
      lock.unlock();
      work();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  bool stop_ = false;
  std::thread thread_;
};

struct FakeEvent {
  std::atomic<bool> done = true;
  std::chrono::steady_clock::time_point when;  // once done
};

using Parts = std::vector<World::Part>;

// Blocks the stream's thread until all ranks are there; the last one moves the data.
void Meet(FakeComm& comm, std::uint64_t sequence, World::Part mine,
          const std::function<void(const Parts&)>& move) {
  World& world = *comm.world;
  std::unique_lock lock(world.mutex);
  auto& slot = world.meetings[sequence];
  if (!slot) {
    slot = std::make_shared<World::Meeting>();
    slot->parts.resize(world.size);
  }
  const auto meeting = slot;
  meeting->parts[comm.rank] = mine;
  if (++meeting->arrived == world.size && !world.broken) {
    move(meeting->parts);
    meeting->done = true;
    world.meetings.erase(sequence);
    world.changed.notify_all();
  }
  while (!meeting->done && !comm.aborted) {
    world.changed.wait_for(lock, std::chrono::milliseconds(1));
  }
}

// What a group of sends and receives of one rank holds.
struct Mail {
  struct Send {
    int to;
    std::shared_ptr<World::Letter> letter;
  };
  struct Receive {
    int from;
    void* out;
    std::size_t bytes;
  };
  FakeComm* comm = nullptr;
  FakeStream* stream = nullptr;
  std::vector<Send> sends;
  std::vector<Receive> receives;
};

// Blocks the stream's thread until all is delivered.
void Deliver(const Mail& mail) {
  World& world = *mail.comm->world;
  const int me = mail.comm->rank;
  std::unique_lock lock(world.mutex);
  for (const auto& send : mail.sends) world.letters[{me, send.to}].push_back(send.letter);
  world.changed.notify_all();
  std::size_t received = 0;
  const auto sent = [&] {
    return std::ranges::all_of(mail.sends, [](const auto& send) { return send.letter->taken; });
  };
  while (!mail.comm->aborted && !world.broken) {
    while (received < mail.receives.size()) {
      const auto& receive = mail.receives[received];
      auto& waiting = world.letters[{receive.from, me}];
      if (waiting.empty()) break;
      const auto letter = waiting.front();
      waiting.pop_front();
      std::memcpy(receive.out, letter->in, std::min(receive.bytes, letter->bytes));
      letter->taken = true;
      ++received;
      world.changed.notify_all();
    }
    if (received == mail.receives.size() && sent()) return;
    world.changed.wait_for(lock, std::chrono::milliseconds(1));
  }
  while (!mail.comm->aborted) world.changed.wait_for(lock, std::chrono::milliseconds(1));
}

class StandIn {
 public:
  explicit StandIn(Faults& faults) : faults_(faults) {}

  int Id(UniqueId* id) {
    std::lock_guard lock(mutex_);
    std::memset(id->bytes, 0, sizeof(id->bytes));
    std::memcpy(id->bytes, &next_id_, sizeof(next_id_));
    worlds_[next_id_++] = std::make_shared<World>();
    return kSuccess;
  }

  int Init(Comm* comm, int ranks, const UniqueId& id, int rank) {
    auto* fake = new FakeComm;
    std::uint64_t key = 0;
    std::memcpy(&key, id.bytes, sizeof(key));
    {
      std::lock_guard lock(mutex_);
      fake->world = worlds_.at(key);
    }
    fake->rank = rank;
    std::lock_guard lock(fake->world->mutex);
    fake->world->size = ranks;
    ++fake->world->joined;
    *comm = fake;
    return kInProgress;
  }

  int AsyncError(Comm comm, int* result) {
    auto& fake = *static_cast<FakeComm*>(comm);
    std::lock_guard lock(fake.world->mutex);
    if (faults_.report_async_error) {
      *result = kRemoteError;
    } else if (faults_.never_settle || fake.world->joined < fake.world->size) {
      *result = kInProgress;
    } else if (faults_.refuse_init) {
      *result = kInvalidUsage;
    } else {
      *result = fake.polls_left-- > 0 ? kInProgress : kSuccess;
    }
    return kSuccess;
  }

  int Launch(FakeComm& comm, FakeStream& stream, World::Part part,
             std::function<void(const Parts&)> move) {
    if (faults_.fail_launch.exchange(false)) return kRemoteError;
    comm.polls_left = 2;
    stream.Put([&comm, sequence = comm.next++, part, move] { Meet(comm, sequence, part, move); });
    return kInProgress;
  }

  // The group of the calling thread.
  static Mail& ThreadsMail() {
    thread_local Mail mail;
    return mail;
  }

  int EndGroup() {
    const Mail mail = std::exchange(ThreadsMail(), {});
    if (mail.comm == nullptr) return kInProgress;
    if (faults_.fail_launch.exchange(false)) return kRemoteError;
    mail.comm->polls_left = 2;
    mail.stream->Put([mail] { Deliver(mail); });
    return kInProgress;
  }

  int Split(FakeComm& comm, int color, int key, Comm* part) {
    World& world = *comm.world;
    std::unique_lock lock(world.mutex);
    FakeComm* made = nullptr;
    if (color >= 0) {
      auto& shared = world.parts[color];
      if (!shared) shared = std::make_shared<World>();
      made = new FakeComm;
      made->world = shared;
      std::lock_guard part_lock(shared->mutex);
      shared->keys.push_back(key);
    }
    // Like NCCL's, the split is over when all ranks have called it.
    if (++world.split == world.size) {
      for (auto& [ignored, shared] : world.parts) {
        std::ranges::sort(shared->keys);
        shared->size = shared->joined = static_cast<int>(shared->keys.size());
      }
      world.parts.clear();
      world.split = 0;
      world.changed.notify_all();
    }
    while (made != nullptr && made->world->size == 0 && !comm.aborted) {
      world.changed.wait_for(lock, std::chrono::milliseconds(1));
    }
    if (made != nullptr && made->world->size > 0) {
      const auto& keys = made->world->keys;
      made->rank = static_cast<int>(std::ranges::find(keys, key) - keys.begin());
      *part = made;
    }
    return kInProgress;
  }

  Faults& faults() { return faults_; }

 private:
  Faults& faults_;
  std::mutex mutex_;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, std::shared_ptr<World>> worlds_;
};

const char* At(const void* base, std::size_t element, DType type) {
  return static_cast<const char*>(base) + element * SizeOf(type);
}
char* At(void* base, std::size_t element, DType type) {
  return static_cast<char*>(base) + element * SizeOf(type);
}

// Sum of part `start` of all ranks' inputs into `out`, from the last rank to the first.
void SumBackwards(const Parts& parts, std::size_t start, void* out, std::size_t count, DType type) {
  std::vector<const void*> sources;
  for (const auto& part : parts) sources.push_back(At(part.in, start, type));
  std::reverse(sources.begin(), sources.end());
  const auto sum = AllocateAligned(count * SizeOf(type));
  void* destination = sum.get();
  SumInRankOrder(type, sources, std::span(&destination, 1), static_cast<std::int64_t>(count));
  if (count > 0) std::memcpy(out, sum.get(), count * SizeOf(type));
}

void FillMoves(Api& api, const std::shared_ptr<StandIn>& self) {
  const auto launch = [self](Comm comm, Stream stream, World::Part part,
                             std::function<void(const Parts&)> move) {
    return self->Launch(*static_cast<FakeComm*>(comm), *static_cast<FakeStream*>(stream), part,
                        std::move(move));
  };
  api.all_reduce = [launch](const void* in, void* out, std::size_t n, DType type, Comm comm,
                            Stream stream) {
    return launch(comm, stream, {in, out}, [n, type](const Parts& parts) {
      SumBackwards(parts, 0, parts[0].out, n, type);
      for (const auto& part : parts) {
        if (part.out != parts[0].out) std::memcpy(part.out, parts[0].out, n * SizeOf(type));
      }
    });
  };
  api.all_gather = [launch](const void* in, void* out, std::size_t n, DType type, Comm comm,
                            Stream stream) {
    return launch(comm, stream, {in, out}, [n, type](const Parts& parts) {
      for (const auto& to : parts) {
        for (std::size_t r = 0; r < parts.size(); ++r) {
          if (n > 0) std::memmove(At(to.out, r * n, type), parts[r].in, n * SizeOf(type));
        }
      }
    });
  };
  api.reduce_scatter = [launch](const void* in, void* out, std::size_t n, DType type, Comm comm,
                                Stream stream) {
    return launch(comm, stream, {in, out}, [n, type](const Parts& parts) {
      for (std::size_t r = 0; r < parts.size(); ++r) {
        SumBackwards(parts, r * n, parts[r].out, n, type);
      }
    });
  };
  api.broadcast = [launch](const void* in, void* out, std::size_t n, DType type, int root,
                           Comm comm, Stream stream) {
    return launch(comm, stream, {in, out}, [n, type, root](const Parts& parts) {
      for (const auto& to : parts) {
        if (n > 0) std::memmove(to.out, parts[root].in, n * SizeOf(type));
      }
    });
  };
  api.reduce = [launch](const void* in, void* out, std::size_t n, DType type, int root, Comm comm,
                        Stream stream) {
    return launch(comm, stream, {in, out}, [n, type, root](const Parts& parts) {
      SumBackwards(parts, 0, parts[root].out, n, type);
    });
  };
}

void FillMail(Api& api) {
  const auto mail = [](Comm comm, Stream stream) -> Mail& {
    Mail& group = StandIn::ThreadsMail();
    group.comm = static_cast<FakeComm*>(comm);
    group.stream = static_cast<FakeStream*>(stream);
    return group;
  };
  api.send = [mail](const void* in, std::size_t n, DType type, int peer, Comm comm, Stream stream) {
    auto letter = std::make_shared<World::Letter>(World::Letter{in, n * SizeOf(type)});
    mail(comm, stream).sends.push_back({peer, std::move(letter)});
    return kSuccess;
  };
  api.receive = [mail](void* out, std::size_t n, DType type, int peer, Comm comm, Stream stream) {
    mail(comm, stream).receives.push_back({peer, out, n * SizeOf(type)});
    return kSuccess;
  };
}

void FillComm(Api& api, const std::shared_ptr<StandIn>& self) {
  api.get_unique_id = [self](UniqueId* id) { return self->Id(id); };
  api.comm_init_rank = [self](Comm* comm, int ranks, const UniqueId& id, int rank) {
    return self->Init(comm, ranks, id, rank);
  };
  api.comm_split = [self](Comm comm, int color, int key, Comm* part) {
    return self->Split(*static_cast<FakeComm*>(comm), color, key, part);
  };
  api.comm_get_async_error = [self](Comm comm, int* result) {
    return self->AsyncError(comm, result);
  };
  api.comm_finalize = [](Comm) { return kInProgress; };
  // Communicators are not freed: a stream may still be leaving one that was aborted.
  api.comm_destroy = [self](Comm) {
    ++self->faults().destroyed;
    return kSuccess;
  };
  api.comm_abort = [self](Comm comm) {
    ++self->faults().aborts;
    auto& fake = *static_cast<FakeComm*>(comm);
    std::lock_guard lock(fake.world->mutex);
    fake.world->broken = true;
    fake.aborted = true;
    return kSuccess;
  };
  api.group_start = [] { return kSuccess; };
  api.group_end = [self] { return self->EndGroup(); };
  api.error_text = [](int result, Comm) {
    return result == kInvalidUsage  ? std::string("invalid usage: Duplicate GPU detected")
           : result == kRemoteError ? std::string("remote process exited")
                                    : std::to_string(result);
  };
  api.mem_alloc = [self](void** memory, std::size_t bytes) {
    ++self->faults().allocations;
    *memory = std::aligned_alloc(64, bytes);
    return kSuccess;
  };
  api.mem_free = [self](void* memory) {
    --self->faults().allocations;
    std::free(memory);
    return kSuccess;
  };
}

void FillRuntime(Api& api, const std::shared_ptr<StandIn>& self) {
  api.set_device = [](int) { return kSuccess; };
  api.current_stream = [] { return Stream{nullptr}; };
  api.stream_create = [self](Stream* stream) {
    ++self->faults().runtime_objects;
    *stream = new FakeStream;
    return kSuccess;
  };
  api.stream_destroy = [self](Stream stream) {
    --self->faults().runtime_objects;
    delete static_cast<FakeStream*>(stream);
    return kSuccess;
  };
  api.stream_wait_event = [](Stream, Event) { return kSuccess; };  // the null stream has no work
  api.event_create = [self](Event* event) {
    ++self->faults().runtime_objects;
    *event = new FakeEvent;
    return kSuccess;
  };
  // Leaked when the stream has not reached it, as after an abort.
  api.event_destroy = [self](Event event) {
    --self->faults().runtime_objects;
    auto* fake = static_cast<FakeEvent*>(event);
    if (fake->done) delete fake;
    return kSuccess;
  };
  api.event_record = [self](Event event, Stream stream) {
    auto* fake = static_cast<FakeEvent*>(event);
    if (stream == nullptr) return kSuccess;
    if (self->faults().fail_record) return kCudaFault;
    fake->done = false;
    static_cast<FakeStream*>(stream)->Put([fake] {
      fake->when = std::chrono::steady_clock::now();
      fake->done = true;
    });
    return kSuccess;
  };
  api.event_query = [self](Event event) {
    if (self->faults().fail_event) return kCudaFault;
    return static_cast<FakeEvent*>(event)->done ? kSuccess : kNotReady;
  };
  api.event_elapsed = [](float* milliseconds, Event begin, Event end) {
    const std::chrono::duration<float, std::milli> took =
        static_cast<FakeEvent*>(end)->when - static_cast<FakeEvent*>(begin)->when;
    *milliseconds = took.count();
    return kSuccess;
  };
  api.copy = [](void* to, const void* from, std::size_t bytes) {
    std::memcpy(to, from, bytes);
    return kSuccess;
  };
  api.zero = [](void* memory, std::size_t bytes) {
    std::memset(memory, 0, bytes);
    return kSuccess;
  };
  api.cuda_error_text = [](int result) { return "CUDA error " + std::to_string(result); };
}

// Has the injection strike where it names this function.
template <typename... Arguments>
void Expose(const char* name, std::function<int(Arguments...)>& function, Faults& faults) {
  function = [name, inner = std::move(function), &faults](Arguments... arguments) -> int {
    const Injection& injection = faults.injection;
    if (injection.call != name || ++faults.injected_calls != injection.at) {
      return inner(arguments...);
    }
    ++faults.strikes;
    std::this_thread::sleep_for(injection.delay);
    // Ends like a call that an abort breaks, and in the end for the test's own sake.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(8);
    while (injection.hang && std::chrono::steady_clock::now() < end) {
      if (faults.aborts > 0 && injection.call != "comm_abort") return kRemoteError;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return injection.result != 0 ? injection.result : inner(arguments...);
  };
}

void ExposeAll(Api& api, Faults& faults) {
  Expose("get_unique_id", api.get_unique_id, faults);
  Expose("comm_init_rank", api.comm_init_rank, faults);
  Expose("comm_split", api.comm_split, faults);
  Expose("comm_get_async_error", api.comm_get_async_error, faults);
  Expose("comm_finalize", api.comm_finalize, faults);
  Expose("comm_destroy", api.comm_destroy, faults);
  Expose("comm_abort", api.comm_abort, faults);
  Expose("group_start", api.group_start, faults);
  Expose("group_end", api.group_end, faults);
  Expose("all_reduce", api.all_reduce, faults);
  Expose("all_gather", api.all_gather, faults);
  Expose("reduce_scatter", api.reduce_scatter, faults);
  Expose("broadcast", api.broadcast, faults);
  Expose("reduce", api.reduce, faults);
  Expose("send", api.send, faults);
  Expose("receive", api.receive, faults);
  Expose("mem_alloc", api.mem_alloc, faults);
  Expose("mem_free", api.mem_free, faults);
  Expose("set_device", api.set_device, faults);
  Expose("stream_create", api.stream_create, faults);
  Expose("stream_destroy", api.stream_destroy, faults);
  Expose("stream_wait_event", api.stream_wait_event, faults);
  Expose("event_create", api.event_create, faults);
  Expose("event_destroy", api.event_destroy, faults);
  Expose("event_record", api.event_record, faults);
  Expose("event_query", api.event_query, faults);
  Expose("event_elapsed", api.event_elapsed, faults);
  Expose("copy", api.copy, faults);
  Expose("zero", api.zero, faults);
}

}  // namespace

std::shared_ptr<const Api> MakeStandIn(Faults& faults) {
  const auto self = std::make_shared<StandIn>(faults);
  auto api = std::make_shared<Api>();
  FillComm(*api, self);
  FillMoves(*api, self);
  FillMail(*api);
  FillRuntime(*api, self);
  ExposeAll(*api, faults);
  return api;
}

}  // namespace vesalius::dist::nccl
