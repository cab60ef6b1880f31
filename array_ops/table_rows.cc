// SPDX-License-Identifier: Apache-2.0
#include "array_ops/table_rows.h"

#include <algorithm>
#include <cstdint>

#include "array_ops/strided.h"

namespace soft_prompts {
namespace {

using xla::ffi::BF16;
using xla::ffi::Error;
using xla::ffi::S32;
using Table = xla::ffi::Buffer<BF16>;

constexpr Bfloat16 kNan = 0x7fc0;

Error Rows(Table table, xla::ffi::Buffer<S32> tokens,
           xla::ffi::Result<Table> out) {
  const auto dims = table.dimensions();
  if (dims.size() != 2 ||
      static_cast<int64_t>(out->element_count()) !=
          static_cast<int64_t>(tokens.element_count()) * dims[1]) {
    return Error::InvalidArgument(
        "rows: the table must be [V, H], and the result of the tokens' shape "
        "and H");
  }
  const int64_t count = dims[0], width = dims[1];
  const auto* from = static_cast<const Bfloat16*>(table.untyped_data());
  auto* to = static_cast<Bfloat16*>(out->untyped_data());
  const int32_t* token = tokens.typed_data();
  for (size_t i = 0; i < tokens.element_count(); ++i, to += width) {
    const int64_t row = token[i] < 0 ? token[i] + count : token[i];
    if (row < 0 || row >= count) {
      std::fill_n(to, width, kNan);
    } else {
      std::copy_n(from + row * width, width, to);
    }
  }
  return Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(RowsHandler, Rows,
                              xla::ffi::Ffi::Bind()
                                  .Arg<Table>()
                                  .Arg<xla::ffi::Buffer<S32>>()
                                  .Ret<Table>());

}  // namespace soft_prompts
