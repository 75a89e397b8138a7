// The loader: the same samples, pixels and texts whatever the ranks and workers; exact resume; what
// cannot be read; errors; small sets; clean ends.
#include "data/loader/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/hash.h"
#include "data/text/tokenizer.h"
#include "tests/data/loader_steps.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

TEST(Pipeline, SameBatchesWhateverRanksAndWorkers) {
  const auto data = Memory(47);
  data->SetPause(std::chrono::microseconds(300));  // rows end out of order
  PipelineOptions options = Augmented();
  options.workers = 0;
  constexpr int kSteps = 9;  // into the third epoch
  const std::vector<Step> expected = Collect(data, options, 1, kSteps);
  for (const Step& step : expected) EXPECT_EQ(step.size(), 10u);
  for (const int workers : {0, 1, 3}) {
    for (const int ranks : {1, 2, 3, 4}) {
      options.workers = workers;
      EXPECT_TRUE(Collect(data, options, ranks, kSteps) == expected)
          << ranks << " ranks, " << workers << " workers";
    }
  }
  options.seed = 6;
  EXPECT_FALSE(Collect(data, options, 1, kSteps) == expected);
}

// Shards give the same batches as the records that were written into them, read by several threads.
TEST(Pipeline, ShardsGiveWhatWasWritten) {
  const TempDir folder;
  const auto data = Memory(47);
  const Data stored = Stored(*data, folder.path() + "/set");
  ASSERT_EQ(stored->size(), 47);
  PipelineOptions options = Augmented();
  options.workers = 3;
  EXPECT_TRUE(Collect(stored, options, 2, 9) == Collect(data, options, 1, 9));
}

TEST(Pipeline, EpochsVisitEachSampleAtMostOnceAndDropTheTail) {
  PipelineOptions options = Augmented();
  const Data data = Memory(47);
  EXPECT_EQ(Pipeline({data}, options, {}).steps_per_epoch(), 4);
  const std::vector<Step> steps = Collect(data, options, 1, 8);
  std::map<std::int64_t, Sample> epoch[2];
  for (int step = 0; step < 8; ++step) {
    for (const auto& [id, sample] : steps[step]) {
      EXPECT_TRUE(epoch[step / 4].emplace(id, sample).second) << "sample " << id << " came twice";
    }
  }
  EXPECT_EQ(epoch[0].size(), 40u);
  EXPECT_EQ(epoch[1].size(), 40u);
  int same = 0;  // another epoch augments anew
  for (const auto& [id, sample] : epoch[0]) same += epoch[1].count(id) && epoch[1][id] == sample;
  EXPECT_EQ(same, 0);
}

// What does not fill a batch: a shorter one, or one whose last rows are zeros.
TEST(Pipeline, ShortAndPaddedTails) {
  const Data data = Memory(47);
  PipelineOptions options = Augmented();
  options.tail = Tail::kShort;
  EXPECT_EQ(Pipeline({data}, options, {}).steps_per_epoch(), 5);
  const std::vector<Step> steps = Collect(data, options, 1, 10);
  std::set<std::int64_t> epoch[2];
  for (int step = 0; step < 10; ++step) {
    EXPECT_EQ(steps[step].size(), step % 5 == 4 ? 7u : 10u);
    for (const auto& [id, sample] : steps[step])
      EXPECT_TRUE(epoch[step / 5].insert(id).second) << "sample " << id << " came twice";
  }
  EXPECT_EQ(epoch[0].size(), 47u);
  EXPECT_EQ(epoch[1].size(), 47u);
  for (const int ranks : {2, 3, 8}) EXPECT_TRUE(Collect(data, options, ranks, 10) == steps);

  options.tail = Tail::kPad;
  for (const int ranks : {1, 3, 8}) EXPECT_TRUE(Collect(data, options, ranks, 10) == steps);
  Pipeline pipeline({data}, options, {});
  for (int step = 0; step < 10; ++step) {
    const Batch batch = pipeline.Next();
    EXPECT_EQ(batch.rows, 10);
    EXPECT_EQ(batch.padding, step % 5 == 4 ? 3 : 0);
    EXPECT_EQ(batch.state.samples, 47 * (step / 5) + std::min(47, step % 5 * 10 + 10));
    EXPECT_EQ(batch.images.size(), 10u * 256);
    for (std::int64_t row = batch.rows - batch.padding; row < batch.rows; ++row) {
      EXPECT_EQ(batch.sample_ids[row], -1);
      for (int i = 0; i < 256; ++i) EXPECT_EQ(batch.images[row * 256 + i], 0);
      for (int r = 0; r < kRegions; ++r) EXPECT_EQ(batch.region_text[row * kRegions + r], -1);
      EXPECT_EQ(TextRow(batch.reports, row), (std::vector<std::int64_t>{2, 3}));  // [CLS] [SEP]
    }
  }
  // A set smaller than a batch.
  EXPECT_EQ(Collect(Memory(3), options, 2, 2)[1].size(), 3u);
}

TEST(Pipeline, ResumeEqualsUninterrupted) {
  const Data data = Memory(47);
  PipelineOptions options = Augmented();
  constexpr int kSteps = 10;
  LoaderState final_state;
  const std::vector<Step> whole = Collect(data, options, 1, kSteps, {}, &final_state);
  EXPECT_EQ(final_state.samples, kSteps * 10);
  for (int stop = 1; stop < kSteps; ++stop) {
    options.workers = stop % 3;
    LoaderState state, resumed_state;
    Collect(data, options, 1 + stop % 2, stop, {}, &state);
    state = ParseLoaderState(SerializeLoaderState(state));  // as a checkpoint stores it
    const std::vector<Step> rest =
        Collect(data, options, 1 + stop % 4, kSteps - stop, state, &resumed_state);
    EXPECT_TRUE(std::equal(rest.begin(), rest.end(), whole.begin() + stop))
        << "stopped at " << stop;
    EXPECT_EQ(SerializeLoaderState(resumed_state), SerializeLoaderState(final_state));
  }
}

TEST(Pipeline, ForeignStateIsRefused) {
  const auto data = Memory(47);
  PipelineOptions options = Augmented();
  LoaderState state;
  Collect(data, options, 1, 2, {}, &state);
  const auto refused = [&](const LoaderState& start, const PipelineOptions& with,
                           const std::string& word) {
    std::string message;
    EXPECT_EQ(CodeOf([&] { Pipeline({data}, with, start); }, &message), ExitCode::kConfig);
    EXPECT_NE(message.find(word), std::string::npos) << message;
  };
  PipelineOptions other = options;
  other.seed = 6;
  refused(state, other, "seed was 5, now it is 6");
  other = options;
  other.global_batch = 11;
  refused(state, other, "global batch was 10, now it is 11");
  LoaderState two = state;
  two.sources.push_back(two.sources[0]);
  refused(two, options, "number of data sets was 2");
  LoaderState outside = state;
  outside.sources[0].position = 48;
  refused(outside, options, "position 48");
  data->SetFingerprint("beef");
  refused(state, options, "fingerprint of memory was f00d, now it is beef");
}

TEST(Pipeline, DamagedRecordsOfAPaddedBatch) {
  const auto data = Memory(47);
  PipelineOptions options = Augmented(50);
  options.tail = Tail::kPad;
  data->Break(5);
  const Batch batch = Pipeline({data}, options, {}).Next();
  EXPECT_EQ(batch.rows, 49);
  EXPECT_EQ(batch.padding, 3);
  EXPECT_EQ(batch.unreadable, 1);
}

TEST(Pipeline, UnreadableRecordsLeaveTheirRows) {
  const auto whole = Memory(40), broken = Memory(40);
  const PipelineOptions options = Augmented(20);
  broken->Break(3);
  broken->Break(17);
  broken->SetMisshapen(30);
  const std::set<std::int64_t> bad = {3, 17, 30};
  std::vector<Step> expected = Collect(whole, options, 1, 2);
  std::size_t missing = 0;
  for (Step& step : expected)
    missing += std::erase_if(step, [&](auto& s) { return bad.contains(s.first); });
  EXPECT_EQ(missing, 3u);
  EXPECT_TRUE(Collect(broken, options, 1, 2) == expected);
  EXPECT_TRUE(Collect(broken, options, 3, 2) == expected);

  testing::internal::CaptureStderr();
  Pipeline pipeline({broken}, options, {});
  for (int epoch = 0; epoch < 2; ++epoch) {
    const Batch a = pipeline.Next(), b = pipeline.Next();
    EXPECT_EQ(a.unreadable + b.unreadable, 3);
    EXPECT_EQ(a.rows + a.unreadable, 20);
    EXPECT_EQ(a.images.size(), static_cast<std::size_t>(a.rows) * 256);
    EXPECT_EQ(a.reports.rows, a.rows);
    EXPECT_EQ(b.state.samples, 40 * (epoch + 1));  // they count as consumed
  }
  const std::string log = testing::internal::GetCapturedStderr();
  const std::size_t first = log.find("record 17 of memory cannot be read");
  ASSERT_NE(first, std::string::npos) << log;
  EXPECT_NE(log.find("record 17 is broken"), std::string::npos) << log;
  EXPECT_EQ(log.find("record 17 of memory cannot", first + 1), std::string::npos) << log;
}

TEST(Pipeline, ABatchMayLoseAllRows) {
  const auto data = Memory(4);
  for (int i = 0; i < 4; ++i) data->Break(i);
  Pipeline pipeline({data}, Augmented(4), {});
  const Batch batch = pipeline.Next();
  EXPECT_EQ(batch.rows, 0);
  EXPECT_EQ(batch.unreadable, 4);
  EXPECT_TRUE(batch.images.empty());
  EXPECT_EQ(batch.texts.rows, 0);
}

TEST(Pipeline, OtherErrorsSurface) {
  for (const int workers : {0, 1, 3}) {
    PipelineOptions options = Augmented(20);
    options.workers = workers;
    const auto data = Memory(40);
    const std::int64_t second = Collect(data, options, 1, 2)[1].begin()->first;
    data->Break(second, ExitCode::kInputMissing);
    Pipeline pipeline({data}, options, {});
    EXPECT_EQ(pipeline.Next().rows, 20);
    for (int again = 0; again < 2; ++again) {  // never skipped over
      EXPECT_EQ(CodeOf([&] { pipeline.Next(); }), ExitCode::kInputMissing);
    }
    const auto faulty = Memory(40);
    faulty->Break(second, ExitCode::kBug);
    Pipeline other({faulty}, options, {});
    other.Next();
    EXPECT_THROW(other.Next(), std::runtime_error);
  }
}

TEST(Pipeline, SmallSets) {
  std::string message;
  EXPECT_EQ(CodeOf([] { Pipeline({Memory(9)}, Augmented(10), {}); }, &message), ExitCode::kConfig);
  EXPECT_NE(message.find("lower trainer.global_batch"), std::string::npos) << message;
  EXPECT_EQ(CodeOf([] { Pipeline({}, Augmented(10), {}); }), ExitCode::kConfig);

  const std::vector<Step> steps = Collect(Memory(10), Augmented(10), 1, 3);
  for (const Step& step : steps) EXPECT_EQ(step.size(), 10u);
  // More ranks than samples: some have none, together they have all.
  EXPECT_TRUE(Collect(Memory(2), Augmented(2), 5, 3) == Collect(Memory(2), Augmented(2), 1, 3));
  EXPECT_TRUE(Collect(Memory(1), Augmented(1), 1, 3)[2].contains(0));
}

TEST(Pipeline, OptionsOutOfRangeAreRefused) {
  const auto refused = [](const std::function<void(PipelineOptions&)>& change) {
    PipelineOptions options = Augmented();
    change(options);
    EXPECT_EQ(CodeOf([&] { Pipeline({Memory(20)}, options, {}); }), ExitCode::kConfig);
  };
  refused([](auto& o) { o.global_batch = 0; });
  refused([](auto& o) { o.rank = 1; });
  refused([](auto& o) { o.workers = -1; });
  refused([](auto& o) { o.channels = 2; });
  refused([](auto& o) { o.std = 0; });
  refused([](auto& o) { o.rows_per_image = 30; });
  refused([](auto& o) { o.min_crop = 0; });
  refused([](auto& o) { o.report_length = 1; });
}

TEST(Pipeline, TextsAreDistinctAndConsistent) {
  const auto data = Memory(40);
  PipelineOptions options = Augmented(20);
  options.text_length = 7;
  Pipeline pipeline({data}, options, {});
  for (int step = 0; step < 4; ++step) {
    const Batch batch = pipeline.Next();
    ASSERT_EQ(static_cast<std::int64_t>(batch.signatures.size()), batch.texts.rows);
    ASSERT_GT(batch.texts.rows, 0);
    std::set<std::int64_t> hashes;
    std::size_t longest = 0;
    for (std::int64_t u = 0; u < batch.texts.rows; ++u) {
      EXPECT_TRUE(hashes.insert(batch.signatures[u].hash).second) << "a text twice";
      longest = std::max(longest, TextRow(batch.texts, u).size());
      EXPECT_EQ(batch.texts.ids[u * batch.texts.length], 2);  // [CLS]
    }
    EXPECT_EQ(static_cast<std::int64_t>(longest), batch.texts.length);
    EXPECT_LE(batch.texts.length, 7);
    std::set<std::int32_t> used;
    std::vector<bool> first(batch.texts.rows, true);
    for (std::int64_t row = 0; row < batch.rows; ++row) {
      int rows = 0;
      for (int r = 0; r < kRegions; ++r) {
        const std::int32_t text = batch.region_text[row * kRegions + r];
        if (text < 0) continue;
        ++rows;
        ASSERT_LT(text, batch.texts.rows);
        if (first[text]) {
          EXPECT_EQ(batch.signatures[text].region, r);
        }
        first[text] = false;
        used.insert(text);
      }
      EXPECT_LE(rows, 14);
    }
    EXPECT_EQ(static_cast<std::int64_t>(used.size()), batch.texts.rows);
  }
}

// Tokens are those of the text itself, so equal hashes mean equal ids on every rank.
TEST(Pipeline, TokensBelongToTheirHash) {
  const auto data = Memory(40);
  PipelineOptions options = Augmented(20);
  options.perturb = 0;
  const Tokenizer tokenizer(data->vocabulary().wordpieces);
  std::map<std::int64_t, std::vector<std::int64_t>> expected;
  for (const char* text : {"effusion in the right lung.", "no effusion in the right lung.",
                           "nodule in the right lung.", "no nodule in the right lung."}) {
    expected[static_cast<std::int64_t>(Hash64(text))] = tokenizer.EncodeWithSpecials(text);
  }
  Pipeline pipeline({data}, options, {});
  const Batch batch = pipeline.Next();
  int found = 0;
  for (std::int64_t u = 0; u < batch.texts.rows; ++u) {
    const auto at = expected.find(batch.signatures[u].hash);
    if (at == expected.end()) continue;
    ++found;
    EXPECT_EQ(TextRow(batch.texts, u), at->second);
  }
  EXPECT_GE(found, 3);
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    EXPECT_EQ(TextRow(batch.reports, row),
              tokenizer.EncodeWithSpecials(data->Get(batch.sample_ids[row]).report, 256));
  }
}

TEST(Pipeline, RegionsWithSentencesTakePartFirst) {
  const auto data = Memory(40);
  PipelineOptions options = Augmented(20);
  options.augment = false;
  for (const int limit : {0, 3, 14}) {
    options.rows_per_image = limit;
    Pipeline pipeline({data}, options, {});
    const Batch batch = pipeline.Next();
    std::set<std::set<int>> choices;
    for (std::int64_t row = 0; row < batch.rows; ++row) {
      const Record record = data->Get(batch.sample_ids[row]);
      int with = 0, without = 0, available = 0;
      std::set<int> chosen;
      for (int r = 0; r < kRegions; ++r) {
        available += !record.sentences[r].empty();
        if (batch.region_text[row * kRegions + r] < 0) continue;
        (record.sentences[r].empty() ? without : with)++;
        chosen.insert(r);
      }
      EXPECT_EQ(with, std::min(available, limit));
      EXPECT_EQ(with + without, limit);
      choices.insert(chosen);
    }
    if (limit > 0) {
      EXPECT_GT(choices.size(), 10u);
    }
  }
}

TEST(Pipeline, ARegionCroppedAwayHasNoText) {
  const auto data = Memory(40);
  PipelineOptions options = Augmented(20);
  options.rows_per_image = kRegions;
  options.min_crop = 0.5;
  Pipeline pipeline({data}, options, {});
  int lost = 0, invalid_with_text = 0;
  const Batch batch = pipeline.Next();
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    const Record record = data->Get(batch.sample_ids[row]);
    for (int r = 0; r < kRegions; ++r) {
      const std::int64_t at = row * kRegions + r;
      if (batch.box_valid[at]) continue;
      EXPECT_EQ(batch.boxes[at * 4 + 2], 0);
      if (record.box_valid[r]) {
        ++lost;
        EXPECT_EQ(batch.region_text[at], -1);
      } else {
        invalid_with_text += batch.region_text[at] >= 0;
      }
    }
  }
  EXPECT_GT(lost, 20);
  EXPECT_GT(invalid_with_text, 0);  // said of a region whose box nobody drew
}

TEST(Pipeline, RegionTextsCanBeSwitched) {
  const Data data = Memory(47);
  PipelineOptions options = Augmented();
  const std::vector<Step> with = Collect(data, options, 1, 6);
  options.region_texts = false;
  const std::vector<Step> without = Collect(data, options, 1, 6);
  for (const int workers : {0, 2}) {
    options.workers = workers;
    Pipeline pipeline({data}, options, {});
    for (int step = 0; step < 6; ++step) {
      if (step == 3) pipeline.SetRegionTexts(true);
      if (step == 5) pipeline.SetRegionTexts(false);
      Step got;
      const Batch batch = pipeline.Next();
      AddTo(got, batch);
      const bool texts = step == 3 || step == 4;
      EXPECT_TRUE(got == (texts ? with : without)[step]) << step;
      EXPECT_EQ(batch.texts.rows > 0, texts);
      EXPECT_EQ(batch.state.samples, 10 * (step + 1));
    }
  }
}

TEST(Pipeline, NoReports) {
  PipelineOptions options = Augmented();
  options.report_length = 0;
  Pipeline pipeline({Memory(20)}, options, {});
  const Batch batch = pipeline.Next();
  EXPECT_EQ(batch.reports.rows, batch.rows);
  EXPECT_EQ(batch.reports.length, 0);
  EXPECT_NE(batch.report_hash[0], 0);
}

TEST(Pipeline, EndsCleanlyAtAnyMoment) {
  const auto data = Memory(200);
  data->SetPause(std::chrono::microseconds(400));
  PipelineOptions options = Augmented(20);
  for (int trial = 0; trial < 60; ++trial) {
    options.workers = trial % 4;
    Pipeline pipeline({data}, options, {});
    for (int step = 0; step < trial % 3; ++step) pipeline.Next();
    if (trial % 5 == 0) pipeline.SetRegionTexts(false);
  }
}

TEST(Pipeline, SecondsAreCounted) {
  const auto data = Memory(40);
  data->SetPause(std::chrono::microseconds(2000));
  PipelineOptions options = Augmented(20);
  options.workers = 0;
  const Batch batch = Pipeline({data}, options, {}).Next();
  EXPECT_GT(batch.read_s, 0);
  EXPECT_GT(batch.decode_s, 0.002);
  EXPECT_GT(batch.augment_s, 0);
  EXPECT_GE(batch.wait_s, batch.read_s + batch.decode_s + batch.augment_s);
}

}  // namespace
}  // namespace vesalius::data
