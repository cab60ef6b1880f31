// SPDX-License-Identifier: Apache-2.0
// Each way to compute a head of attention, and its gradient, against sums in
// float64: odd sizes, gaps between rows, padding, queries that may read nothing
// and memory that ends where the last number does.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <type_traits>
#include <vector>

#include "array_ops/amx.h"
#include "array_ops/attention_head.h"
#include "array_ops/guarded_numbers.h"
#include "array_ops/product_attention.h"
#include "array_ops/strided.h"
#include "array_ops/tile_attention.h"

namespace soft_prompts {
namespace {

using Doubles = std::vector<double>;

// A matrix of its own guarded memory, with numbers between its rows.
template <typename Number>
class Matrix {
 public:
  Matrix(int64_t rows, int64_t columns, float scale)
      : rows_(rows),
        columns_(columns),
        step_(columns + Integer(0, 3)),
        memory_((rows - 1) * step_ + columns) {
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < (rows - 1) * step_ + columns; ++i) {
      memory_.data()[i] =
          scale == 0 ? kUntouched : Narrow<Number>(scale * normal(generator));
    }
  }

  Strided<Number> out() const {
    return {memory_.data(), rows_, columns_, step_, 1};
  }
  Strided<const Number> in() const {
    return {memory_.data(), rows_, columns_, step_, 1};
  }
  double operator()(int64_t row, int64_t column) const {
    return Wide(memory_.data()[row * step_ + column]);
  }

  // The largest difference, in units of the largest of `sizes`; infinity if one
  // is not a number, or something between the rows was written.
  double Error(const Doubles& other, const Doubles& sizes) const {
    double largest = 1e-30, difference = 0;
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < columns_; ++j) {
        const double x = other[i * columns_ + j];
        largest = std::max(largest, sizes[i * columns_ + j]);
        const double error = std::abs((*this)(i, j) - x);
        if (std::isnan(error)) return INFINITY;
        difference = std::max(difference, error);
      }
      for (int64_t j = columns_; i + 1 < rows_ && j < step_; ++j) {
        if (memory_.data()[i * step_ + j] != kUntouched) return INFINITY;
      }
    }
    return difference / largest;
  }

 private:
  static constexpr Number kUntouched = 77;
  const int64_t rows_, columns_, step_;
  const Guarded<Number> memory_;
};

// a [rows, depth] times b [depth, columns], both given by functions.
template <typename A, typename B>
Doubles Product(int64_t rows, int64_t depth, int64_t columns, const A& a,
                const B& b) {
  Doubles out(rows * columns);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < depth; ++k) {
      const double x = a(i, k);
      for (int64_t j = 0; j < columns; ++j) out[i * columns + j] += x * b(k, j);
    }
  }
  return out;
}

template <typename Number>
struct Arrays {
  Arrays(int64_t count, int64_t width, int64_t depth)
      : queries(count, depth, 1 / std::sqrt(static_cast<float>(depth))),
        keys(width, depth, 1),
        values(width, depth, 1),
        gradient(count, depth, 1),
        bias(count * width) {
    std::normal_distribution<float> normal;
    const int64_t period = Integer(2, 9);
    for (int64_t i = 0; i < count * width; ++i) {
      const bool hidden = i % width % period == 1 || i / width % 7 == 3;
      bias.data()[i] = Narrow<Number>(hidden ? -1e10f : normal(generator));
    }
  }

  AttentionHead<Number> head() const {
    return {queries.in(), keys.in(), values.in(), bias.data()};
  }

  const Matrix<Number> queries, keys, values, gradient;
  const Guarded<Number> bias;
};

// The size of what is rounded: the absolute values of what a product adds up.
template <typename A, typename B>
Doubles Sizes(int64_t rows, int64_t depth, int64_t columns, const A& a,
              const B& b) {
  return Product(
      rows, depth, columns,
      [&](int64_t i, int64_t j) { return std::abs(a(i, j)); },
      [&](int64_t i, int64_t j) { return std::abs(b(i, j)); });
}

// Results, and their sizes: a gradient is what remains of larger numbers.
struct Expected {
  Doubles out, of_queries, of_keys, of_values;
  Doubles out_size, of_queries_size, of_keys_size, of_values_size;
};

template <typename Number>
Expected Expect(const Arrays<Number>& x, int64_t count, int64_t width,
                int64_t depth) {
  const auto turned = [](const auto& a) {
    return [&a](int64_t i, int64_t j) { return a(j, i); };
  };
  Doubles weights = Product(count, depth, width, x.queries, turned(x.keys));
  const Doubles pulled =
      Product(count, depth, width, x.gradient, turned(x.values));
  const Doubles pulled_sizes =
      Sizes(count, depth, width, x.gradient, turned(x.values));
  Doubles slopes(count * width), slope_sizes(count * width);
  for (int64_t i = 0; i < count; ++i) {
    double* const row = weights.data() + i * width;
    for (int64_t j = 0; j < width; ++j) {
      // In float32 nothing is left of a logit beside -1e10.
      row[j] = static_cast<float>(row[j] + Wide(x.bias.data()[i * width + j]));
    }
    const double top = *std::max_element(row, row + width);
    double total = 0, mean = 0, mean_size = 0;
    for (int64_t j = 0; j < width; ++j)
      total += row[j] = std::exp(row[j] - top);
    for (int64_t j = 0; j < width; ++j) {
      mean += (row[j] /= total) * pulled[i * width + j];
      mean_size += row[j] * pulled_sizes[i * width + j];
    }
    for (int64_t j = 0; j < width; ++j) {
      slopes[i * width + j] = row[j] * (pulled[i * width + j] - mean);
      slope_sizes[i * width + j] =
          row[j] * (pulled_sizes[i * width + j] + mean_size);
    }
  }
  const auto weight = [&](int64_t i, int64_t j) {
    return weights[i * width + j];
  };
  const auto slope = [&](int64_t i, int64_t j) {
    return slopes[i * width + j];
  };
  const auto slope_size = [&](int64_t i, int64_t j) {
    return slope_sizes[i * width + j];
  };
  return {Product(count, width, depth, weight, x.values),
          Product(count, width, depth, slope, x.keys),
          Product(width, count, depth, turned(slope), x.queries),
          Product(width, count, depth, turned(weight), x.gradient),
          Sizes(count, width, depth, weight, x.values),
          Sizes(count, width, depth, slope_size, x.keys),
          Sizes(width, count, depth, turned(slope_size), x.queries),
          Sizes(width, count, depth, turned(weight), x.gradient)};
}

// How many of `tries` heads of random sizes one way computes wrongly.
template <typename Number>
int CountWrong(const char* name, int tries,
               const decltype(TileAttention<Number>)& attention,
               const decltype(TileAttentionGradient<Number>)& its_gradient) {
  // bfloat16: weights, slopes and results are rounded to 8 bits. Of 3,840 heads
  // the worst was 9.2e-7 and 5.6e-3.
  const double tolerance = std::is_same<Number, float>::value ? 2e-6 : 1e-2;
  int wrong = 0;
  for (int i = 0; i < tries; ++i) {
    const int64_t count = Integer(1, Integer(0, 3) ? 80 : 400);
    const int64_t width = Integer(1, 200);
    const int64_t depth = Integer(1, Integer(0, 3) ? 80 : 300);
    const Arrays<Number> x(count, width, depth);
    const Matrix<Number> out(count, depth, 0), of_queries(count, depth, 0);
    const Matrix<Number> of_keys(width, depth, 0), of_values(width, depth, 0);
    attention(x.head(), out.out());
    its_gradient(x.head(), x.gradient.in(), of_queries.out(), of_keys.out(),
                 of_values.out());
    const Expected expected = Expect(x, count, width, depth);
    const double worst = std::max(
        {out.Error(expected.out, expected.out_size),
         of_values.Error(expected.of_values, expected.of_values_size),
         of_queries.Error(expected.of_queries, expected.of_queries_size),
         of_keys.Error(expected.of_keys, expected.of_keys_size)});
    if (worst <= tolerance) continue;
    ++wrong;
    std::printf("wrong: %ld queries, %ld keys, %ld numbers: error %.1e\n",
                count, width, depth, worst);
  }
  std::printf("%s: %d heads, %d wrong\n", name, tries, wrong);
  return wrong;
}

int Run() {
  int wrong = 0;
  if (__builtin_cpu_supports("avx512f")) {
    wrong += CountWrong<float>("products, float", 40, ProductAttention<float>,
                               ProductAttentionGradient<float>);
  }
  if (HasAmx()) {
    wrong += CountWrong<Bfloat16>("products, bfloat16", 40,
                                  ProductAttention<Bfloat16>,
                                  ProductAttentionGradient<Bfloat16>);
    wrong += CountWrong<float>("tiles, float", 120, TileAttention<float>,
                               TileAttentionGradient<float>);
    wrong +=
        CountWrong<Bfloat16>("tiles, bfloat16", 120, TileAttention<Bfloat16>,
                             TileAttentionGradient<Bfloat16>);
  }
  return wrong;
}

}  // namespace
}  // namespace soft_prompts

int main() { return soft_prompts::Run() == 0 ? 0 : 1; }
