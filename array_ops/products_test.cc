// SPDX-License-Identifier: Apache-2.0
// Every kernel of matrix products against sums in float64: odd sizes, either
// order of each matrix, gaps between lines, and memory that ends where the last
// number does.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <type_traits>

#include "array_ops/amx.h"
#include "array_ops/guarded_numbers.h"
#include "array_ops/skinny_product.h"
#include "array_ops/split_product.h"
#include "array_ops/strided.h"
#include "array_ops/tile_product.h"

namespace soft_prompts {
namespace {

struct Order {
  int64_t row_step, column_step, count;
};

// `rows` by `columns`, row by row or column by column, `gap` numbers between.
Order MakeOrder(int64_t rows, int64_t columns, bool by_row, int64_t gap) {
  const int64_t row_step = by_row ? columns + gap : 1;
  const int64_t column_step = by_row ? 1 : rows + gap;
  return {row_step, column_step,
          (rows - 1) * row_step + (columns - 1) * column_step + 1};
}

template <typename Number>
Strided<const Number> Fill(const Guarded<Number>& memory, const Order& order,
                           int64_t rows, int64_t columns) {
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < order.count; ++i) {
    memory.data()[i] = Narrow<Number>(normal(generator));
  }
  return {memory.data(), rows, columns, order.row_step, order.column_step};
}

struct Counts {
  int64_t products = 0, wrong = 0;
};

// One product of random sizes, if the kernel takes it.
template <typename A, typename B, typename Out>
void Try(bool (*suits)(const Strided<const A>&, const Strided<const B>&,
                       const Strided<Out>&),
         void (*multiply)(const Strided<const A>&, const Strided<const B>&,
                          const Strided<Out>&),
         int64_t most_rows, Counts* counts) {
  const int64_t rows = Integer(1, most_rows), gap = Integer(0, 3);
  const int64_t depth = Integer(1, Integer(0, 9) ? 200 : 1500);
  const int64_t columns = Integer(1, Integer(0, 3) ? 200 : 1200);
  const Order a_order = MakeOrder(rows, depth, Integer(0, 1), gap);
  const Order b_order = MakeOrder(depth, columns, Integer(0, 1), gap);
  const Order out_order = MakeOrder(rows, columns, true, gap);
  const Guarded<A> a_memory(a_order.count);
  const Guarded<B> b_memory(b_order.count);
  const Guarded<Out> out_memory(out_order.count);
  const auto a = Fill(a_memory, a_order, rows, depth);
  const auto b = Fill(b_memory, b_order, depth, columns);
  const Out untouched = Narrow<Out>(77.0f);
  std::fill_n(out_memory.data(), out_order.count, untouched);
  const Strided<Out> out = {out_memory.data(), rows, columns,
                            out_order.row_step, 1};
  if (!suits(a, b, out)) return;
  multiply(a, b, out);
  ++counts->products;
  bool right = true;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t n = 0; n < columns; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < depth; ++k) {
        sum += static_cast<double>(
                   Wide(a.data[i * a.row_step + k * a.column_step])) *
               Wide(b.data[k * b.row_step + n * b.column_step]);
      }
      const bool rounds = !std::is_same<Out, float>::value;
      const double error = std::abs(Wide(out.data[i * out.row_step + n]) - sum);
      right = right && error <= 1.2e-5 * std::sqrt(depth) +
                                    (rounds ? std::abs(sum) / 256 : 0);
    }
    for (int64_t n = columns; i + 1 < rows && n < out.row_step; ++n) {
      right = right && out.data[i * out.row_step + n] == untouched;
    }
  }
  if (right) return;
  ++counts->wrong;
  std::printf("wrong: %ld x %ld times %ld x %ld, steps %ld %ld and %ld %ld\n",
              rows, depth, depth, columns, a.row_step, a.column_step,
              b.row_step, b.column_step);
}

// Returns whether some products were tried and all are right.
bool Report(const std::string& name, const Counts& counts) {
  std::printf("%s: %ld products, %ld wrong\n", name.c_str(), counts.products,
              counts.wrong);
  return counts.products > 0 && counts.wrong == 0;
}

template <typename A, typename B, typename Out>
bool TryFewRows(const std::string& types) {
  Counts skinny, tile;
  for (int i = 0; i < 120; ++i) {
    if (__builtin_cpu_supports("avx512f")) {
      Try<A, B, Out>(SuitsSkinnyProduct, SkinnyProduct, 32, &skinny);
    }
    if (HasAmx()) Try<A, B, Out>(SuitsTileProduct, TileProduct, 64, &tile);
  }
  const bool skinny_right =
      !__builtin_cpu_supports("avx512f") || Report("skinny, " + types, skinny);
  return (!HasAmx() || Report("tile, " + types, tile)) && skinny_right;
}

bool TryManyRows() {
  if (!HasAmx()) return true;
  Counts split;
  for (int i = 0; i < 60; ++i) {
    Try<float, float, float>(SuitsSplitProduct, SplitProduct, 400, &split);
  }
  return Report("split", split);
}

}  // namespace
}  // namespace soft_prompts

int main() {
  using soft_prompts::Bfloat16;
  using soft_prompts::TryFewRows;
  bool right = TryFewRows<float, float, float>("float");
  right = TryFewRows<float, Bfloat16, float>("float by bfloat16") && right;
  right = TryFewRows<Bfloat16, Bfloat16, float>("bfloat16 to float") && right;
  right = TryFewRows<Bfloat16, Bfloat16, Bfloat16>("bfloat16") && right;
  return soft_prompts::TryManyRows() && right ? 0 : 1;
}
