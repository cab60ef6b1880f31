// SPDX-License-Identifier: Apache-2.0
#include "array_ops/matrices.h"

#include <omp.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>

#include "array_ops/amx.h"
#include "array_ops/skinny_product.h"
#include "array_ops/split_product.h"
#include "array_ops/tile_product.h"

namespace soft_prompts {
namespace {

using dnnl::memory;

// Shapes are few in training; serving may see many.
constexpr size_t kMostPrograms = 1024;
// As many as every kernel of few rows takes.
constexpr int64_t kFewRows = 16;

struct Program {
  memory::desc a, b, out;
  dnnl::matmul matmul;
};

// What a thread keeps. XLA calls from threads of its own and divides the work
// among them, so oneDNN must not start a team for each.
struct Thread {
  Thread() : engine(dnnl::engine::kind::cpu, 0), stream(engine) {
    omp_set_num_threads(1);
  }

  dnnl::engine engine;
  dnnl::stream stream;
  std::map<std::vector<int64_t>, Program> programs;
};

Program MakeProgram(const dnnl::engine& engine, memory::data_type type,
                    const Layout& a, const Layout& b,
                    memory::data_type out_type, const Layout& out) {
  Program program;
  program.a = memory::desc(a.dims, type, a.strides);
  program.b = memory::desc(b.dims, type, b.strides);
  program.out = memory::desc(out.dims, out_type, out.strides);
  program.matmul = dnnl::matmul(
      dnnl::matmul::primitive_desc(engine, program.a, program.b, program.out));
  return program;
}

template <typename Number>
Strided<Number> LastAxes(const Layout& layout, Number* data) {
  const size_t row = layout.dims.size() - 2;
  return {data, layout.dims[row], layout.dims[row + 1], layout.strides[row],
          layout.strides[row + 1]};
}

// The elements before matrix `index` of those that the leading axes of `dims`
// count, in an array that may be broadcast along some of them.
int64_t Offset(const Layout& layout, const std::vector<int64_t>& dims,
               int64_t index) {
  int64_t offset = 0;
  for (size_t axis = dims.size() - 2; axis-- > 0; index /= dims[axis]) {
    if (layout.dims[axis] > 1) {
      offset += index % dims[axis] * layout.strides[axis];
    }
  }
  return offset;
}

template <typename A, typename B, typename Out>
using Kernel = void (*)(const Strided<const A>&, const Strided<const B>&,
                        const Strided<Out>&);

// How our own kernels compute a product; null for oneDNN's.
template <typename A, typename B, typename Out>
Kernel<A, B, Out> OwnKernel(const Strided<const A>& a,
                            const Strided<const B>& b,
                            const Strided<Out>& out) {
  const bool tiles = std::is_same<A, float>::value ? SplitsFloat32() : HasAmx();
  if (tiles && SuitsTileProduct(a, b, out)) return TileProduct<A, B, Out>;
  if (SuitsSkinnyProduct(a, b, out)) return SkinnyProduct<A, B, Out>;
  if constexpr (std::is_same<B, float>::value) {
    if (SplitsFloat32() && SuitsSplitProduct(a, b, out)) return SplitProduct;
  }
  return nullptr;
}

// Whether one of our own kernels computed the product.
template <typename A, typename B, typename Out>
bool MultiplyOwn(const Layout& a, const void* a_data, const Layout& b,
                 const void* b_data, const Layout& out, void* out_data) {
  const A* const left = static_cast<const A*>(a_data);
  const B* const right = static_cast<const B*>(b_data);
  Out* const result = static_cast<Out*>(out_data);
  const auto matrices = [&](int64_t index, int64_t row, int64_t rows) {
    const auto all = LastAxes(a, left + Offset(a, out.dims, index));
    const auto to = LastAxes(out, result + Offset(out, out.dims, index));
    return std::make_tuple(all.Rows(row, rows),
                           LastAxes(b, right + Offset(b, out.dims, index)),
                           to.Rows(row, rows));
  };
  const int64_t rows = out.dims[out.dims.size() - 2];
  const auto kernel_of = [&](int64_t rows) {
    return std::apply(OwnKernel<A, B, Out>, matrices(0, 0, rows));
  };
  // oneDNN does not mix types: then some rows after others.
  int64_t some = rows;
  if (!std::is_same<A, B>::value && !kernel_of(rows)) {
    some = std::min(rows, kFewRows);
  }
  const auto kernel = kernel_of(some);
  const auto last_kernel = kernel_of((rows - 1) % some + 1);
  if (!kernel || !last_kernel) return false;
  int64_t count = 1;
  for (size_t axis = 0; axis + 2 < out.dims.size(); ++axis) {
    count *= out.dims[axis];
  }
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t row = 0; row < rows; row += some) {
      const int64_t size = std::min(some, rows - row);
      std::apply(size == some ? kernel : last_kernel, matrices(i, row, size));
    }
  }
  return true;
}

}  // namespace

void Multiply(memory::data_type a_type, const Layout& a, const void* a_data,
              memory::data_type b_type, const Layout& b, const void* b_data,
              memory::data_type out_type, const Layout& out, void* out_data) {
  const auto f32 = memory::data_type::f32;
  const auto own = b_type == f32   ? MultiplyOwn<float, float, float>
                   : a_type == f32 ? MultiplyOwn<float, Bfloat16, float>
                   : out_type == f32
                       ? MultiplyOwn<Bfloat16, Bfloat16, float>
                       : MultiplyOwn<Bfloat16, Bfloat16, Bfloat16>;
  if (own(a, a_data, b, b_data, out, out_data)) return;
  if (a_type != b_type) {
    throw std::invalid_argument(
        "a float32 and a bfloat16 array are multiplied only where the second's "
        "rows have no gaps, or its columns and the first's rows have none");
  }
  thread_local Thread thread;
  std::vector<int64_t> key = {static_cast<int64_t>(a_type),
                              static_cast<int64_t>(out_type)};
  for (const Layout* layout : {&a, &b, &out}) {
    key.insert(key.end(), layout->dims.begin(), layout->dims.end());
    key.insert(key.end(), layout->strides.begin(), layout->strides.end());
  }
  auto found = thread.programs.find(key);
  if (found == thread.programs.end()) {
    if (thread.programs.size() >= kMostPrograms) thread.programs.clear();
    Program program = MakeProgram(thread.engine, a_type, a, b, out_type, out);
    found = thread.programs.emplace(std::move(key), std::move(program)).first;
  }
  const Program& program = found->second;
  const auto argument = [](const memory::desc& desc, const void* data) {
    return memory(desc, thread.engine, const_cast<void*>(data));
  };
  program.matmul.execute(thread.stream,
                         {{DNNL_ARG_SRC, argument(program.a, a_data)},
                          {DNNL_ARG_WEIGHTS, argument(program.b, b_data)},
                          {DNNL_ARG_DST, argument(program.out, out_data)}});
  thread.stream.wait();
}

}  // namespace soft_prompts
