#include "launch/agent/meeting.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/host.h"
#include "launch/agent/wire.grpc.pb.h"
#include "launch/agent/wire.h"

namespace vesalius::launch {
namespace {

using grpc::Status;
using grpc::StatusCode;

constexpr const char* kTokenKey = "vesalius-token";
constexpr auto kAnswerWithin = std::chrono::seconds(1);
constexpr auto kCopyWithin = std::chrono::minutes(10);

std::string PathOf(const std::string& run) { return run + "/agents.address"; }

std::string ReachableName() {
  // The nodes of a simulation are all here.
  return std::getenv("VESALIUS_LOCAL_NODES") != nullptr ? "127.0.0.1" : HostName();
}

bool Equal(const grpc::string_ref& given, const std::string& token) {  // in constant time
  unsigned different = given.size() == token.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min<std::size_t>(given.size(), token.size()); ++i)
    different |= static_cast<unsigned char>(given.data()[i] ^ token[i]);
  return different == 0;
}

Status Refused() { return {StatusCode::PERMISSION_DENIED, "not an agent of this launch"}; }

class Server final : public Service, private wire::Agents::Service {
 public:
  Server(std::string token, std::string memory, std::function<Order(const Report&)> answer)
      : token_(std::move(token)), memory_(std::move(memory)), answer_(std::move(answer)) {
    int port = 0;
    grpc::ServerBuilder builder;
    const std::string host = ReachableName();
    builder.AddListeningPort((host == "127.0.0.1" ? host : "0.0.0.0") + ":0",
                             grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    Require(server_ != nullptr && port > 0, ExitCode::kCannotCreate,
            "the agents' service finds no free port on ", host);
    address_ = StrCat(host, ":", port);
  }
  ~Server() override {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  }
  const std::string& address() const override { return address_; }

 private:
  bool Known(const grpc::ServerContext& context) const {
    const auto given = context.client_metadata().find(kTokenKey);
    return given != context.client_metadata().end() && Equal(given->second, token_);
  }

  Status Tell(grpc::ServerContext* context, const wire::Report* report,
              wire::Order* order) override {
    if (!Known(*context)) return Refused();
    if (!answer_) return {StatusCode::UNIMPLEMENTED, "not the first node"};
    *order = ToWire(answer_(FromWire(*report)));
    return Status::OK;
  }

  Status List(grpc::ServerContext* context, const wire::Nothing*, wire::Slots* slots) override {
    if (!Known(*context)) return Refused();
    for (const Slot& slot : ListSlots(memory_)) {
      wire::Slot* out = slots->add_slots();
      out->set_stem(slot.stem);
      out->set_time(slot.time);
    }
    return Status::OK;
  }

  Status Fetch(grpc::ServerContext* context, const wire::Slot* wanted,
               grpc::ServerWriter<wire::Piece>* out) override {
    if (!Known(*context)) return Refused();
    for (const Slot& slot : ListSlots(memory_)) {
      if (slot.stem != wanted->stem() || slot.time != wanted->time()) continue;
      wire::Piece piece;
      const bool whole = ReadSlot(memory_, slot, [&](bool part, std::string_view data) {
        piece.set_part(part);
        piece.set_data(data.data(), data.size());
        return out->Write(piece);
      });
      if (whole) return Status::OK;
    }
    return {StatusCode::ABORTED, "the slot has changed"};
  }

  Status Keep(grpc::ServerContext* context, grpc::ServerReader<wire::Piece>* in,
              wire::Nothing*) override {
    if (!Known(*context)) return Refused();
    try {
      wire::Piece piece;
      if (!in->Read(&piece)) return {StatusCode::ABORTED, "nothing came"};
      SlotWriter writer(memory_, {piece.slot().stem(), piece.slot().time()});
      bool has_part = false;
      do {
        writer.Add(piece.part(), piece.data());
        has_part = has_part || piece.part();
      } while (in->Read(&piece));
      if (context->IsCancelled() || !has_part) return {StatusCode::ABORTED, "the sender gave up"};
      writer.Finish();
    } catch (const Error& error) {
      return {StatusCode::INTERNAL, error.what()};
    }
    return Status::OK;
  }

  const std::string token_, memory_;
  const std::function<Order(const Report&)> answer_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

std::string NewToken() {
  std::random_device entropy;
  std::string token;
  for (int i = 0; i < 4; ++i)
    token += Hex64(static_cast<std::uint64_t>(entropy()) << 32 | entropy());
  return token;
}

std::unique_ptr<Service> Service::Open(const std::string& token, const std::string& memory,
                                       std::function<Order(const Report&)> answer) {
  return std::make_unique<Server>(token, memory, std::move(answer));
}

void Publish(const std::string& run, const Invitation& invitation) {
  const std::string temporary = StrCat(PathOf(run), ".tmp-", ::getpid());
  const std::string content =
      StrCat(invitation.address, " ", invitation.token, " ", invitation.key, "\n");
  RemoveTree(temporary);
  // Readable by the user alone from its first byte on.
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && ::write(fd, content.data(), content.size()) ==
                                      static_cast<ssize_t>(content.size());
  if (fd >= 0) ::close(fd);
  Require(written, ExitCode::kCannotCreate, "cannot write ", temporary);
  RenamePath(temporary, PathOf(run));
}

void Withdraw(const std::string& run) { RemoveTree(PathOf(run)); }

std::optional<Invitation> FindInvitation(const std::string& run, const std::string& key) {
  if (!Exists(PathOf(run))) return std::nullopt;
  const std::string content = ReadFile(PathOf(run));
  const std::vector<std::string> words = Split(content.substr(0, content.find('\n')), ' ');
  if (words.size() != 3 || words[2] != key) return std::nullopt;
  return Invitation{words[0], words[1], words[2]};
}

struct Line::Stub {
  std::unique_ptr<wire::Agents::Stub> agents;
};

namespace {

std::unique_ptr<wire::Agents::Stub> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  return wire::Agents::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
}

void Prepare(grpc::ClientContext* context, const std::string& token, std::chrono::seconds limit) {
  context->AddMetadata(kTokenKey, token);
  context->set_deadline(std::chrono::system_clock::now() + limit);
}

}  // namespace

Line::Line(const std::string& address, const std::string& token)
    : token_(token), stub_(std::make_unique<Stub>(Stub{Connect(address)})) {}
Line::~Line() = default;

std::optional<Order> Line::Tell(const Report& report) {
  grpc::ClientContext context;
  Prepare(&context, token_, kAnswerWithin);
  wire::Order order;
  const Status status = stub_->agents->Tell(&context, ToWire(report), &order);
  Require(status.error_code() != StatusCode::PERMISSION_DENIED, ExitCode::kFenced,
          "the first node's agent belongs to another launch: this one leaves");
  if (!status.ok()) return std::nullopt;
  return FromWire(order);
}

void Line::FetchNewer(const std::string& folder) {
  wire::Slots slots;
  grpc::ClientContext asking;
  Prepare(&asking, token_, kAnswerWithin);
  if (!stub_->agents->List(&asking, {}, &slots).ok()) return;
  std::map<std::string, std::int64_t> have;
  for (const Slot& slot : ListSlots(folder)) have[slot.stem] = slot.time;
  for (const wire::Slot& slot : slots.slots()) {
    if (have[slot.stem()] >= slot.time()) continue;
    grpc::ClientContext context;
    Prepare(&context, token_, kCopyWithin);
    SlotWriter writer(folder, {slot.stem(), slot.time()});
    const auto in = stub_->agents->Fetch(&context, slot);
    wire::Piece piece;
    while (in->Read(&piece)) writer.Add(piece.part(), piece.data());
    if (in->Finish().ok()) writer.Finish();
  }
}

bool Line::Send(const std::string& folder, const Slot& slot) {
  grpc::ClientContext context;
  Prepare(&context, token_, kCopyWithin);
  wire::Nothing nothing;
  const auto out = stub_->agents->Keep(&context, &nothing);
  wire::Piece piece;
  piece.mutable_slot()->set_stem(slot.stem);
  piece.mutable_slot()->set_time(slot.time);
  const bool whole = ReadSlot(folder, slot, [&](bool part, std::string_view data) {
    piece.set_part(part);
    piece.set_data(data.data(), data.size());
    return out->Write(piece);
  });
  if (!whole) context.TryCancel();
  out->WritesDone();
  return out->Finish().ok() && whole;
}

}  // namespace vesalius::launch
