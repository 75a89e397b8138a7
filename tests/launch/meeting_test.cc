// Agents that talk over loopback: what a stranger gets, who finds whom, slots that are copied
// whole.
#include "launch/agent/meeting.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "launch/agent/slots.h"
#include "tests/util/message_of.h"
#include "tests/util/temp_dir.h"

namespace vesalius::launch {
namespace {

Order Echo(const Report& report) {
  Order order;
  order.attempt = report.attempt + 1;
  order.duty = Duty::kRun;
  order.nodes = {"a", "b"};
  order.at_once = true;
  return order;
}

void WriteSlot(const std::string& folder, const std::string& stem, const std::string& content) {
  WriteFileAtomic(folder + "/" + stem + ".shard", content);
  WriteFileAtomic(folder + "/" + stem + ".part", "part of " + content);
}

TEST(MeetingTest, ReportsAndOrdersCross) {
  const TempDir dir;
  const auto service = Service::Open("token", dir.path(), Echo);
  Line line(service->address(), "token");
  Report report;
  report.node = "b";
  report.attempt = 4;
  report.ranks.resize(2);
  report.ranks[1].inside[3] = 2.5;
  report.ranks[1].waiting_name = "gradients";
  report.ranks[1].error = "no UTF-8: \xf6";
  const auto order = line.Tell(report);
  ASSERT_TRUE(order);
  EXPECT_EQ(order->attempt, 5);
  EXPECT_EQ(order->duty, Duty::kRun);
  EXPECT_EQ(order->nodes, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(order->at_once);
}

TEST(MeetingTest, AStrangerAndAStaleAgentAreRefusedAndChangeNothing) {
  const TempDir dir, theirs;
  bool heard = false;
  const auto service = Service::Open("new token", dir.path(), [&](const Report&) {
    heard = true;
    return Order();
  });
  WriteSlot(dir.path(), "rank-0000.a", "state");
  WriteSlot(theirs.path(), "rank-0001.a", "state");
  for (const char* token : {"old token", "", "new toke"}) {
    Line line(service->address(), token);
    EXPECT_THAT(MessageOf(ExitCode::kFenced, [&] { line.Tell({}); }),
                testing::HasSubstr("another launch"));
    line.FetchNewer(theirs.path());
    EXPECT_FALSE(line.Send(theirs.path(), ListSlots(theirs.path())[0]));
  }
  EXPECT_FALSE(heard);
  EXPECT_EQ(ListSlots(theirs.path()).size(), 1U);
  EXPECT_EQ(ListSlots(dir.path()).size(), 1U);
}

TEST(MeetingTest, OnlyTheUserReadsTheInvitationAndOnlyItsLaunchFollowsIt) {
  const TempDir dir;
  EXPECT_FALSE(FindInvitation(dir.path(), "job 7"));
  Publish(dir.path(), {"host:1", NewToken(), "7.0"});
  struct stat info {};
  ASSERT_EQ(::stat((dir.path() + "/agents.address").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_FALSE(FindInvitation(dir.path(), "6.0"));
  const auto found = FindInvitation(dir.path(), "7.0");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->address, "host:1");
  EXPECT_EQ(found->token.size(), 64U);
  EXPECT_NE(NewToken(), NewToken());
  Publish(dir.path(), {"host:2", NewToken(), ""});  // agents that were started by hand
  ASSERT_TRUE(FindInvitation(dir.path(), ""));
  EXPECT_FALSE(FindInvitation(dir.path(), "7.0"));
}

TEST(MeetingTest, AnAgentThatIsGoneIsNotWaitedFor) {
  const TempDir dir;
  auto service = Service::Open("token", dir.path(), Echo);
  Line line(service->address(), "token");
  EXPECT_TRUE(line.Tell({}));
  service.reset();
  EXPECT_FALSE(line.Tell({}));
}

TEST(SlotsTest, AreCopiedWholeAndOnlyNewerOnes) {
  const TempDir here, there;
  const auto service = Service::Open("token", there.path(), Echo);
  Line line(service->address(), "token");
  const std::string large(5'000'000, 'x');
  WriteSlot(here.path(), "rank-0000.a", large);
  ASSERT_TRUE(line.Send(here.path(), ListSlots(here.path())[0]));
  EXPECT_EQ(ReadFile(there.path() + "/rank-0000.a.shard"), large);
  EXPECT_EQ(ReadFile(there.path() + "/rank-0000.a.part"), "part of " + large);

  WriteSlot(there.path(), "rank-0001.b", "theirs");
  WriteSlot(there.path(), "rank-0000.a", "newer");
  line.FetchNewer(here.path());
  EXPECT_EQ(ReadFile(here.path() + "/rank-0001.b.shard"), "theirs");
  EXPECT_EQ(ReadFile(here.path() + "/rank-0000.a.shard"), "newer");

  WriteFileAtomic(there.path() + "/rank-0002.a.shard", "being staged, no part yet");
  line.FetchNewer(here.path());
  EXPECT_FALSE(Exists(here.path() + "/rank-0002.a.shard"));
  for (const std::string& name : ListDir(here.path())) EXPECT_NE(name[0], '.') << name;
}

TEST(SlotsTest, ASlotThatIsStagedIntoMeanwhileIsNotCopied) {
  const TempDir here, there;
  const auto service = Service::Open("token", there.path(), Echo);
  WriteSlot(here.path(), "rank-0000.a", "old");
  const Slot old = ListSlots(here.path())[0];
  WriteSlot(here.path(), "rank-0000.a", "new");
  EXPECT_FALSE(Line(service->address(), "token").Send(here.path(), old));
  EXPECT_TRUE(ListSlots(there.path()).empty());
}

TEST(SlotsTest, NothingLeadsOutOfTheFolder) {
  const TempDir dir;
  for (const char* stem : {"../x.a", "rank-.a", "rank-1/../../x.a", "rank-0001.c", ""})
    EXPECT_THAT(MessageOf(ExitCode::kInvalidData,
                          [&] {
                            SlotWriter(dir.path(), {stem, 1});
                          }),
                testing::HasSubstr("no slot"));
}

}  // namespace
}  // namespace vesalius::launch
