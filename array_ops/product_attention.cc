// SPDX-License-Identifier: Apache-2.0
#include "array_ops/product_attention.h"

#include <type_traits>
#include <vector>

#include "array_ops/matrices.h"
#include "array_ops/softmax.h"

namespace soft_prompts {
namespace {

using dnnl::memory;

template <typename Number>
constexpr memory::data_type kType =
    std::is_same<std::remove_const_t<Number>, float>::value
        ? memory::data_type::f32
        : memory::data_type::bf16;

template <typename Number>
Strided<Number> Transposed(const Strided<Number>& a) {
  return {a.data, a.columns, a.rows, a.column_step, a.row_step};
}

template <typename Number>
Layout LayoutOf(const Strided<Number>& a) {
  return {{a.rows, a.columns}, {a.row_step, a.column_step}};
}

template <typename A, typename B, typename Out>
void MultiplyInto(const Strided<A>& a, const Strided<B>& b,
                  const Strided<Out>& out) {
  Multiply(kType<A>, LayoutOf(a), a.data, kType<B>, LayoutOf(b), b.data,
           kType<Out>, LayoutOf(out), out.data);
}

// Two matrices `[Q, K]` in float32, and in Number if that is another type;
// each thread keeps its own from head to head.
template <typename Number>
struct Memory {
  explicit Memory(const AttentionHead<Number>& head) {
    const int64_t rows = head.queries.rows, columns = head.keys.rows;
    thread_local std::vector<float> wide[2];
    thread_local std::vector<Number> narrow[2];
    for (int i = 0; i < 2; ++i) {
      wide[i].resize(rows * columns);
      if (!std::is_same<Number, float>::value) narrow[i].resize(rows * columns);
      Number* rounded_data = narrow[i].data();
      if constexpr (std::is_same<Number, float>::value) {
        rounded_data = wide[i].data();
      }
      exact[i] = {wide[i].data(), rows, columns, columns, 1};
      rounded[i] = {rounded_data, rows, columns, columns, 1};
    }
  }

  Strided<float> exact[2];
  Strided<Number> rounded[2];
};

// Writes the weights `[Q, K]` to `rounded[0]`, and as float32 to `exact[0]`;
// they are one array if Number is float.
template <typename Number>
void MakeWeights(const AttentionHead<Number>& head,
                 const Memory<Number>& memory) {
  const Strided<float>& weights = memory.exact[0];
  MultiplyInto(head.queries, Transposed(head.keys), weights);
  for (int64_t i = 0; i < weights.rows; ++i) {
    const int64_t at = i * weights.columns;
    Softmax(weights.columns, head.bias + at, weights.data + at,
            memory.rounded[0].data + at);
  }
}

}  // namespace

template <typename Number>
void ProductAttention(const AttentionHead<Number>& head,
                      const Strided<Number>& out) {
  const Memory<Number> memory(head);
  MakeWeights(head, memory);
  MultiplyInto(memory.rounded[0], head.values, out);
}

template <typename Number>
void ProductAttentionGradient(const AttentionHead<Number>& head,
                              const Strided<const Number>& gradient,
                              const Strided<Number>& of_queries,
                              const Strided<Number>& of_keys,
                              const Strided<Number>& of_values) {
  const Memory<Number> memory(head);
  const Strided<float>&weights = memory.exact[0], &slopes = memory.exact[1];
  MakeWeights(head, memory);
  MultiplyInto(Transposed(memory.rounded[0]), gradient, of_values);
  MultiplyInto(gradient, Transposed(head.values), slopes);
  for (int64_t i = 0; i < weights.rows; ++i) {
    const int64_t at = i * weights.columns;
    SoftmaxGradient(weights.columns, weights.data + at, slopes.data + at,
                    memory.rounded[1].data + at);
  }
  MultiplyInto(memory.rounded[1], head.keys, of_queries);
  MultiplyInto(Transposed(memory.rounded[1]), head.queries, of_keys);
}

template void ProductAttention(const AttentionHead<float>&,
                               const Strided<float>&);
template void ProductAttention(const AttentionHead<Bfloat16>&,
                               const Strided<Bfloat16>&);
template void ProductAttentionGradient(const AttentionHead<float>&,
                                       const Strided<const float>&,
                                       const Strided<float>&,
                                       const Strided<float>&,
                                       const Strided<float>&);
template void ProductAttentionGradient(const AttentionHead<Bfloat16>&,
                                       const Strided<const Bfloat16>&,
                                       const Strided<Bfloat16>&,
                                       const Strided<Bfloat16>&,
                                       const Strided<Bfloat16>&);

}  // namespace soft_prompts
