// SPDX-License-Identifier: Apache-2.0

#include "data_ops/features/noise.h"

#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "data_ops/features/row_random.h"
#include "data_ops/tokenizer/check.h"

namespace data_ops {
namespace {

using Row = std::vector<int32_t>;
using Rows = std::vector<Row>;

constexpr SpanOptions kOptions = {0.15, 3, 99};

// Rows behind one another, and a view of them.
struct Flat {
  explicit Flat(const Rows& rows) {
    for (const Row& row : rows) {
      values.insert(values.end(), row.begin(), row.end());
      splits.push_back(static_cast<int64_t>(values.size()));
    }
  }
  RaggedView view() const {
    return {values.data(), splits.data(), splits.size() - 1};
  }

  Row values;
  std::vector<int64_t> splits = {0};
};

Rows ToRows(const RaggedIds& ids) {
  Rows rows;
  const RaggedView view = {ids.values.begin(), ids.row_splits.begin(),
                           ids.row_splits.size - 1};
  for (size_t i = 0; i < view.rows; ++i) {
    rows.emplace_back(view.row(i), view.row(i) + view.size(i));
  }
  return rows;
}

Row Counting(int32_t size) {
  Row row(static_cast<size_t>(size));
  std::iota(row.begin(), row.end(), 1000);
  return row;
}

// What was corrupted, from what became of it.
Row Restore(const Row& inputs, const Row& targets) {
  Row row;
  for (const int32_t id : inputs) {
    if (id >= 1000) {
      row.push_back(id);
      continue;
    }
    bool inside = false;
    for (const int32_t target : targets) {
      if (target < 1000) inside = target == id;
      if (inside && target >= 1000) row.push_back(target);
    }
  }
  return row;
}

TEST(RandomNumbersAreBelowTheirBoundAndDifferByRowAndStream) {
  std::map<uint64_t, int> seen;
  for (uint64_t row = 0; row < 200; ++row) {
    for (uint64_t stream = 0; stream < 3; ++stream) {
      RowRandom random(7, row, stream);
      ++seen[random.Below(uint64_t{1} << 60)];
      CHECK_EQ(random.Below(1), 0u);
      CHECK(random.Below(5) < 5);
    }
  }
  CHECK_EQ(seen.size(), 600u);
}

TEST(CountsAreThoseOfTensorFlowsArithmetic) {
  // 10 * 0.15 and 30 * 0.15 are halves in float, or nearly.
  const SpanCounts ten = CountSpans(10, kOptions);
  CHECK_EQ(ten.noise_tokens, 2u);
  CHECK_EQ(ten.spans, 1u);
  const SpanCounts many = CountSpans(512, kOptions);
  CHECK_EQ(many.noise_tokens, 77u);
  CHECK_EQ(many.spans, 26u);
  const SpanCounts two = CountSpans(2, kOptions);
  CHECK_EQ(two.noise_tokens, 1u);
  CHECK_EQ(two.spans, 1u);
  // More spans than there are tokens between them.
  const SpanCounts dense = CountSpans(10, {0.9, 1, 99});
  CHECK_EQ(dense.noise_tokens, 9u);
  CHECK_EQ(dense.spans, 1u);
}

TEST(EveryDivisionIsEquallyLikely) {
  // 6 items in 3 parts: 10 ways.
  std::map<std::vector<size_t>, int> seen;
  constexpr int kDraws = 20000;
  for (uint64_t row = 0; row < kDraws; ++row) {
    const auto parts = RandomParts(6, 3, 1, row, 0);
    CHECK_EQ(parts.size(), 3u);
    CHECK_EQ(std::accumulate(parts.begin(), parts.end(), size_t{0}), 6u);
    ++seen[parts];
  }
  CHECK_EQ(seen.size(), 10u);
  double chi_squared = 0;
  for (const auto& [parts, count] : seen) {
    chi_squared += (count - 2000.0) * (count - 2000.0) / 2000.0;
  }
  // 9 degrees of freedom: above 27.9 once in a thousand seeds.
  CHECK(chi_squared < 27.9);
}

TEST(CorruptionLosesNothingAndHasTheCountsPromised) {
  Rows rows;
  for (int32_t size = 2; size < 300; ++size) rows.push_back(Counting(size));
  const Flat flat(rows);
  auto made = CorruptSpans(flat.view(), kOptions, 3, 0, 1);
  CHECK(made.ok());
  const Rows inputs = ToRows(made.value().inputs);
  const Rows targets = ToRows(made.value().targets);
  for (size_t i = 0; i < rows.size(); ++i) {
    const SpanCounts counts = CountSpans(rows[i].size(), kOptions);
    CHECK_EQ(targets[i].size(), counts.noise_tokens + counts.spans);
    CHECK_EQ(targets[i].front(), 99);
    CHECK(inputs[i].front() >= 1000);
    CHECK(targets[i].back() >= 1000);
    CHECK_EQ(Restore(inputs[i], targets[i]), rows[i]);
  }
}

TEST(ShortRows) {
  const Flat flat({{}, {1000}});
  auto made = CorruptSpans(flat.view(), kOptions, 3, 0, 1);
  CHECK_EQ(ToRows(made.value().inputs), Rows({{}, {1000}}));
  CHECK_EQ(ToRows(made.value().targets), Rows({{}, {99}}));
}

TEST(ARowDependsOnItsNumberAloneAndNotOnThreads) {
  Rows rows(2000, Counting(100));
  const Flat all(rows), one({rows[0]});
  auto first = CorruptSpans(all.view(), kOptions, 5, 10, 1);
  auto again = CorruptSpans(all.view(), kOptions, 5, 10, 7);
  const Rows inputs = ToRows(first.value().inputs);
  CHECK_EQ(inputs, ToRows(again.value().inputs));
  CHECK(inputs[0] != inputs[1]);
  auto alone = CorruptSpans(one.view(), kOptions, 5, 10 + 1234, 1);
  CHECK_EQ(ToRows(alone.value().inputs)[0], inputs[1234]);
  auto other_seed = CorruptSpans(all.view(), kOptions, 6, 10, 1);
  CHECK(ToRows(other_seed.value().inputs) != inputs);
}

TEST(OptionsOutOfRange) {
  const Flat flat({Counting(100)});
  for (const SpanOptions& options :
       {SpanOptions{0, 3, 99}, SpanOptions{1, 3, 99}, SpanOptions{0.1, 0, 99},
        SpanOptions{0.15, 3, 1}, SpanOptions{0.15, 3, -1}}) {
    const auto made = CorruptSpans(flat.view(), options, 1, 0, 1);
    CHECK_EQ(made.status().code(), StatusCode::kInvalidArgument);
  }
  CHECK(!LongestRow(1, kOptions).ok());
}

TEST(LongestRowsAreT5s) {
  // From the t5 package: 512 -> (568, 114), as in every T5 ever pre-trained.
  const auto lengths = LongestRow(512, kOptions);
  CHECK_EQ(lengths.value().tokens, 568);
  CHECK_EQ(lengths.value().targets, 114);
}

TEST(PrefixesAreUniformAndLoseNothing) {
  const Rows rows(4000, Counting(5));
  const Flat flat(rows);
  const InputsAndTargets made = SplitPrefixes(flat.view(), 1, 0);
  const Rows inputs = ToRows(made.inputs), targets = ToRows(made.targets);
  std::map<size_t, int> sizes;
  for (size_t i = 0; i < rows.size(); ++i) {
    ++sizes[inputs[i].size()];
    Row whole = inputs[i];
    whole.insert(whole.end(), targets[i].begin(), targets[i].end());
    CHECK_EQ(whole, rows[i]);
  }
  CHECK_EQ(sizes.size(), 4u);
  for (const auto& [size, count] : sizes) {
    CHECK(size >= 1 && size <= 4);
    CHECK(count > 850 && count < 1150);
  }
  const Flat shorts({{}, {7}});
  const InputsAndTargets few = SplitPrefixes(shorts.view(), 1, 0);
  CHECK_EQ(ToRows(few.inputs), Rows({{}, {}}));
  CHECK_EQ(ToRows(few.targets), Rows({{}, {7}}));
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
