#include "launch/agent/meeting.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "launch/agent/wire.grpc.pb.h"
#include "launch/agent/wire.h"

namespace vesalius::launch {
namespace {

constexpr const char* kTokenKey = "vesalius-token";
constexpr auto kAnswerWithin = std::chrono::seconds(1);

std::string PathOf(const std::string& run) { return run + "/agents.address"; }

std::string NewToken() {
  std::random_device entropy;
  std::string token;
  for (int i = 0; i < 4; ++i)
    token += Hex64(static_cast<std::uint64_t>(entropy()) << 32 | entropy());
  return token;
}

// Readable by the user alone from its first byte on.
void Publish(const std::string& run, const std::string& content) {
  const std::string temporary = StrCat(PathOf(run), ".tmp-", ::getpid());
  RemoveTree(temporary);
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && ::write(fd, content.data(), content.size()) ==
                                      static_cast<ssize_t>(content.size());
  if (fd >= 0) ::close(fd);
  Require(written, ExitCode::kCannotCreate, "cannot write ", temporary);
  RenamePath(temporary, PathOf(run));
}

std::string HostName() {
  // The nodes of a simulation are all here.
  if (std::getenv("VESALIUS_LOCAL_NODES") != nullptr) return "127.0.0.1";
  char host[HOST_NAME_MAX + 1] = {};
  ::gethostname(host, HOST_NAME_MAX);
  return host;
}

bool Equal(grpc::string_ref given, const std::string& token) {  // in constant time
  unsigned different = given.size() == token.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min<std::size_t>(given.size(), token.size()); ++i)
    different |= static_cast<unsigned char>(given.data()[i] ^ token[i]);
  return different == 0;
}

class Server final : public Meeting, private wire::Agents::Service {
 public:
  Server(const std::string& run, const std::string& key, std::function<Order(const Report&)> answer)
      : run_(run), token_(NewToken()), answer_(std::move(answer)) {
    int port = 0;
    grpc::ServerBuilder builder;
    const std::string host = HostName();
    builder.AddListeningPort((host == "127.0.0.1" ? host : "0.0.0.0") + ":0",
                             grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    Require(server_ != nullptr && port > 0, ExitCode::kCannotCreate,
            "the agents' service finds no free port on ", host);
    address_ = StrCat(host, ":", port);
    Publish(run, StrCat(address_, " ", token_, " ", key, "\n"));
  }
  ~Server() override {
    RemoveTree(PathOf(run_));
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  }
  const std::string& address() const override { return address_; }

 private:
  grpc::Status Tell(grpc::ServerContext* context, const wire::Report* report,
                    wire::Order* order) override {
    const auto given = context->client_metadata().find(kTokenKey);
    if (given == context->client_metadata().end() || !Equal(given->second, token_))
      return {grpc::StatusCode::PERMISSION_DENIED, "not an agent of this launch"};
    *order = ToWire(answer_(FromWire(*report)));
    return grpc::Status::OK;
  }

  const std::string run_, token_;
  const std::function<Order(const Report&)> answer_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

std::unique_ptr<Meeting> Meeting::Open(const std::string& run, const std::string& key,
                                       std::function<Order(const Report&)> answer) {
  return std::make_unique<Server>(run, key, std::move(answer));
}

struct Invitation::Line {
  std::string content, token;
  std::unique_ptr<wire::Agents::Stub> stub;
};

Invitation::Invitation(std::string run, std::string key)
    : run_(std::move(run)), key_(std::move(key)) {}
Invitation::~Invitation() = default;

std::optional<Order> Invitation::Tell(const Report& report) {
  if (line_ == nullptr) {
    if (!Exists(PathOf(run_))) return std::nullopt;
    const std::string content = ReadFile(PathOf(run_));
    const std::vector<std::string> words = Split(Trim(content), ' ');
    if (words.size() != 3 || words[2] != key_) return std::nullopt;  // another launch's
    line_ = std::make_unique<Line>();
    line_->token = words[1];
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
    line_->stub = wire::Agents::NewStub(
        grpc::CreateCustomChannel(words[0], grpc::InsecureChannelCredentials(), arguments));
  }
  grpc::ClientContext context;
  context.AddMetadata(kTokenKey, line_->token);
  context.set_deadline(std::chrono::system_clock::now() + kAnswerWithin);
  wire::Order order;
  const grpc::Status status = line_->stub->Tell(&context, ToWire(report), &order);
  Require(status.error_code() != grpc::StatusCode::PERMISSION_DENIED, ExitCode::kFenced,
          "the agent at ", run_, "/agents.address belongs to another launch: this one leaves");
  if (!status.ok()) return std::nullopt;
  return FromWire(order);
}

}  // namespace vesalius::launch
