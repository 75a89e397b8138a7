// `vesalius doctor` where ranks start, where they do not, and inside an allocation.
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/slurm/cluster.h"

namespace vesalius {
namespace {

using trainer::Json;

// What doctor says of `subject`: its level, and what it found.
std::pair<std::string, std::string> Said(const std::string& file, const std::string& subject) {
  for (const Json& line : Json::parse(ReadFile(file)))
    if (line.at("subject") == subject) return {line.at("level"), line.at("found")};
  return {"absent", ""};
}

TEST(DoctorTest, LaunchesThatWorkAndThatDoNot) {
  if (Shell("command -v mpirun").status != 0) GTEST_SKIP() << "there is no mpirun";
  const TempDir dir;
  const std::string words = StrCat("doctor --run ", dir.path(), " --json ", dir.path(), "/f.json");
  const Outcome good = Program(words);
  EXPECT_EQ(good.status, 0) << good.output;
  EXPECT_EQ(Said(dir.path() + "/f.json", "launches").first, "ok") << good.output;
  EXPECT_EQ(Said(dir.path() + "/f.json", "ports").first, "ok") << good.output;
  EXPECT_EQ(Said(dir.path() + "/f.json", "shared folder").first, "ok") << good.output;
  EXPECT_THAT(Said(dir.path() + "/f.json", "nodes").second, testing::HasSubstr("1 pass"));

  // An mpirun that fails every second time.
  const std::string fake = dir.path() + "/bin/mpirun";
  MakeDirs(dir.path() + "/bin");
  WriteFileAtomic(fake, "#!/bin/sh\n[ -e " + dir.path() + "/odd ] && { rm " + dir.path() +
                            "/odd; echo ------- >&2; echo no slots >&2; exit 1; }\ntouch " +
                            dir.path() + "/odd\nPATH=${PATH#*:} exec mpirun \"$@\"\n");
  std::filesystem::permissions(fake, std::filesystem::perms::owner_all);
  const Outcome flaky = Shell("PATH=" + dir.path() + "/bin:$PATH\n" + ProgramLine(words));
  EXPECT_EQ(flaky.status, 79) << flaky.output;
  const auto launches = Said(dir.path() + "/f.json", "launches");
  EXPECT_EQ(launches.first, "BAD");
  EXPECT_THAT(launches.second, testing::HasSubstr("2 of 3"));
  EXPECT_THAT(launches.second, testing::HasSubstr("no slots"));
}

TEST(DoctorTest, TellsOfFewFiles) {
  const TempDir dir;
  const Outcome outcome =
      Shell("ulimit -n 200\n" +
            ProgramLine(StrCat("doctor --run ", dir.path(), " --json ", dir.path(), "/f.json")));
  EXPECT_EQ(outcome.status, 79) << outcome.output;
  EXPECT_EQ(Said(dir.path() + "/f.json", "open files").first, "BAD");
}

// What most users start with is a soft limit, which the program raises by itself.
TEST(DoctorTest, ASoftLimitIsNoTrouble) {
  const TempDir dir;
  const Outcome outcome =
      Shell("ulimit -Sn 1024\n" +
            ProgramLine(StrCat("doctor --run ", dir.path(), " --json ", dir.path(), "/f.json")));
  EXPECT_EQ(Said(dir.path() + "/f.json", "open files").first, "ok") << outcome.output;
}

TEST(DoctorSlurmTest, InAnAllocation) {
  VESALIUS_NEEDS_SLURM();
  const Cluster cluster;
  const TempDir dir;
  const Outcome outcome = cluster.Shell(
      "salloc --nodes=3 --ntasks-per-node=2 " +
      ProgramLine(StrCat("doctor --run ", dir.path(), " --json ", dir.path(), "/f.json")));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  const auto said = [&](const char* subject) { return Said(dir.path() + "/f.json", subject); };
  EXPECT_EQ(said("launches").first, "ok") << outcome.output;
  EXPECT_THAT(said("names").second, testing::HasSubstr("6 ranks on 3 node(s)"));
  EXPECT_THAT(said("nodes").second, testing::HasSubstr("3 pass"));
  EXPECT_EQ(said("PMIx fence").second, "ring");
  EXPECT_EQ(said("shared folder").first, "ok");
  EXPECT_EQ(said("KillWait").first, "note") << "8 s here";
}

}  // namespace
}  // namespace vesalius
