// LoaderState <-> Protobuf bytes (loader_state.proto).
#include "base/error.h"
#include "data/loader/batch.h"
#include "data/loader/loader_state.pb.h"

namespace vesalius::data {
namespace {

constexpr std::uint32_t kVersion = 1;

}  // namespace

std::string SerializeLoaderState(const LoaderState& state) {
  LoaderStateProto proto;
  proto.set_version(kVersion);
  proto.set_seed(state.seed);
  proto.set_global_batch(state.global_batch);
  proto.set_samples(state.samples);
  if (state.unreadable > 0) proto.set_unreadable(state.unreadable);
  for (const SourcePosition& source : state.sources) {
    SourcePositionProto* out = proto.add_sources();
    out->set_fingerprint(source.fingerprint);
    out->set_epoch(source.epoch);
    out->set_position(source.position);
  }
  return proto.SerializeAsString();
}

LoaderState ParseLoaderState(std::string_view bytes) {
  LoaderStateProto proto;
  Require(proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) && proto.has_version(),
          ExitCode::kInvalidData, "loader state: ", bytes.size(),
          " bytes that are not a loader state; resume from another checkpoint");
  Require(proto.version() == kVersion, ExitCode::kInvalidData, "loader state: version ",
          proto.version(), ", this program reads version ", kVersion,
          "; resume with the program that wrote it");
  LoaderState state;
  state.seed = proto.seed();
  state.global_batch = proto.global_batch();
  state.samples = proto.samples();
  state.unreadable = proto.unreadable();
  bool sane =
      state.unreadable >= 0 && proto.has_seed() && state.global_batch >= 0 && state.samples >= 0;
  for (const SourcePositionProto& source : proto.sources()) {
    state.sources.push_back({source.fingerprint(), source.epoch(), source.position()});
    sane = sane && source.epoch() >= 0 && source.position() >= 0;
  }
  Require(sane, ExitCode::kInvalidData,
          "loader state: a field is missing or negative; resume from another checkpoint");
  return state;
}

}  // namespace vesalius::data
