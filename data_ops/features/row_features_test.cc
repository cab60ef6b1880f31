// SPDX-License-Identifier: Apache-2.0

#include "data_ops/features/row_features.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "data_ops/features/padded_row.h"
#include "data_ops/tokenizer/check.h"

namespace data_ops {
namespace {

using Ids = std::vector<int32_t>;
using Splits = std::vector<int64_t>;

const Ids kIds = {5, 6, 7, 8, 9};
const Splits kSplits = {0, 3, 3, 5};
const RaggedView kRows = {kIds.data(), kSplits.data(), 3};

TEST(RowsAreCutEndedAndPadded) {
  Ids ids(9, -1);
  PadRows(kRows, {3, 0, 1}, ids.data());
  CHECK_EQ(ids, Ids({5, 6, 1, 1, 0, 0, 8, 9, 1}));
  PadRows(kRows, {3, -7, {}}, ids.data());
  CHECK_EQ(ids, Ids({5, 6, 7, -7, -7, -7, 8, 9, -7}));
  Ids narrow(3, -1);
  PadRows(kRows, {1, 0, 1}, narrow.data());
  CHECK_EQ(narrow, Ids({1, 1, 1}));
}

TEST(ChosenRowsComeInTheOrderAsked) {
  const Splits chosen = {2, -1, 0, 2};
  Ids ids(12, -1);
  PadChosenRows(kRows, chosen.data(), chosen.size(), {3, 0, 1}, ids.data());
  CHECK_EQ(ids, Ids({8, 9, 1, 0, 0, 0, 5, 6, 1, 8, 9, 1}));
}

// Padding is written in lines of 16 ids: every length around one and two lines,
// and not an id beyond.
TEST(PaddingIsWhole) {
  for (int64_t length = 1; length <= 70; ++length) {
    Ids row(static_cast<size_t>(length) + 20, 9);
    CHECK_EQ(WritePaddedRow(kIds.data(), 1, {length, 3, {}}, row.data()), 1);
    Ids expected(static_cast<size_t>(length), 3);
    expected[0] = kIds[0];
    expected.resize(row.size(), 9);
    CHECK_EQ(row, expected);
  }
}

// Rows of whole lines, stored past the cache, are the same rows: every number
// of ids around the borders of lines, and the width itself.
TEST(StreamedRowsAreTheSame) {
  Ids ids(50);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = 100 + static_cast<int>(i);
  alignas(64) int32_t streamed[48 + 1], plain[48 + 1];
  for (const PaddedLayout& layout :
       {PaddedLayout{16, 3, 1}, PaddedLayout{16, 3, {}}, PaddedLayout{48, 0, 1},
        PaddedLayout{48, -7, {}}}) {
    CHECK(CanStream(layout, streamed));
    for (size_t count = 0; count <= ids.size(); ++count) {
      std::fill(std::begin(streamed), std::end(streamed), 9);
      std::fill(std::begin(plain), std::end(plain), 9);
      CHECK_EQ(StreamPaddedRow(ids.data(), count, layout, streamed),
               WritePaddedRow(ids.data(), count, layout, plain));
      FinishStreaming();
      CHECK(std::equal(std::begin(streamed), std::end(streamed), plain));
    }
  }
  CHECK(!CanStream({40, 0, 1}, streamed));
  CHECK(!CanStream({16, 0, 1}, streamed + 1));
}

TEST(TheDecoderReadsWhatCameBefore) {
  const Ids targets = {5, 1, 0, 7, 8, 1};
  Ids inputs(6, -1), weights(6, -1);
  WriteDecoderFeatures(targets.data(), 2, 3, inputs.data(), weights.data());
  CHECK_EQ(inputs, Ids({0, 5, 1, 0, 7, 8}));
  CHECK_EQ(weights, Ids({1, 1, 0, 1, 1, 1}));
}

TEST(TheBucketIsTheFirstThatFits) {
  const Splits widths = {4, 8, 8, 16};
  CHECK_EQ(LengthBucket(0, widths.data(), 4), 0u);
  CHECK_EQ(LengthBucket(4, widths.data(), 4), 0u);
  CHECK_EQ(LengthBucket(5, widths.data(), 4), 1u);
  CHECK_EQ(LengthBucket(16, widths.data(), 4), 3u);
  CHECK_EQ(LengthBucket(17, widths.data(), 4), 3u);
}

TEST(RowsAreSplit) {
  const auto splits_of = [](int64_t size) {
    const LargeArray<int64_t> splits = SplitRows(kRows, size);
    return Splits(splits.begin(), splits.end());
  };
  CHECK_EQ(splits_of(2), Splits({0, 2, 3, 5}));
  CHECK_EQ(splits_of(1), Splits({0, 1, 2, 3, 4, 5}));
  CHECK_EQ(splits_of(100), Splits({0, 3, 5}));
}

TEST(RowsAreTaken) {
  const Splits indices = {2, 0, 1, 2};
  const RaggedIds taken = TakeRows(kRows, indices.data(), indices.size());
  CHECK_EQ(Ids(taken.values.begin(), taken.values.end()),
           Ids({8, 9, 5, 6, 7, 8, 9}));
  CHECK_EQ(Splits(taken.row_splits.begin(), taken.row_splits.end()),
           Splits({0, 2, 5, 5, 7}));
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
