// An import that is killed again and again, parent or workers, and started anew with the same
// command ends with the bytes of one that was left alone. $VESALIUS_IMPORT_STUDIES and
// $VESALIUS_IMPORT_KILLS make it longer.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.h"
#include "base/random.h"
#include "data/dataset.h"
#include "data/phantom/phantom.h"
#include "data/shards/dataset_files.h"
#include "tests/data/image_fixtures.h"
#include "tests/util/program.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using Clock = std::chrono::steady_clock;

int FromEnvironment(const char* name, int otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::atoi(value);
}

// A phantom set as people have theirs: image files and a table.
void ExportPhantom(const std::string& folder, int studies) {
  WritePhantom({.out = folder + "/phantom", .samples = studies, .size = 64, .progress = {}});
  MakeDirs(folder + "/in/images");
  OutputFile table(folder + "/in/table.csv");
  table.Write("image,report,patient,split\n");
  for (const Split split : {Split::kTrain, Split::kValid, Split::kTest}) {
    const auto dataset = OpenDataset(folder + "/phantom", split);
    for (std::int64_t i = 0; i < dataset->size(); ++i) {
      const Record record = dataset->Get(i);
      const Image& image = record.image;
      OutputFile file(StrCat(folder, "/in/images/", record.image_id, ".png"));
      file.Write(GreyPng(image.width, image.height,
                         [&](int x, int y) { return image.u8[std::size_t(y) * 64 + x]; }));
      file.Close();
      table.Write(StrCat(record.image_id, ".png,\"", record.report, "\",", record.patient_id, ",",
                         SplitName(split), "\n"));
    }
  }
  table.Write("gone.png,an image that is not there,p,train\n");
  table.Close();
}

std::string Line(const std::string& folder, const std::string& out) {
  return ProgramLine(StrCat("import pairs --in ", folder, "/in --out ", folder, "/", out,
                            " --workers 2 --json ", folder, "/", out, ".json"));
}

std::size_t Parts(const std::string& state) {
  std::error_code gone;  // the import may end, and remove the folder, at any time
  std::size_t parts = 0;
  for (const auto& entry : std::filesystem::directory_iterator(state, gone))
    parts += entry.path().extension() == ".json" && entry.path().stem() != "plan";
  return parts;
}

// Starts the import and kills its parent or one of its workers at a random time. True when the kill
// came before the end.
bool StartAndKill(const std::string& folder, double seconds, Random* random) {
  const std::string state = folder + "/killed/.import";
  const std::size_t before = Parts(state);
  Background import(Line(folder, "killed"), folder + "/log");
  EXPECT_TRUE(WaitUntil([&] { return Exists(state) || !import.Running(); }));
  if (random->Bernoulli(.5)) {  // half of the kills wait for a new part: there is progress
    EXPECT_TRUE(WaitUntil([&] { return Parts(state) > before || !import.Running(); }));
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(random->Uniform(0, seconds)));
  const std::vector<pid_t> workers = ChildrenOf(import.pid());
  if (!import.Running()) return false;
  const bool worker = !workers.empty() && random->Bernoulli(.4);
  ::kill(worker ? workers[random->Below(workers.size())] : import.pid(), SIGKILL);
  const Outcome outcome = import.Wait(30);
  if (outcome.status == 0) return false;
  EXPECT_EQ(outcome.status, worker ? 80 : 128 + SIGKILL) << outcome.output;
  EXPECT_FALSE(worker && outcome.output.find("signal 9") == std::string::npos) << outcome.output;
  return true;
}

// Every file of the import that was killed against those of the other; gives what it resumed.
std::int64_t Compare(const std::string& folder, int studies) {
  const auto report = nlohmann::json::parse(ReadFile(folder + "/killed.json"));
  EXPECT_EQ(report.at("read"), studies + 1);
  EXPECT_EQ(report.at("written"), studies);
  EXPECT_EQ(report.at("quarantined"), 1);
  EXPECT_EQ(report.at("quarantined_by_reason").at("image missing"), 1);
  const std::vector<std::string> names = ListDir(folder + "/whole");
  EXPECT_EQ(ListDir(folder + "/killed"), names);
  for (const std::string& name : names)
    EXPECT_TRUE(ReadFile(folder + "/killed/" + name) == ReadFile(folder + "/whole/" + name))
        << name;
  return report.at("resumed");
}

TEST(ImportKill, EndsByteIdenticalToAnUndisturbedImport) {
  const int studies = FromEnvironment("VESALIUS_IMPORT_STUDIES", 400);
  const int kills = FromEnvironment("VESALIUS_IMPORT_KILLS", 6);
  const TempDir dir;
  const std::string& folder = dir.path();
  ExportPhantom(folder, studies);
  const auto start = Clock::now();
  const Outcome undisturbed = Shell(Line(folder, "whole"));
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  ASSERT_EQ(undisturbed.status, 0) << undisturbed.output;

  Random random(11, Purpose::kTest);
  std::int64_t resumed = 0;
  for (int landed = 0; landed < kills;) {
    const bool hit = StartAndKill(folder, seconds / 6, &random);
    landed += hit;
    if (hit) {
      EXPECT_TRUE(Exists(folder + "/killed/.import") || Exists(folder + "/killed/manifest.pb"));
      continue;
    }
    resumed += Compare(folder, studies);  // it was too quick for this kill: the rest of them anew
    RemoveTree(folder + "/killed");
    RemoveTree(folder + "/killed.json");
  }
  if (!Exists(folder + "/killed/manifest.pb") || Exists(folder + "/killed/.import")) {
    const Outcome last = Shell(Line(folder, "killed"));
    ASSERT_EQ(last.status, 0) << last.output;
  }
  resumed += Compare(folder, studies);
  EXPECT_GT(resumed, 0);
  EXPECT_TRUE(VerifyDataset(folder + "/killed").empty());
  std::printf("%d studies, undisturbed in %.1f s; %d kills\n", studies, seconds, kills);
}

// A report that could not be written is not lost with an import of hours.
TEST(ImportKill, TheReportComesBeforeTheEnd) {
  const TempDir dir;
  const std::string& folder = dir.path();
  ExportPhantom(folder, 70);
  MakeDirs(folder + "/killed.json");
  EXPECT_EQ(Shell(Line(folder, "killed")).status, 73);
  RemoveTree(folder + "/killed.json");
  const Outcome again = Shell(Line(folder, "killed"));
  ASSERT_EQ(again.status, 0) << again.output;
  EXPECT_EQ(nlohmann::json::parse(ReadFile(folder + "/killed.json")).at("resumed"), 71);
}

TEST(ImportKill, OtherOptionsOrInputAreNoticed) {
  const TempDir dir;
  const std::string& folder = dir.path();
  ExportPhantom(folder, 70);
  const std::string image = folder + "/in/images/p000001-s1-i1.png";
  const std::string bytes = ReadFile(image);
  // An import that stops half way: a worker's folder for its shard is a file in the way.
  MakeDirs(folder + "/killed/shard-00001.h5");
  const Outcome stopped = Shell(Line(folder, "killed"));
  ASSERT_EQ(stopped.status, 73) << stopped.output;
  ASSERT_TRUE(Exists(folder + "/killed/.import/part-00000.json"));
  ::rmdir((folder + "/killed/shard-00001.h5").c_str());

  Outcome other = Shell(Line(folder, "killed") + " --size 32");
  EXPECT_EQ(other.status, 65);
  EXPECT_NE(other.output.find("unfinished import with other options"), std::string::npos)
      << other.output;
  OutputFile changed(image);
  changed.Write(bytes + "x");
  changed.Close();
  other = Shell(Line(folder, "killed"));
  EXPECT_EQ(other.status, 65);
  EXPECT_NE(other.output.find("input that has changed since"), std::string::npos) << other.output;
  RemoveTree(folder + "/killed");
  EXPECT_EQ(Shell(Line(folder, "killed")).status, 0);
  EXPECT_EQ(Shell(Line(folder, "killed")).status, 73);  // complete: never overwritten
}

}  // namespace
}  // namespace vesalius::data
