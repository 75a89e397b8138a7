// The walk over a command line, in process: what is taken, what is refused and with which words.
#include "launch/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "launch/flags.h"

namespace vesalius::launch {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ExitCode g_result = ExitCode::kFinished;

Command Sample() {
  return {"sample",
          "a command for this test",
          "PATH",
          "vesalius sample",
          {{"out", "DIR", "", Flag::kRequired},
           {"local-ranks", "N", ""},
           {"seed", "S", ""},
           {"check", "", ""},
           {"device", "NAME", "", Flag::kOptional, {"auto", "cpu", "cuda"}},
           {"set", "KEY=VALUE", "", Flag::kRepeated}},
          [](const Arguments&) { return g_result; }};
}

// The message of the Error(kUsage) that `words` give.
std::string Refusal(const std::vector<std::string>& words) {
  try {
    ParseArguments(Sample(), words);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

class CliTest : public testing::Test {
  gflags::FlagSaver saver_;  // flags are global: back to what they were after each test
};

TEST_F(CliTest, TakesEveryForm) {
  const Arguments arguments =
      ParseArguments(Sample(), {"--out", "a b", "here", "--local_ranks=3", "--check", "--set",
                                "trainer.lr=1e-4", "--set=data.vocab=", "--device", "cpu"});
  EXPECT_EQ(FLAGS_out, "a b");
  EXPECT_EQ(FLAGS_local_ranks, 3);
  EXPECT_TRUE(FLAGS_check);
  EXPECT_EQ(FLAGS_device, "cpu");
  EXPECT_THAT(arguments.positional, ElementsAre("here"));
  EXPECT_THAT(arguments.repeated.at("set"), ElementsAre("trainer.lr=1e-4", "data.vocab="));
}

TEST_F(CliTest, DefaultsStayAndRepeatedFlagsMayBeAbsent) {
  const Arguments arguments = ParseArguments(Sample(), {"--out", "x", "here"});
  EXPECT_EQ(FLAGS_seed, 7u);
  EXPECT_FALSE(FLAGS_check);
  EXPECT_TRUE(arguments.repeated.at("set").empty());
}

TEST_F(CliTest, ANegativeValueIsAValueAndTwoDashesEndTheFlags) {
  const Arguments arguments = ParseArguments(
      Sample(), {"--local-ranks", "-2", "--out=x", "--check=false", "--", "--check"});
  EXPECT_EQ(FLAGS_local_ranks, -2);
  EXPECT_FALSE(FLAGS_check);
  EXPECT_THAT(arguments.positional, ElementsAre("--check"));
}

TEST_F(CliTest, NamesTheNearestFlag) {
  EXPECT_THAT(Refusal({"--otu", "x", "here"}), HasSubstr("did you mean '--out'?"));
  EXPECT_THAT(Refusal({"--local-rank=2", "--out=x", "here"}),
              HasSubstr("did you mean '--local-ranks'?"));
}

TEST_F(CliTest, RefusesFlagsOfOtherSubcommands) {
  EXPECT_THAT(Refusal({"--out", "x", "--samples", "3", "here"}), HasSubstr("no flag --samples"));
  EXPECT_THAT(Refusal({"--out", "x", "--logtostderr", "here"}), HasSubstr("no flag --logtostderr"));
}

TEST_F(CliTest, RefusesWrongValues) {
  EXPECT_THAT(Refusal({"--out=x", "--seed=-1", "here"}), HasSubstr("--seed wants a whole number"));
  EXPECT_THAT(Refusal({"--out=x", "--local-ranks", "2x", "here"}), HasSubstr("not '2x'"));
  EXPECT_THAT(Refusal({"--out=x", "--check=perhaps", "here"}), HasSubstr("true or false"));
  EXPECT_THAT(Refusal({"--out=x", "--device", "cudda", "here"}), HasSubstr("did you mean 'cuda'?"));
  EXPECT_THAT(Refusal({"here", "--out"}), HasSubstr("--out wants a value"));
  EXPECT_THAT(Refusal({"here", "--out", "--check"}), HasSubstr("--out wants a value"));
}

TEST_F(CliTest, RefusesWhatIsMissingOrTooMuch) {
  EXPECT_THAT(Refusal({"--check"}), HasSubstr("needs --out, PATH"));
  EXPECT_THAT(Refusal({"--out", "x", "here", "there"}), HasSubstr("'there'"));
  EXPECT_THAT(Refusal({"-o", "x", "here"}), HasSubstr("two dashes"));
}

TEST_F(CliTest, EveryCommandExplainsItself) {
  for (const Command& command : Commands()) {
    const std::string help = Help(command, "PROGRAM");  // fails when a flag is not registered
    EXPECT_THAT(help, HasSubstr("usage: PROGRAM " + command.name));
    EXPECT_THAT(command.example, HasSubstr("vesalius " + command.name)) << command.name;
    EXPECT_THAT(Overview("PROGRAM"), HasSubstr(command.summary));
    for (const Flag& flag : command.flags) {
      EXPECT_FALSE(flag.help.empty()) << command.name << " --" << flag.name;
      EXPECT_THAT(help, HasSubstr("--" + flag.name));
    }
  }
}

}  // namespace
}  // namespace vesalius::launch
