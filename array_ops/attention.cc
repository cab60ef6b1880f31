// SPDX-License-Identifier: Apache-2.0
#include "array_ops/attention.h"

#include <string>
#include <type_traits>
#include <vector>

#include "array_ops/matrices.h"
#include "array_ops/parallel.h"
#include "array_ops/softmax.h"

namespace soft_prompts {
namespace {

using xla::ffi::AnyBuffer;
using xla::ffi::DataType;
using xla::ffi::Error;
using Result = xla::ffi::Result<AnyBuffer>;
using dnnl::memory;
using Bfloat16 = uint16_t;  // Its bits.

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

template <typename Number>
constexpr memory::data_type kType =
    std::is_same<Number, float>::value ? memory::data_type::f32
                                       : memory::data_type::bf16;

// A matrix `[rows, columns]` in memory.
template <typename Number>
struct Matrix {
  Number* data;
  int64_t rows, columns, row_step, column_step;

  Matrix Transposed() const {
    return {data, columns, rows, column_step, row_step};
  }
  Layout layout() const { return {{rows, columns}, {row_step, column_step}}; }
};

template <typename Number, typename OutNumber>
void MultiplyInto(const Matrix<Number>& a, const Matrix<Number>& b,
                  const Matrix<OutNumber>& out) {
  Multiply(kType<Number>, a.layout(), a.data, kType<Number>, b.layout(), b.data,
           kType<OutNumber>, out.layout(), out.data);
}

// One head of one example.
template <typename Number>
class Head {
 public:
  Head(const Sizes& sizes, int64_t index)
      : sizes_(sizes),
        example_(index / sizes.heads),
        head_(index % sizes.heads) {}

  // The head's part of an array `[B, rows, N, D]`.
  Matrix<Number> Of(const AnyBuffer& array, int64_t rows) const {
    const int64_t step = sizes_.heads * sizes_.depth;
    Number* data = static_cast<Number*>(array.untyped_data()) +
                   example_ * rows * step + head_ * sizes_.depth;
    return {data, rows, sizes_.depth, step, 1};
  }

  // Writes the weights `[Q, K]` to `rounded`, and as float32 to `weights`;
  // they are one array if Number is float.
  void Weights(const AnyBuffer& queries, const AnyBuffer& keys,
               const AnyBuffer& bias, const Matrix<float>& weights,
               const Matrix<Number>& rounded) const {
    MultiplyInto(Of(queries, sizes_.queries),
                 Of(keys, sizes_.keys).Transposed(), weights);
    const int64_t matrix =
        (sizes_.bias_batch == 1 ? 0 : example_) * sizes_.bias_heads +
        (sizes_.bias_heads == 1 ? 0 : head_);
    const int64_t width = sizes_.keys;
    const Number* row = static_cast<const Number*>(bias.untyped_data()) +
                        matrix * sizes_.queries * width;
    for (int64_t i = 0; i < sizes_.queries; ++i) {
      Softmax(width, row + i * width, weights.data + i * width,
              rounded.data + i * width);
    }
  }

 private:
  const Sizes sizes_;
  const int64_t example_, head_;
};

// Two matrices `[Q, K]` in float32, and in Number if that is another type;
// each thread keeps its own from head to head.
template <typename Number>
struct Scratch {
  explicit Scratch(const Sizes& sizes) {
    const int64_t count = sizes.queries * sizes.keys;
    thread_local std::vector<float> wide[2];
    thread_local std::vector<Number> narrow[2];
    for (int i = 0; i < 2; ++i) {
      wide[i].resize(count);
      if (!std::is_same<Number, float>::value) narrow[i].resize(count);
      Number* rounded_data = narrow[i].data();
      if constexpr (std::is_same<Number, float>::value) {
        rounded_data = wide[i].data();
      }
      exact[i] = {wide[i].data(), sizes.queries, sizes.keys, sizes.keys, 1};
      rounded[i] = {rounded_data, sizes.queries, sizes.keys, sizes.keys, 1};
    }
  }

  Matrix<float> exact[2];
  Matrix<Number> rounded[2];
};

template <typename Number>
Error Forward(xla::ffi::ThreadPool pool, const Sizes& sizes,
              const AnyBuffer& queries, const AnyBuffer& keys,
              const AnyBuffer& values, const AnyBuffer& bias, Result out) {
  return InParallel(pool, sizes.batch * sizes.heads, [&](int64_t index) {
    const Head<Number> head(sizes, index);
    const Scratch<Number> scratch(sizes);
    head.Weights(queries, keys, bias, scratch.exact[0], scratch.rounded[0]);
    MultiplyInto(scratch.rounded[0], head.Of(values, sizes.keys),
                 head.Of(*out, sizes.queries));
  });
}

template <typename Number>
Error Backward(xla::ffi::ThreadPool pool, const Sizes& sizes,
               const AnyBuffer& queries, const AnyBuffer& keys,
               const AnyBuffer& values, const AnyBuffer& bias,
               const AnyBuffer& gradient, Result of_queries, Result of_keys,
               Result of_values) {
  return InParallel(pool, sizes.batch * sizes.heads, [&](int64_t index) {
    const Head<Number> head(sizes, index);
    const Scratch<Number> scratch(sizes);
    const Matrix<float>&weights = scratch.exact[0], &slopes = scratch.exact[1];
    head.Weights(queries, keys, bias, weights, scratch.rounded[0]);
    const Matrix<Number> pulled = head.Of(gradient, sizes.queries);
    MultiplyInto(scratch.rounded[0].Transposed(), pulled,
                 head.Of(*of_values, sizes.keys));
    MultiplyInto(pulled, head.Of(values, sizes.keys).Transposed(), slopes);
    for (int64_t i = 0; i < sizes.queries; ++i) {
      const int64_t at = i * sizes.keys;
      SoftmaxGradient(sizes.keys, weights.data + at, slopes.data + at,
                      scratch.rounded[1].data + at);
    }
    MultiplyInto(scratch.rounded[1], head.Of(keys, sizes.keys),
                 head.Of(*of_queries, sizes.queries));
    MultiplyInto(scratch.rounded[1].Transposed(),
                 head.Of(queries, sizes.queries),
                 head.Of(*of_keys, sizes.keys));
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
