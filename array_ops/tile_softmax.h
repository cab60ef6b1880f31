// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_TILE_SOFTMAX_H_
#define ARRAY_OPS_TILE_SOFTMAX_H_

#include <immintrin.h>

#include <cstdint>

#include "array_ops/strided.h"
#include "array_ops/tile_strips.h"
#include "array_ops/tiles.h"
#include "array_ops/vectors.h"

// The softmax of up to 32 rows, and its gradient, from products of strips into
// strips. For sources compiled for AVX-512BW and AMX.
//
// Each function goes through the rows once for every sum or maximum of a row:
// rows do not depend on each other, so the processor need not wait.

namespace soft_prompts {
namespace {

// Calls `work(at, left)` for every `unit` numbers of a row. `left` is a
// constant where all are there, so that what it masks needs no mask.
template <int64_t unit, typename Work>
inline void InUnits(int64_t count, const Work& work) {
  int64_t at = 0;
  for (; at + unit <= count; at += unit) work(at, unit);
  if (at < count) work(at, count - at);
}

// Adds `bias` [rows, columns] to logits; writes the largest of each row.
template <typename Number>
void AddBias(const Number* bias, const Strided<float>& logits, float* largest) {
  for (int64_t i = 0; i < logits.rows; ++i, bias += logits.columns) {
    float* const row = logits.data + i * logits.row_step;
    __m512 top = _mm512_set1_ps(-__builtin_inff());
    InUnits<kLanes>(logits.columns, [&](int64_t j, int64_t left) {
      const __mmask16 live = Live(left);
      const __m512 x =
          _mm512_add_ps(Load(row + j, live), LoadSixteen(bias + j, live));
      Store(row + j, live, x);
      top = _mm512_mask_max_ps(top, live, top, x);
    });
    largest[i] = _mm512_reduce_max_ps(top);
  }
}

// e^(x - top) of the next 32 numbers, 0 beyond the last.
inline void Exponentials(const float* row, int64_t left, __m512 top,
                         __m512 x[2]) {
  const __mmask16 live[] = {Live(left), Live(left - kLanes)};
  x[0] = _mm512_sub_ps(Load(row, live[0]), top);
  x[1] = _mm512_sub_ps(Load(row + kLanes, live[1]), top);
  Exp<2>(x);
  x[0] = _mm512_maskz_mov_ps(live[0], x[0]);
  x[1] = _mm512_maskz_mov_ps(live[1], x[1]);
}

// The place of a line in a strip of left tiles.
inline int64_t LineAt(int64_t line) {
  return line / kTile * kTileBytes + line % kTile * kLineBytes;
}

// Writes e^(logits + bias - the largest of the row) to a strip, and one by the
// sum of each row.
template <int parts, typename Number>
void PackWeights(const Number* bias, const Strided<float>& logits, char* strip,
                 float* scales) {
  float largest[kSide];
  AddBias(bias, logits, largest);
  for (int64_t i = 0; i < logits.rows; ++i) {
    const float* const row = logits.data + i * logits.row_step;
    const __m512 top = _mm512_set1_ps(largest[i]);
    __m512 total = _mm512_setzero_ps();
    char* to = strip + LineAt(i);
    InUnits<kTileDepth>(logits.columns, [&](int64_t j, int64_t left) {
      __m512 x[2];
      Exponentials(row + j, left, top, x);
      total = _mm512_add_ps(total, _mm512_add_ps(x[0], x[1]));
      __m512i pairs[parts];
      Pair<parts>(x[0], x[1], pairs);
      StoreRow<parts>(pairs, to);
      to += kStepBytes<parts>;
    });
    scales[i] = 1.0f / _mm512_reduce_add_ps(total);
  }
}

// Makes logits weights, and of their gradients `slopes` those of the logits,
// which are written to a strip as well.
template <int parts, typename Number>
void PackSlopes(const Number* bias, const Strided<float>& logits,
                const Strided<float>& slopes, char* strip) {
  float largest[kSide], scales[kSide], means[kSide];
  AddBias(bias, logits, largest);
  for (int64_t i = 0; i < logits.rows; ++i) {
    float* const row = logits.data + i * logits.row_step;
    const float* const slope = slopes.data + i * slopes.row_step;
    const __m512 top = _mm512_set1_ps(largest[i]);
    __m512 total = _mm512_setzero_ps(), weighted = _mm512_setzero_ps();
    InUnits<kTileDepth>(logits.columns, [&](int64_t j, int64_t left) {
      __m512 x[2];
      Exponentials(row + j, left, top, x);
      for (int64_t half = 0; half < 2; ++half) {
        const int64_t at = j + half * kLanes;
        const __mmask16 live = Live(left - half * kLanes);
        Store(row + at, live, x[half]);
        total = _mm512_add_ps(total, x[half]);
        weighted = _mm512_fmadd_ps(x[half], Load(slope + at, live), weighted);
      }
    });
    scales[i] = 1.0f / _mm512_reduce_add_ps(total);
    means[i] = scales[i] * _mm512_reduce_add_ps(weighted);
  }
  for (int64_t i = 0; i < logits.rows; ++i) {
    float* const row = logits.data + i * logits.row_step;
    float* const slope = slopes.data + i * slopes.row_step;
    const __m512 scale = _mm512_set1_ps(scales[i]);
    const __m512 mean = _mm512_set1_ps(means[i]);
    char* to = strip + LineAt(i);
    InUnits<kTileDepth>(logits.columns, [&](int64_t j, int64_t left) {
      __m512 found[2];
      for (int64_t half = 0; half < 2; ++half) {
        const int64_t at = j + half * kLanes;
        const __mmask16 live = Live(left - half * kLanes);
        const __m512 weight = _mm512_mul_ps(scale, Load(row + at, live));
        found[half] =
            _mm512_mul_ps(weight, _mm512_sub_ps(Load(slope + at, live), mean));
        Store(row + at, live, weight);
        Store(slope + at, live, found[half]);
      }
      __m512i pairs[parts];
      Pair<parts>(found[0], found[1], pairs);
      StoreRow<parts>(pairs, to);
      to += kStepBytes<parts>;
    });
  }
}

}  // namespace
}  // namespace soft_prompts

#endif  // ARRAY_OPS_TILE_SOFTMAX_H_
