// SPDX-License-Identifier: Apache-2.0
#include "array_ops/gated_gelu.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "array_ops/gelu.h"
#include "array_ops/parallel.h"

namespace soft_prompts {
namespace {

using xla::ffi::AnyBuffer;
using xla::ffi::DataType;
using xla::ffi::Error;
using Result = xla::ffi::Result<AnyBuffer>;

// Numbers that are worth a thread.
constexpr int64_t kShare = 1 << 16;

Error Check(std::initializer_list<AnyBuffer> arrays) {
  const AnyBuffer& first = *arrays.begin();
  bool fits = first.element_type() == DataType::F32 ||
              first.element_type() == DataType::BF16;
  for (const AnyBuffer& array : arrays) {
    const auto dims = array.dimensions(), expected = first.dimensions();
    fits =
        fits && array.element_type() == first.element_type() &&
        std::equal(dims.begin(), dims.end(), expected.begin(), expected.end());
  }
  return fits ? Error::Success()
              : Error::InvalidArgument(
                    "gated gelu: arrays must be all float32 or all bfloat16, "
                    "and of one shape");
}

template <typename Number>
Number* Data(const AnyBuffer& array) {
  return static_cast<Number*>(array.untyped_data());
}

// Calls `task(start, count)` for parts of `total` numbers.
template <typename Task>
Error ForParts(xla::ffi::ThreadPool pool, int64_t total, const Task& task) {
  return InParallel(pool, (total + kShare - 1) / kShare, [&](int64_t index) {
    const int64_t start = index * kShare;
    task(start, std::min(kShare, total - start));
  });
}

template <typename Number>
Error Forward(xla::ffi::ThreadPool pool, AnyBuffer x, AnyBuffer y, Result out) {
  return ForParts(pool, x.element_count(), [&](int64_t start, int64_t count) {
    GatedGelu(count, Data<const Number>(x) + start,
              Data<const Number>(y) + start, Data<Number>(*out) + start);
  });
}

template <typename Number>
Error Backward(xla::ffi::ThreadPool pool, AnyBuffer x, AnyBuffer y,
               AnyBuffer gradient, Result of_x, Result of_y) {
  return ForParts(pool, x.element_count(), [&](int64_t start, int64_t count) {
    GatedGeluGradient(count, Data<const Number>(x) + start,
                      Data<const Number>(y) + start,
                      Data<const Number>(gradient) + start,
                      Data<Number>(*of_x) + start, Data<Number>(*of_y) + start);
  });
}

Error Gate(xla::ffi::ThreadPool pool, AnyBuffer x, AnyBuffer y, Result out) {
  const Error error = Check({x, y, *out});
  if (error.failure()) return error;
  return x.element_type() == DataType::F32 ? Forward<float>(pool, x, y, out)
                                           : Forward<uint16_t>(pool, x, y, out);
}

Error GateGradient(xla::ffi::ThreadPool pool, AnyBuffer x, AnyBuffer y,
                   AnyBuffer gradient, Result of_x, Result of_y) {
  const Error error = Check({x, y, gradient, *of_x, *of_y});
  if (error.failure()) return error;
  return x.element_type() == DataType::F32
             ? Backward<float>(pool, x, y, gradient, of_x, of_y)
             : Backward<uint16_t>(pool, x, y, gradient, of_x, of_y);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(GatedGeluHandler, Gate,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<AnyBuffer>()
                                  .Arg<AnyBuffer>()
                                  .Ret<AnyBuffer>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(GatedGeluGradientHandler, GateGradient,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<AnyBuffer>()
                                  .Arg<AnyBuffer>()
                                  .Arg<AnyBuffer>()
                                  .Ret<AnyBuffer>()
                                  .Ret<AnyBuffer>());

}  // namespace soft_prompts
