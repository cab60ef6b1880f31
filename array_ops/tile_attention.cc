// SPDX-License-Identifier: Apache-2.0
#include "array_ops/tile_attention.h"

#include <algorithm>
#include <type_traits>

#include "array_ops/tile_softmax.h"
#include "array_ops/tile_strips.h"
#include "array_ops/tiles.h"
#include "array_ops/vectors.h"

namespace soft_prompts {
namespace {

// `count` rows of a matrix whose columns lie side by side, as constants.
template <typename Number>
Strided<const std::remove_const_t<Number>> Rows(const Strided<Number>& matrix,
                                                int64_t first, int64_t count) {
  return {matrix.data + first * matrix.row_step, count, matrix.columns,
          matrix.row_step, 1};
}

// Packs all strips whose lines are the rows of `from`.
template <int parts, Side side, typename Number>
void PackAllRows(const Strided<const Number>& from, char* to) {
  const int64_t bytes = Units(from.columns, kTileDepth) * kStepBytes<parts>;
  for (int64_t i = 0; i < from.rows; i += kSide, to += bytes) {
    PackRows<parts, side>(Rows(from, i, std::min(kSide, from.rows - i)), to);
  }
}

// Parts of one piece of memory, one after another.
class Memory {
 public:
  explicit Memory(char* data) : data_(data) {}

  char* Strips(int64_t lines, int64_t depth, int64_t step_bytes) {
    return Take(Units(lines, kSide) * Units(depth, kTileDepth) * step_bytes);
  }

  // With room up to the next multiples of 32.
  Strided<float> Floats(int64_t rows, int64_t columns) {
    const int64_t step = Units(columns, kSide) * kSide;
    char* const at = Take(Units(rows, kSide) * kSide * step * 4);
    return {reinterpret_cast<float*>(at), rows, columns, step, 1};
  }

  int64_t size() const { return size_; }

 private:
  char* Take(int64_t bytes) {
    char* const at = data_ ? data_ + size_ : nullptr;
    size_ += bytes;
    return at;
  }

  char* const data_;
  int64_t size_ = 0;
};

// What the computation of the weights of 32 queries needs.
template <typename Number>
struct Weights {
  Weights(const AttentionHead<Number>& head, Memory* memory)
      : keys(memory->Strips(head.keys.rows, head.keys.columns, kStep)),
        queries(memory->Strips(kSide, head.keys.columns, kStep)),
        logits(memory->Floats(kSide, head.keys.rows)) {}

  static constexpr int64_t kStep = kStepBytes<kParts<Number>>;
  char *keys, *queries;
  Strided<float> logits;
};

template <typename Number>
struct ForwardMemory : Weights<Number> {
  ForwardMemory(const AttentionHead<Number>& head, Memory* memory)
      : Weights<Number>(head, memory),
        values(memory->Strips(head.keys.columns, head.keys.rows, this->kStep)),
        weights(memory->Strips(kSide, head.keys.rows, this->kStep)),
        result(memory->Floats(kSide, head.keys.columns)) {}

  char *values, *weights;
  Strided<float> result;
};

// Queries whose weights are kept until they are multiplied by the gradient.
template <typename Number>
constexpr int64_t kGroup = 192 / kParts<Number>;

template <typename Number>
struct GradientMemory : Weights<Number> {
  GradientMemory(const AttentionHead<Number>& head, Memory* memory)
      : Weights<Number>(head, memory) {
    const int64_t width = head.keys.rows, depth = head.keys.columns;
    const int64_t group = std::min(kGroup<Number>, head.queries.rows);
    values = memory->Strips(width, depth, this->kStep);
    gradient = memory->Strips(kSide, depth, this->kStep);
    keys_by_column = memory->Strips(depth, width, this->kStep);
    queries_by_column = memory->Strips(depth, group, this->kStep);
    gradient_by_column = memory->Strips(depth, group, this->kStep);
    slope_strip = memory->Strips(kSide, width, this->kStep);
    weights_by_key = memory->Strips(width, group, this->kStep);
    slopes_by_key = memory->Strips(width, group, this->kStep);
    slopes = memory->Floats(kSide, width);
    of_queries = memory->Floats(kSide, depth);
    of_keys = memory->Floats(width, depth);
    of_values = memory->Floats(width, depth);
  }

  char *values, *gradient, *keys_by_column;
  char *queries_by_column, *gradient_by_column;
  char *slope_strip, *weights_by_key, *slopes_by_key;
  Strided<float> slopes, of_queries, of_keys, of_values;
};

// Parts of the thread's memory, which grows to what was ever needed.
template <typename Parts, typename Number>
Parts Allocate(const AttentionHead<Number>& head) {
  thread_local Scratch scratch;
  Memory counted(nullptr);
  Parts(head, &counted);
  Memory memory(scratch.Get(counted.size()));
  return Parts(head, &memory);
}

// Writes each row times its scale.
template <typename Number>
void Write(const Strided<float>& from, const float* scales, Number* to,
           int64_t step) {
  for (int64_t i = 0; i < from.rows; ++i) {
    const __m512 scale = _mm512_set1_ps(scales ? scales[i] : 1.0f);
    InUnits<kLanes>(from.columns, [&](int64_t j, int64_t left) {
      const __m512 x = Load(from.data + i * from.row_step + j, Live(left));
      Store(to + i * step + j, Live(left), _mm512_mul_ps(x, scale));
    });
  }
}

}  // namespace

template <typename Number>
void TileAttention(const AttentionHead<Number>& head,
                   const Strided<Number>& out) {
  constexpr int kP = kParts<Number>;
  const int64_t width = head.keys.rows, depth = head.keys.columns;
  auto m = Allocate<ForwardMemory<Number>>(head);
  const Tiles tiles;
  PackAllRows<kP, Side::kRight>(head.keys, m.keys);
  PackColumns<kP, Side::kRight>(head.values, Units(width, kTileDepth),
                                m.values);
  for (int64_t i = 0; i < head.queries.rows; i += kSide) {
    const int64_t count = std::min(kSide, head.queries.rows - i);
    m.logits.rows = m.result.rows = count;
    PackRows<kP, Side::kLeft>(Rows(head.queries, i, count), m.queries);
    MultiplyStrips<kP>(m.queries, m.keys, Units(depth, kTileDepth), false,
                       m.logits);
    float scales[kSide];
    PackWeights<kP>(head.bias + i * width, m.logits, m.weights, scales);
    MultiplyStrips<kP>(m.weights, m.values, Units(width, kTileDepth), false,
                       m.result);
    Write(m.result, scales, out.data + i * out.row_step, out.row_step);
  }
}

template <typename Number>
void TileAttentionGradient(const AttentionHead<Number>& head,
                           const Strided<const Number>& gradient,
                           const Strided<Number>& of_queries,
                           const Strided<Number>& of_keys,
                           const Strided<Number>& of_values) {
  constexpr int kP = kParts<Number>;
  const int64_t width = head.keys.rows, depth = head.keys.columns;
  const int64_t depth_steps = Units(depth, kTileDepth);
  auto m = Allocate<GradientMemory<Number>>(head);
  const Tiles tiles;
  PackAllRows<kP, Side::kRight>(head.keys, m.keys);
  PackAllRows<kP, Side::kRight>(head.values, m.values);
  PackColumns<kP, Side::kRight>(head.keys, Units(width, kTileDepth),
                                m.keys_by_column);
  for (int64_t group = 0; group < head.queries.rows; group += kGroup<Number>) {
    const int64_t size = std::min(kGroup<Number>, head.queries.rows - group);
    const int64_t steps = Units(size, kTileDepth);
    for (int64_t i = 0; i < steps; ++i) {
      const int64_t first = group + i * kTileDepth;
      const int64_t count = std::min(kTileDepth, size - i * kTileDepth);
      m.logits.rows = m.slopes.rows = m.of_queries.rows = count;
      PackRows<kP, Side::kLeft>(Rows(head.queries, first, count), m.queries);
      PackRows<kP, Side::kLeft>(Rows(gradient, first, count), m.gradient);
      MultiplyStrips<kP>(m.queries, m.keys, depth_steps, false, m.logits);
      MultiplyStrips<kP>(m.gradient, m.values, depth_steps, false, m.slopes);
      PackSlopes<kP>(head.bias + first * width, m.logits, m.slopes,
                     m.slope_strip);
      MultiplyStrips<kP>(m.slope_strip, m.keys_by_column,
                         Units(width, kTileDepth), false, m.of_queries);
      Write(m.of_queries, nullptr,
            of_queries.data + first * of_queries.row_step, of_queries.row_step);
      const int64_t at = i * kStepBytes<kP>;
      PackColumns<kP, Side::kLeft>(Rows(m.logits, 0, count), steps,
                                   m.weights_by_key + at);
      PackColumns<kP, Side::kLeft>(Rows(m.slopes, 0, count), steps,
                                   m.slopes_by_key + at);
    }
    PackColumns<kP, Side::kRight>(Rows(head.queries, group, size), steps,
                                  m.queries_by_column);
    PackColumns<kP, Side::kRight>(Rows(gradient, group, size), steps,
                                  m.gradient_by_column);
    MultiplyStrips<kP>(m.weights_by_key, m.gradient_by_column, steps, group > 0,
                       m.of_values);
    MultiplyStrips<kP>(m.slopes_by_key, m.queries_by_column, steps, group > 0,
                       m.of_keys);
  }
  Write(m.of_keys, nullptr, of_keys.data, of_keys.row_step);
  Write(m.of_values, nullptr, of_values.data, of_values.row_step);
}

template void TileAttention(const AttentionHead<float>&, const Strided<float>&);
template void TileAttention(const AttentionHead<Bfloat16>&,
                            const Strided<Bfloat16>&);
template void TileAttentionGradient(const AttentionHead<float>&,
                                    const Strided<const float>&,
                                    const Strided<float>&,
                                    const Strided<float>&,
                                    const Strided<float>&);
template void TileAttentionGradient(const AttentionHead<Bfloat16>&,
                                    const Strided<const Bfloat16>&,
                                    const Strided<Bfloat16>&,
                                    const Strided<Bfloat16>&,
                                    const Strided<Bfloat16>&);

}  // namespace soft_prompts
