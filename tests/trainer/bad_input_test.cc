// Wrong words, damaged or missing input, output that cannot be written, met by the program as
// people run it: a clear message with path and remedy, the exit code of the table, and nothing left
// behind that passes for complete.
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// A data set and a finished run, made once.
struct Given : Training {
  Given() {
    const Outcome outcome = Run("trained", kAlone, Steps(6));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
  }
};

const Given& Data() {
  static const Given given;
  return given;
}

// A copy of the data set to damage.
std::string DamagedCopy(const std::string& name) {
  const std::string copy = Data().folder() + "/" + name;
  EXPECT_EQ(Shell("cp -r " + Data().data() + " " + copy).status, 0);
  return copy;
}

std::string Pretrain(const std::string& data, const std::string& run, const std::string& more) {
  return StrCat("pretrain --preset tiny --data ", data, " --run ", run, " --set trainer.threads=1 ",
                more);
}

// The program must end with `status`, say all `words`, and leave no `path`.
void ExpectRefusal(const std::string& line, int status, const std::vector<std::string>& words,
                   const std::string& path = "") {
  const Outcome outcome = Shell(line);
  EXPECT_EQ(outcome.status, status) << line << "\n" << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("vesalius: ")) << line;
  for (const std::string& word : words) EXPECT_THAT(outcome.output, HasSubstr(word)) << line;
  EXPECT_FALSE(!path.empty() && Exists(path)) << line << "\nleft " << path;
}

void ExpectConfigRefusal(const std::string& more, const std::vector<std::string>& words) {
  const std::string run = Data().run("never");
  const std::string arguments = Pretrain(Data().data(), run, more);
  ExpectRefusal(ProgramLine(arguments), 78, words, run);
  ExpectRefusal(ProgramLine(arguments + " --check"), 78, words, run);
}

TEST(BadConfigTest, MisspeltKeysAreRefusedWithTheNearest) {
  ExpectConfigRefusal("--set trainer.stepz=3", {"trainer.stepz", "did you mean 'trainer.steps'?"});
  ExpectConfigRefusal("--set model.txt.width=3", {"model.txt.width", "'model.text.width'"});
  ExpectConfigRefusal("--set trainer=3", {"'trainer'"});
  ExpectConfigRefusal("--set trainer.lr", {"trainer.lr", "key=value"});
  const std::string file = Data().folder() + "/mine.txtpb";
  WriteFileAtomic(file, "trainer { steps: 3\n  lrr: 1 }\n");
  ExpectRefusal(ProgramLine(StrCat("pretrain --config ", file, " --data ", Data().data(), " --run ",
                                   Data().run("never"))),
                78, {file, "line 2", "lrr", "did you mean 'lr'?"}, Data().run("never"));
  ExpectRefusal(ProgramLine(StrCat("pretrain --preset tinny --data ", Data().data(), " --run ",
                                   Data().run("never"))),
                78, {"'tinny'", "did you mean 'tiny'?"}, Data().run("never"));
}

TEST(BadConfigTest, ValuesOutOfRangeAreRefusedWithTheRange) {
  ExpectConfigRefusal("--set trainer.lr=-1", {"trainer.lr = -1", "out of range"});
  ExpectConfigRefusal("--set trainer.lr=nan", {"trainer.lr", "finite"});
  ExpectConfigRefusal("--set trainer.lr=fast", {"trainer.lr=fast", "not a double"});
  ExpectConfigRefusal("--set trainer.steps=0", {"trainer.steps = 0", "[1, "});
  ExpectConfigRefusal("--set trainer.keep=1", {"trainer.keep = 1", "[2, "});
  ExpectConfigRefusal("--set model.image_size=65", {"model.image_size", "multiple"});
  ExpectConfigRefusal("--set trainer.precision=half", {"trainer.precision", "float32, float64"});
  ExpectConfigRefusal("--set trainer.global_batch=4096", {"trainer.global_batch", "4096"});
}

TEST(BadConfigTest, FewerSamplesAStepThanRanksAreRefusedOnEveryRank) {
  const std::string arguments =
      Pretrain(Data().data(), Data().run("never"), "--set trainer.global_batch=1");
  ExpectRefusal(ProgramLine(arguments + " --local-ranks 2"), 78, {"trainer.global_batch", "ranks"});
  ExpectRefusal(ProgramLine(arguments, 2), 78, {"trainer.global_batch", "ranks"});
}

TEST(BadConfigTest, CheckStartsNothing) {
  const std::string run = Data().run("checked");
  const Outcome outcome = Program(Pretrain(Data().data(), run, "--set trainer.lr=0.25 --check"));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  for (const char* line : {"  lr: 0.25\n", "  global_batch: 8\n", "  beta2: 0.999\n", "seed: 1\n"})
    EXPECT_THAT(outcome.output, HasSubstr(line));
  EXPECT_THAT(outcome.output, HasSubstr("training samples, fingerprint "));
  EXPECT_FALSE(Exists(run));
  // What it printed is a configuration that means the same.
  WriteFileAtomic(run + ".txtpb", outcome.output);
  EXPECT_EQ(Program(StrCat("pretrain --check --config ", run, ".txtpb --data ", Data().data(),
                           " --run ", run))
                .output,
            outcome.output);
}

TEST(BadConfigTest, AGpuThatIsNotThereIsRefused) {
  if (Exists("/dev/nvidiactl") || Exists("/dev/dxg")) GTEST_SKIP() << "this machine has a GPU";
  const std::string run = Data().run("never");
  ExpectRefusal(ProgramLine(Pretrain(Data().data(), run, "--device cuda")), 78,
                {"no GPU", "--device cpu"}, run);
  ExpectRefusal(ProgramLine(Pretrain(Data().data(), run, "--device cuda"), 2), 78,
                {"no GPU", "--device cpu"}, run);
}

TEST(BadDataTest, WhatIsMissingIsNamed) {
  const std::string run = Data().run("never"), absent = Data().folder() + "/absent";
  ExpectRefusal(ProgramLine(Pretrain(absent, run, "")), 66, {absent, "does not exist"}, run);
  ExpectRefusal(ProgramLine(Pretrain(absent, run, ""), 2), 66, {absent}, run);
  const std::string shardless = DamagedCopy("shardless");
  RemoveTree(shardless + "/shard-00000.h5");
  ExpectRefusal(ProgramLine(Pretrain(shardless, run, "")), 66, {shardless + "/shard-00000.h5"},
                run);
  const std::string unpublished = DamagedCopy("unpublished");
  RemoveTree(unpublished + "/manifest.pb");
  ExpectRefusal(ProgramLine(Pretrain(unpublished, run, "")), 66, {unpublished + "/manifest.pb"},
                run);
  ExpectRefusal(ProgramLine(Pretrain(Data().data(), run, "--set data.vocab=" + absent)), 66,
                {absent}, run);
}

TEST(BadDataTest, ADamagedManifestIsRefused) {
  const std::string run = Data().run("never"), data = DamagedCopy("bad-manifest");
  FlipByte(data + "/manifest.pb", -40);
  const std::vector<std::string> words = {data + "/manifest.pb", "checksum", "copy the data set"};
  ExpectRefusal(ProgramLine(Pretrain(data, run, "")), 65, words, run);
  ExpectRefusal(ProgramLine(Pretrain(data, run, "--check")), 65, words, run);
  ExpectRefusal(ProgramLine("inspect " + data), 65, words);
  ExpectRefusal(ProgramLine(StrCat("evaluate --checkpoint ", Data().run("trained"), " --data ",
                                   data, " --json ", data, "/figures.json")),
                65, words, data + "/figures.json");
}

TEST(BadDataTest, AShardCutShortIsRefused) {
  const std::string run = Data().run("never"), data = DamagedCopy("cut");
  const std::string shard = data + "/shard-00000.h5";
  WriteFileAtomic(shard, ReadFile(shard).substr(0, 150000));
  ExpectRefusal(ProgramLine(Pretrain(data, run, "")), 65, {shard, "150000 bytes", "copy"}, run);
  ExpectRefusal(ProgramLine("inspect " + data), 65, {shard});
}

TEST(BadDataTest, DamagedRecordsLeaveTheirStepsOnEveryRankAlike) {
  const std::string data = DamagedCopy("damaged");
  const std::string shard = data + "/shard-00000.h5";
  const auto size = static_cast<std::int64_t>(FileSize(shard));
  for (int part = 2; part <= 6; ++part) FlipByte(shard, size * part / 8);
  const Outcome inspected = Program("inspect " + data);
  EXPECT_EQ(inspected.status, 65);
  EXPECT_THAT(inspected.output,
              AllOf(HasSubstr(shard), HasSubstr("record "), HasSubstr("damaged")));

  // One epoch and more, so that every readable record had its turn.
  const std::map<std::string, Launch> launches = {
      {"damaged-1", kAlone}, {"damaged-3", kThreeLocal}, {"damaged-2", kTwoMpi}};
  for (const auto& [name, launch] : launches) {
    const std::string run = Data().run(name);
    const Outcome outcome = Shell(
        Replace(Data().Line(name, launch, Steps(10)), "--data " + Data().data(), "--data " + data));
    ASSERT_EQ(outcome.status, 0) << outcome.output;
    std::string logs;  // the rank that met it says so in its own
    for (const std::string& file : ListDir(run))
      if (file.ends_with(".log")) logs += ReadFile(run + "/" + file);
    EXPECT_THAT(logs, AllOf(HasSubstr(shard), HasSubstr("record "))) << name;
  }
  double missing = 0;
  for (const Json& line : Metrics(Data().run("damaged-1"))) {
    missing += line.at("unreadable").get<double>();
    EXPECT_EQ(line.at("samples").get<int>() % 8, 0) << "the order shifted";
  }
  EXPECT_GE(missing, 1);
  EXPECT_LE(missing, 10);
  ExpectNearMetrics(Data().run("damaged-3"), Data().run("damaged-1"), 1e-4);
  ExpectNearMetrics(Data().run("damaged-2"), Data().run("damaged-1"), 1e-4);
  // Past the limit all ranks stop, and say why.
  const Outcome stopped =
      Shell(Replace(Data().Line("limited", kTwoMpi, Steps(10) + "--set data.max_unreadable=0"),
                    "--data " + Data().data(), "--data " + data));
  EXPECT_EQ(stopped.status, 65);
  EXPECT_THAT(stopped.output, AllOf(HasSubstr("data.max_unreadable = 0"), HasSubstr(data)));
}

TEST(BadOutputTest, ARunFolderThatCannotBeMadeIsNamed) {
  for (const int ranks : {0, 2}) {
    ExpectRefusal(ProgramLine(Pretrain(Data().data(), "/proc/vesalius-run", ""), ranks), 73,
                  {"/proc/vesalius-run"});
  }
  const std::string file = Data().folder() + "/a-file";
  WriteFileAtomic(file, "mine\n");
  ExpectRefusal(ProgramLine(Pretrain(Data().data(), file + "/run", "")), 73, {file + "/run"});
  EXPECT_EQ(ReadFile(file), "mine\n");
}

// Every write beyond 512 KiB of a file fails, as on a full disk.
std::string WithSmallFiles(const std::string& line) {
  return "trap '' XFSZ; ulimit -f 1024; " + line;
}

TEST(BadOutputTest, ACheckpointThatDoesNotFitIsNotCommitted) {
  for (const char* ranks : {"", " --local-ranks 2"}) {
    const std::string run = Data().run(StrCat("full-", *ranks == '\0' ? 1 : 2));
    const std::string more = StrCat(Steps(4), "--set trainer.checkpoint_every=2", ranks);
    ExpectRefusal(WithSmallFiles(ProgramLine(Pretrain(Data().data(), run, more))), 77,
                  {"step 2", run + "/ckpt", ".shard"});
    EXPECT_TRUE(Committed(run).empty());
    EXPECT_FALSE(Exists(run + "/DONE"));
    EXPECT_TRUE(ListDir(run + "/ckpt").empty()) << "left " << ListDir(run + "/ckpt")[0];
  }
}

// A name for /dev/full: a link, so that a program that replaced it would do no harm.
const std::string& FullDevice() {
  static const std::string link = [] {
    const std::string path = Data().folder() + "/full";
    std::filesystem::create_symlink("/dev/full", path);
    return path;
  }();
  return link;
}

TEST(BadOutputTest, FiguresThatCannotBeWrittenAreAnError) {
  const std::string evaluate = StrCat("evaluate --checkpoint ", Data().run("trained"), " --data ",
                                      Data().data(), " --split test --json ");
  ExpectRefusal(ProgramLine(evaluate + FullDevice()), 73, {FullDevice(), "No space left"});
  const std::string nowhere = Data().folder() + "/nowhere";
  ExpectRefusal(ProgramLine(evaluate + nowhere + "/figures.json"), 73, {nowhere + "/figures.json"},
                nowhere);
  ExpectRefusal(ProgramLine(evaluate + "/proc/figures.json"), 73, {"/proc/figures.json"});
  ExpectRefusal(ProgramLine(evaluate + Data().folder() + "/f.json > /dev/full"), 73,
                {"standard output"});
  ExpectRefusal(ProgramLine("inspect " + Data().run("trained") + " --json " + FullDevice()), 73,
                {FullDevice()});
}

TEST(BadOutputTest, ExportsThatCannotBeWrittenAreAnError) {
  const std::string from = "export --checkpoint " + Data().run("trained") + " --out ";
  ExpectRefusal(ProgramLine(from + "/proc/exported"), 73, {"/proc/exported"});
  const std::string out = Data().folder() + "/exported";
  ExpectRefusal(WithSmallFiles(ProgramLine(from + out)), 73, {out}, out + "/model.safetensors");
  for (const std::string& name : Exists(out) ? ListDir(out) : std::vector<std::string>())
    EXPECT_THAT(name, Not(HasSubstr(".tmp"))) << "left behind";
}

TEST(BadOutputTest, ADataSetThatDoesNotFitIsNotPublished) {
  const std::string out = Data().folder() + "/too-large";
  ExpectRefusal(WithSmallFiles(ProgramLine("phantom --samples 300 --size 128 --out " + out)), 73,
                {out}, out + "/manifest.pb");
  ExpectRefusal(ProgramLine("phantom --samples 4 --out /proc/phantom"), 73, {"/proc/phantom"});
}

std::string Embed(const std::string& input, const std::string& out) {
  return ProgramLine(
      StrCat("embed --checkpoint ", Data().run("trained"), " ", input, " --out ", out));
}

TEST(BadInputTest, ImagesThatCannotBeReadAreNamed) {
  const std::string folder = Data().folder(), list = folder + "/images.txt",
                    out = folder + "/images.safetensors";
  ASSERT_EQ(Program(StrCat("inspect ", Data().data(), " --pictures ", folder, "/pictures")).status,
            0);
  const std::vector<std::string> pictures = ListDir(folder + "/pictures");
  ASSERT_FALSE(pictures.empty());
  const std::string picture = folder + "/pictures/" + pictures[0];
  WriteFileAtomic(list, StrCat(picture, "\n", folder, "/absent.png\n"));
  ExpectRefusal(Embed("--images " + list, out), 66, {folder + "/absent.png"}, out);
  const std::string content = ReadFile(picture);
  WriteFileAtomic(folder + "/cut.png", content.substr(0, content.size() / 2));
  WriteFileAtomic(list, StrCat(picture, "\n", folder, "/cut.png\n"));
  ExpectRefusal(Embed("--images " + list, out), 65, {folder + "/cut.png"}, out);
  WriteFileAtomic(folder + "/text.png", "not an image");
  WriteFileAtomic(list, folder + "/text.png\n");
  ExpectRefusal(Embed("--images " + list, out), 65, {folder + "/text.png"}, out);
  WriteFileAtomic(list, "");
  ExpectRefusal(Embed("--images " + list, out), 65, {list, "no lines"}, out);
  ExpectRefusal(Embed("--images " + folder + "/no-list", out), 66, {folder + "/no-list"}, out);
  WriteFileAtomic(list, picture + "\n");
  ExpectRefusal(Embed("--images " + list, folder + "/nowhere/x"), 73, {folder + "/nowhere/x"});
  ExpectRefusal(Embed("--images " + list, FullDevice()), 73, {FullDevice(), "No space left"});
  EXPECT_TRUE(std::filesystem::is_symlink(FullDevice())) << "a file took the device's place";
  EXPECT_EQ(Shell(Embed("--images " + list, out)).status, 0) << "the good picture was at fault";
}

TEST(BadInputTest, CheckpointsThatAreNotThereAreNamed) {
  const std::string absent = Data().folder() + "/absent", out = Data().folder() + "/absent-out";
  ExpectRefusal(ProgramLine(StrCat("export --checkpoint ", absent, " --out ", out)), 66, {absent},
                out);
  ExpectRefusal(ProgramLine(StrCat("evaluate --checkpoint ", Data().data(), " --data ",
                                   Data().data(), " --json ", out)),
                66, {Data().data()}, out);
}

TEST(BadInputTest, ADamagedCheckpointIsNotExported) {
  const std::string copy = Data().folder() + "/bad-step", out = Data().folder() + "/bad-out";
  ASSERT_EQ(Shell(StrCat("cp -r ", NewestCheckpoint(Data().run("trained")), " ", copy)).status, 0);
  FlipByte(copy + "/rank-0000.shard", 4096);
  for (const std::string& line :
       {StrCat("export --checkpoint ", copy, " --out ", out), "inspect " + copy})
    ExpectRefusal(ProgramLine(line), 65, {copy + "/rank-0000.shard"}, out);
}

}  // namespace
}  // namespace vesalius::trainer
