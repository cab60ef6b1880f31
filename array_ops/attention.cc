// SPDX-License-Identifier: Apache-2.0
#include "array_ops/attention.h"

#include <type_traits>
#include <vector>

#include "array_ops/amx.h"
#include "array_ops/attention_head.h"
#include "array_ops/parallel.h"
#include "array_ops/product_attention.h"
#include "array_ops/strided.h"
#include "array_ops/tile_attention.h"

namespace soft_prompts {
namespace {

using xla::ffi::AnyBuffer;
using xla::ffi::DataType;
using xla::ffi::Error;
using Result = xla::ffi::Result<AnyBuffer>;

struct Sizes {
  int64_t batch, queries, keys, heads, depth;
  int64_t bias_batch, bias_heads;
};

bool HasShape(const AnyBuffer& array, std::vector<int64_t> dims) {
  const auto found = array.dimensions();
  return std::vector<int64_t>(found.begin(), found.end()) == dims;
}

// Reads the sizes and checks that all arrays have them and one dtype.
Error Check(const AnyBuffer& queries, const AnyBuffer& keys,
            const AnyBuffer& bias, const std::vector<AnyBuffer>& like_queries,
            const std::vector<AnyBuffer>& like_keys, Sizes* sizes) {
  const DataType type = queries.element_type();
  const auto alike = [type](const std::vector<AnyBuffer>& arrays) {
    for (const AnyBuffer& array : arrays) {
      if (array.element_type() != type) return false;
    }
    return true;
  };
  if ((type != DataType::F32 && type != DataType::BF16) ||
      !alike({keys, bias}) || !alike(like_queries) || !alike(like_keys)) {
    return Error::InvalidArgument(
        "attention: arrays must be all float32 or all bfloat16");
  }
  const auto q = queries.dimensions(), k = keys.dimensions();
  const auto b = bias.dimensions();
  const char* wrong =
      "attention: shapes must be queries [B, Q, N, D], keys and values "
      "[B, K, N, D], bias [B or 1, N or 1, Q, K], and none of them empty";
  if (q.size() != 4 || k.size() != 4 || b.size() != 4 ||
      queries.element_count() == 0 || keys.element_count() == 0) {
    return Error::InvalidArgument(wrong);
  }
  *sizes = {q[0], q[1], k[1], q[2], q[3], b[0], b[1]};
  bool fits = HasShape(keys, {q[0], k[1], q[2], q[3]}) &&
              (b[0] == 1 || b[0] == q[0]) && (b[1] == 1 || b[1] == q[2]) &&
              b[2] == q[1] && b[3] == k[1];
  for (const AnyBuffer& array : like_queries) {
    fits = fits && HasShape(array, {q[0], q[1], q[2], q[3]});
  }
  for (const AnyBuffer& array : like_keys) {
    fits = fits && HasShape(array, {q[0], k[1], q[2], q[3]});
  }
  return fits ? Error::Success() : Error::InvalidArgument(wrong);
}

// Whether the units for bfloat16 compute a head. Of few queries of many numbers
// a product that reads the keys once as they lie costs less than packing them.
template <typename Number>
bool UsesTiles(const Sizes& sizes) {
  constexpr int64_t kFewQueries = 64, kManyNumbers = 256;
  const bool has =
      std::is_same<Number, float>::value ? SplitsFloat32() : HasAmx();
  return has && (sizes.queries > kFewQueries || sizes.depth < kManyNumbers);
}

// The part of head `index` of an array `[B, rows, N, D]`.
template <typename Number>
Strided<Number> Of(const AnyBuffer& array, const Sizes& sizes, int64_t rows,
                   int64_t index) {
  const int64_t step = sizes.heads * sizes.depth;
  Number* data = static_cast<Number*>(array.untyped_data()) +
                 index / sizes.heads * rows * step +
                 index % sizes.heads * sizes.depth;
  return {data, rows, sizes.depth, step, 1};
}

template <typename Number>
AttentionHead<Number> Head(const AnyBuffer& queries, const AnyBuffer& keys,
                           const AnyBuffer& values, const AnyBuffer& bias,
                           const Sizes& sizes, int64_t index) {
  const int64_t example = sizes.bias_batch == 1 ? 0 : index / sizes.heads;
  const int64_t head = sizes.bias_heads == 1 ? 0 : index % sizes.heads;
  return {Of<const Number>(queries, sizes, sizes.queries, index),
          Of<const Number>(keys, sizes, sizes.keys, index),
          Of<const Number>(values, sizes, sizes.keys, index),
          static_cast<const Number*>(bias.untyped_data()) +
              (example * sizes.bias_heads + head) * sizes.queries * sizes.keys};
}

template <typename Number>
Error Forward(xla::ffi::ThreadPool pool, const Sizes& sizes,
              const AnyBuffer& queries, const AnyBuffer& keys,
              const AnyBuffer& values, const AnyBuffer& bias, Result out) {
  const auto attention = UsesTiles<Number>(sizes) ? TileAttention<Number>
                                                  : ProductAttention<Number>;
  return InParallel(pool, sizes.batch * sizes.heads, [&](int64_t index) {
    attention(Head<Number>(queries, keys, values, bias, sizes, index),
              Of<Number>(*out, sizes, sizes.queries, index));
  });
}

template <typename Number>
Error Backward(xla::ffi::ThreadPool pool, const Sizes& sizes,
               const AnyBuffer& queries, const AnyBuffer& keys,
               const AnyBuffer& values, const AnyBuffer& bias,
               const AnyBuffer& gradient, Result of_queries, Result of_keys,
               Result of_values) {
  const auto attention_gradient = UsesTiles<Number>(sizes)
                                      ? TileAttentionGradient<Number>
                                      : ProductAttentionGradient<Number>;
  return InParallel(pool, sizes.batch * sizes.heads, [&](int64_t index) {
    attention_gradient(Head<Number>(queries, keys, values, bias, sizes, index),
                       Of<const Number>(gradient, sizes, sizes.queries, index),
                       Of<Number>(*of_queries, sizes, sizes.queries, index),
                       Of<Number>(*of_keys, sizes, sizes.keys, index),
                       Of<Number>(*of_values, sizes, sizes.keys, index));
  });
}

Error Attention(xla::ffi::ThreadPool pool, AnyBuffer queries, AnyBuffer keys,
                AnyBuffer values, AnyBuffer bias, Result out) {
  Sizes sizes;
  Error error = Check(queries, keys, bias, {*out}, {values}, &sizes);
  if (error.failure()) return error;
  return queries.element_type() == DataType::F32
             ? Forward<float>(pool, sizes, queries, keys, values, bias, out)
             : Forward<Bfloat16>(pool, sizes, queries, keys, values, bias, out);
}

Error AttentionGradient(xla::ffi::ThreadPool pool, AnyBuffer queries,
                        AnyBuffer keys, AnyBuffer values, AnyBuffer bias,
                        AnyBuffer gradient, Result of_queries, Result of_keys,
                        Result of_values) {
  Sizes sizes;
  Error error = Check(queries, keys, bias, {gradient, *of_queries},
                      {values, *of_keys, *of_values}, &sizes);
  if (error.failure()) return error;
  return queries.element_type() == DataType::F32
             ? Backward<float>(pool, sizes, queries, keys, values, bias,
                               gradient, of_queries, of_keys, of_values)
             : Backward<Bfloat16>(pool, sizes, queries, keys, values, bias,
                                  gradient, of_queries, of_keys, of_values);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(AttentionHandler, Attention,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<AnyBuffer>()
                                  .Arg<AnyBuffer>()
                                  .Arg<AnyBuffer>()
                                  .Arg<AnyBuffer>()
                                  .Ret<AnyBuffer>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(AttentionGradientHandler, AttentionGradient,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<AnyBuffer>()
                                  .Arg<AnyBuffer>()
                                  .Arg<AnyBuffer>()
                                  .Arg<AnyBuffer>()
                                  .Arg<AnyBuffer>()
                                  .Ret<AnyBuffer>()
                                  .Ret<AnyBuffer>()
                                  .Ret<AnyBuffer>());

}  // namespace soft_prompts
