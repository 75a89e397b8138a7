// F38: places of the run record that are full or stuck. The training is not affected, what is lost
// is counted. F34: data files that are cut short under a running training.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/wall_clock.h"
#include "record/goodput.h"
#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::HasSubstr;

const Training& Data() {
  static const Training training;
  return training;
}

TEST(F38, StuckAndFullPlacesDoNotMatter) {
  ASSERT_EQ(Data().Run("quiet", kTwoMpi, Steps(20)).status, 0);
  const std::string run = Data().run("odd"), pipe = Data().folder() + "/pipe.prom";
  MakeDirs(run + "/events");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo((run + "/events/rank-0001.jsonl").c_str(), 0600), 0);
  std::filesystem::create_symlink("/dev/full", run + "/events/rank-0000.jsonl");
  std::filesystem::create_symlink("/dev/full", run + "/evals.jsonl");
  const Outcome outcome = Data().Run(
      "odd", kTwoMpi, Steps(20) + "--set trainer.eval_every=10 --set record.prometheus=" + pipe);
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("rank-0000.jsonl: No space left on device; events are "
                                        "dropped"));
  EXPECT_EQ(ParametersDigest(run), ParametersDigest(Data().run("quiet")));
  ExpectSameMetrics(run, Data().run("quiet"));
  const std::string prometheus = ReadFile(pipe);  // it has become a file
  EXPECT_THAT(prometheus, HasSubstr("} 20\n"));
  const std::size_t at = prometheus.find("\nvesalius_record_dropped{");
  ASSERT_NE(at, std::string::npos);
  EXPECT_GT(std::atof(prometheus.c_str() + prometheus.find("} ", at) + 2), 10);
}

TEST(F34, AShardCutShortUnderARunIsNamed) {
  const std::string data = Data().folder() + "/cut";
  std::filesystem::copy(Data().data(), data);
  const std::string shard = data + "/shard-00000.h5", run = Data().run("cut-run");
  Background training(
      ProgramLine(StrCat("pretrain --preset tiny --data ", data, " --run ", run,
                         " --set trainer.threads=1 --set trainer.steps=100000 --set "
                         "trainer.checkpoint_every=5 --set data.max_unreadable=20")),
      Data().folder() + "/cut.log");
  ASSERT_TRUE(WaitUntil([&] { return Metrics(run).size() >= 8; }));
  std::filesystem::resize_file(shard, FileSize(shard) / 4);
  const Outcome outcome = training.Wait();
  EXPECT_EQ(outcome.status, 65) << outcome.output;
  EXPECT_THAT(outcome.output, testing::AnyOf(HasSubstr(shard), HasSubstr(data)));
  const std::vector<Json> lines = Metrics(run);
  const auto batch = lines[0].at("samples").get<std::int64_t>();
  for (std::size_t i = 0; i < lines.size(); ++i)  // unreadable samples keep their place
    EXPECT_EQ(lines[i].at("samples"), static_cast<std::int64_t>(i + 1) * batch);
  EXPECT_FALSE(Committed(run).empty());
}

// Where the time of a killed, delayed and resumed run went, against a clock beside it.
TEST(F38, GoodputAgreesWithTheClock) {
  const std::string run = Data().run("clock");
  const std::string more =
      Steps(60) + "--set trainer.eval_every=20 --fault kill@45:0 --fault slow@1:0";
  const double before = WallNow();
  ASSERT_EQ(Program("version").status, 0);
  // Starting and ending a program is in no event.
  const double tolerance = 0.5 + WallNow() - before;
  const double first = WallNow();
  EXPECT_NE(Data().Run("clock", kAlone, more).status, 0);
  const double died = WallNow();
  std::this_thread::sleep_for(std::chrono::seconds(2));
  const double second = WallNow();
  ASSERT_EQ(Data().Run("clock", kAlone, more).status, 0);
  const double end = WallNow();
  const record::Goodput goodput = record::AccountFor(record::ReadEvents(run));
  double productive = 0;
  const auto seconds = [](const Json& line) {
    double sum = 0;
    for (const char* phase : {"data", "forward", "loss", "backward", "exchange", "optimiser"})
      sum += line.at("seconds").value(phase, 0.0);
    return sum;
  };
  for (const Json& line : Metrics(run)) productive += seconds(line);
  // Steps 43 and 44 were as the one before; what a kill left of the last fifth of a second of the
  // record may lack them.
  const double redone = 2 * seconds(Metrics(run).at(41));
  EXPECT_NEAR(goodput.wall(), end - first, tolerance);
  EXPECT_NEAR(goodput.part("idle"), second - died, tolerance);
  EXPECT_NEAR(goodput.part("productive"), productive, 0.5);
  EXPECT_NEAR(goodput.part("redone"), redone, 0.5);
  EXPECT_GT(goodput.part("eval"), 0);
  EXPECT_GT(goodput.part("stall"), 0);
  EXPECT_EQ(goodput.steps, 60);
  EXPECT_LE(goodput.redone_steps, 2);
  double sum = 0;
  for (const auto& [name, part] : goodput.parts) sum += part;
  EXPECT_NEAR(sum, goodput.wall(), 1e-3 * goodput.wall());
  const Outcome printed = Program("goodput " + run + " --json " + run + "/goodput.json");
  EXPECT_EQ(printed.status, 0) << printed.output;
  EXPECT_NEAR(Json::parse(ReadFile(run + "/goodput.json")).at("wall_s").get<double>(),
              goodput.wall(), 1e-9);
}

}  // namespace
}  // namespace vesalius::trainer
