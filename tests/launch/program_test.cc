// The program itself, as a shell sees it: exit codes and messages of everything that needs no
// model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tests/util/program.h"
#include "tests/util/temp_dir.h"

namespace vesalius {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// A vocab.txt in `folder`; its path.
std::string Vocabulary(const std::string& folder) {
  const std::string path = folder + "/vocab.txt";
  WriteFileAtomic(path, "[PAD]\n[UNK]\n[CLS]\n[SEP]\nclear\nlung\n##s\n.\n");
  return path;
}

TEST(ProgramTest, HelpIsOutputAndNoSubcommandIsAnError) {
  for (const char* words : {"help", "--help", "-h"}) {
    const Outcome outcome = Program(words);
    EXPECT_EQ(outcome.status, 0);
    EXPECT_THAT(outcome.output, HasSubstr("pretrain"));
  }
  EXPECT_EQ(Program("help tokenize").output, Program("tokenize --vocab --help").output);
  EXPECT_EQ(Program("").status, 64);
  EXPECT_EQ(Program("> /dev/null").output.substr(0, 9), "vesalius:") << "not on standard error";
}

TEST(ProgramTest, MisspeltWordsAreRefusedWithTheNearest) {
  Outcome outcome = Program("pretrian --data x");
  EXPECT_EQ(outcome.status, 64);
  EXPECT_THAT(outcome.output, HasSubstr("did you mean 'pretrain'?"));
  outcome = Program("import pair --in x --out y");
  EXPECT_EQ(outcome.status, 64);
  EXPECT_THAT(outcome.output, HasSubstr("did you mean 'pairs'?"));
  outcome = Program("evaluate --chekpoint x --data y");
  EXPECT_EQ(outcome.status, 64);
  EXPECT_THAT(outcome.output, HasSubstr("did you mean '--checkpoint'?"));
}

TEST(ProgramTest, ChoicesBetweenFlagsAreChecked) {
  EXPECT_EQ(Program("pretrain --data x --run y").status, 64);
  EXPECT_EQ(Program("pretrain --preset demo --config f --data x --run y").status, 64);
  EXPECT_EQ(Program("embed --checkpoint x --out y").status, 64);
  EXPECT_EQ(Program("embed --checkpoint x --out y --images a --texts b").status, 64);
}

TEST(ProgramTest, LaunchChecksItsWordsBeforeItStartsAnything) {
  const TempDir dir;
  const std::string a = dir.path() + "/a", b = dir.path() + "/b";
  const std::string words = StrCat(" -- pretrain --preset tiny --data missing --run ", a, " ");
  for (const char* flags : {"--nodes 2 --ranks 2 --no-mpi --node 2", "--no-mpi --node -1"}) {
    const Outcome outcome = Program(StrCat("launch ", flags, words));
    EXPECT_EQ(outcome.status, 64);
    EXPECT_THAT(outcome.output, HasSubstr("numbered from 0"));
  }
  const Outcome ranks = Program(StrCat("launch --no-mpi", words, "--local-ranks 2"));
  EXPECT_EQ(ranks.status, 64);
  EXPECT_THAT(ranks.output, HasSubstr("launch starts the ranks itself"));
  EXPECT_EQ(Program(StrCat("launch --no-mpi", words, "--sett a=b")).status, 64);
  // The last folder counts, for the agent as for the ranks.
  EXPECT_EQ(Program(StrCat("launch --no-mpi", words, "--run ", b)).status, 66);
  EXPECT_FALSE(Exists(a));
  EXPECT_TRUE(Exists(b + "/failure.json"));
}

TEST(ProgramTest, AChainDoesNotGoBackToAStepOfItsOwnInEachJob) {
  const TempDir dir;
  const std::string step = dir.path() + "/run/ckpt/step-00000010";
  MakeDirs(step);
  const auto submit = [&](const std::string& generations) {
    return Program(StrCat("submit --dry-run --time 60 --generations ", generations,
                          " -- pretrain --preset tiny --data missing --run ", dir.path(),
                          "/run --resume ", step, "/"));
  };
  EXPECT_EQ(submit("1").status, 0);
  const Outcome chain = submit("2");
  EXPECT_EQ(chain.status, 64);
  EXPECT_THAT(chain.output, HasSubstr("--generations 1"));
}

TEST(ProgramTest, VersionNamesWhatItStandsOn) {
  const Outcome outcome = Program("version");
  EXPECT_EQ(outcome.status, 0);
  for (const char* word : {"vesalius", "LibTorch  2.", "MPI", "HDF5      1.", "CUDA"})
    EXPECT_THAT(outcome.output, HasSubstr(word));
}

TEST(ProgramTest, OutputThatCannotBeWrittenIsReported) {
  for (const char* where : {"> /dev/full", ">&-"}) {
    const Outcome outcome = Program(std::string("version ") + where);
    EXPECT_EQ(outcome.status, 73) << where;
    EXPECT_THAT(outcome.output, HasSubstr("standard output")) << where;
  }
  // The reader leaves before anything is written to it.
  const Outcome outcome =
      Shell("{ sleep 0.2; \"$VESALIUS_PROGRAM\" version; echo status $? >&2; } | true");
  EXPECT_THAT(outcome.output, HasSubstr("status 73"));
}

TEST(ProgramTest, AGpuThatIsNotThereIsAConfigurationError) {
  if (Exists("/dev/nvidiactl") || Exists("/dev/dxg")) GTEST_SKIP() << "this machine has a GPU";
  const Outcome outcome = Program("pretrain --preset demo --data x --run y --device cuda --check");
  EXPECT_EQ(outcome.status, 78);
  EXPECT_THAT(outcome.output, HasSubstr("no GPU"));
}

TEST(ProgramTest, InspectNamesWhatItCannotRead) {
  const TempDir dir;
  EXPECT_EQ(Program("inspect " + dir.path() + "/absent").status, 66);
  const Outcome outcome = Program("inspect " + Vocabulary(dir.path()));
  EXPECT_EQ(outcome.status, 65);
  EXPECT_THAT(outcome.output, HasSubstr(dir.path() + "/vocab.txt"));
}

TEST(ProgramTest, BenchDataNamesTheLimit) {
  const TempDir dir;
  const std::string set = dir.path() + "/set", json = dir.path() + "/found.json";
  ASSERT_EQ(Program("phantom --out " + set + " --samples 40 --size 32").status, 0);
  const Outcome outcome = Program("bench-data --data " + set + " --json " + json);
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  const auto found = nlohmann::json::parse(ReadFile(json));
  for (const char* stage : {"disk", "cached", "decode", "augment", "loader"})
    EXPECT_GT(found["samples_per_s"][stage].get<double>(), 0) << stage;
  const std::string limit = found["limit"];
  EXPECT_THAT(outcome.output, HasSubstr("the limit is " + limit));
  const auto seconds = [&](const char* stage) {
    return 1 / found["samples_per_s"][stage].get<double>();
  };
  const double decoding = seconds("decode") + seconds("augment");
  EXPECT_EQ(limit == "disk", seconds("disk") > decoding);
  EXPECT_EQ(Program("bench-data --data " + dir.path() + "/absent").status, 66);
}

TEST(ProgramTest, TokenizesTextsAndPairs) {
  const TempDir dir;
  const std::string vocab = Vocabulary(dir.path());
  WriteFileAtomic(dir.path() + "/in", "\"Clear lungs.\"\n[\"lung\", \"clear zz\"]\n\"\"\n");
  EXPECT_EQ(Program("tokenize --vocab " + vocab + " < " + dir.path() + "/in").output,
            "[2,4,5,6,7,3]\n[2,5,3,4,1,3]\n[2,3]\n");
  EXPECT_EQ(Program("tokenize --bare --vocab " + vocab + " < " + dir.path() + "/in").output,
            "[4,5,6,7]\n[5,4,1]\n[]\n");
}

TEST(ProgramTest, TokenizeNamesTheBadLine) {
  const TempDir dir;
  const std::string vocab = Vocabulary(dir.path());
  for (const char* bad :
       {"clear", "[\"a\"]", "[\"a\", 1]", "{}", "", "\"a\" \"b\"", "\"\\ud800\"", "\"\xff\""}) {
    WriteFileAtomic(dir.path() + "/in", std::string("\"lung\"\n") + bad + "\n\"lung\"\n");
    const Outcome outcome = Program("tokenize --vocab " + vocab + " < " + dir.path() + "/in");
    EXPECT_EQ(outcome.status, 65) << bad;
    EXPECT_THAT(outcome.output, HasSubstr("line 2:")) << bad;
    EXPECT_THAT(outcome.output, StartsWith("[2,5,3]\n")) << bad;
    EXPECT_THAT(outcome.output, Not(HasSubstr("]\n[2,5,3]"))) << bad;
  }
  EXPECT_EQ(Program("tokenize --vocab " + dir.path() + "/absent < /dev/null").status, 66);
}

}  // namespace
}  // namespace vesalius
