// SPDX-License-Identifier: Apache-2.0
#include "array_ops/product.h"

#include <algorithm>
#include <sstream>
#include <string>

#include "array_ops/matrices.h"
#include "array_ops/parallel.h"

namespace soft_prompts {
namespace {

using xla::ffi::AnyBuffer;
using xla::ffi::DataType;
using xla::ffi::Error;

using Numbers = xla::ffi::Span<const int64_t>;

// Multiplications that are worth another thread.
constexpr int64_t kShare = 1 << 20;

Layout ToLayout(Numbers dims, Numbers strides) {
  return {{dims.begin(), dims.end()}, {strides.begin(), strides.end()}};
}

std::string Text(const std::vector<int64_t>& numbers) {
  std::ostringstream text;
  for (size_t i = 0; i < numbers.size(); ++i) {
    text << (i ? ", " : "[") << numbers[i];
  }
  text << "]";
  return text.str();
}

// Why the layout does not lie within `elements` elements; empty if it does.
std::string Misfit(const char* name, const Layout& layout, int64_t elements) {
  const std::string said = std::string(name) + " has dims " +
                           Text(layout.dims) + " and strides " +
                           Text(layout.strides);
  if (layout.dims.size() != layout.strides.size() || layout.dims.size() < 2 ||
      layout.dims.size() > DNNL_MAX_NDIMS) {
    return said + "; both must have the same 2 to " +
           std::to_string(DNNL_MAX_NDIMS) + " axes";
  }
  int64_t last = 0;
  for (size_t i = 0; i < layout.dims.size(); ++i) {
    int64_t reach;
    if (layout.dims[i] < 1 || layout.strides[i] < 0 ||
        __builtin_mul_overflow(layout.dims[i] - 1, layout.strides[i], &reach) ||
        __builtin_add_overflow(last, reach, &last) || last >= elements) {
      return said + "; they must be positive and reach no further than its " +
             std::to_string(elements) + " elements";
    }
  }
  return "";
}

// Why the layouts are not those of one product; empty if they are.
std::string Mismatch(const Layout& a, const Layout& b, const Layout& out) {
  const size_t rank = out.dims.size();
  bool fits = a.dims.size() == rank && b.dims.size() == rank;
  for (size_t i = 0; fits && i + 2 < rank; ++i) {
    for (const Layout* layout : {&a, &b}) {
      fits = fits && (layout->dims[i] == out.dims[i] || layout->dims[i] == 1);
    }
  }
  fits = fits && a.dims[rank - 2] == out.dims[rank - 2] &&
         b.dims[rank - 1] == out.dims[rank - 1] &&
         a.dims[rank - 1] == b.dims[rank - 2];
  if (fits) return "";
  return "dims are a " + Text(a.dims) + ", b " + Text(b.dims) + ", out " +
         Text(out.dims) +
         "; they must be [..., M, K], [..., K, N], [..., M, N]";
}

// The part of `layout` that begins at `start` of an axis; sets where it begins.
Layout Part(Layout layout, size_t axis, int64_t start, int64_t size,
            int64_t* offset) {
  *offset = 0;
  if (layout.dims[axis] > 1) {
    *offset = start * layout.strides[axis];
    layout.dims[axis] = size;
  }
  return layout;
}

Error Product(xla::ffi::ThreadPool pool, AnyBuffer a, AnyBuffer b,
              xla::ffi::Result<AnyBuffer> out, Numbers a_dims,
              Numbers a_strides, Numbers b_dims, Numbers b_strides,
              Numbers out_dims, Numbers out_strides) {
  const DataType type = a.element_type(), b_type = b.element_type();
  if ((type != DataType::F32 && type != DataType::BF16) ||
      (b_type != type && b_type != DataType::BF16) ||
      out->element_type() != type) {
    return Error::InvalidArgument(
        "product: a, b and out must be all float32, all bfloat16, or b alone "
        "bfloat16");
  }
  const Layout left = ToLayout(a_dims, a_strides);
  const Layout right = ToLayout(b_dims, b_strides);
  const Layout result = ToLayout(out_dims, out_strides);
  for (const std::string& wrong :
       {Misfit("a", left, a.element_count()),
        Misfit("b", right, b.element_count()),
        Misfit("out", result, out->element_count())}) {
    if (!wrong.empty()) return Error::InvalidArgument("product: " + wrong);
  }
  const std::string wrong = Mismatch(left, right, result);
  if (!wrong.empty()) return Error::InvalidArgument("product: " + wrong);

  // Each thread takes a part of the longest axis.
  const size_t rank = result.dims.size();
  const size_t axis = std::max_element(result.dims.begin(), result.dims.end()) -
                      result.dims.begin();
  int64_t work = left.dims[rank - 1];
  for (int64_t dim : result.dims) work *= dim;
  const int64_t length = result.dims[axis];
  const int64_t threads = std::min(
      {std::max<int64_t>(pool.num_threads(), 1), length, work / kShare + 1});
  const int64_t share = (length + threads - 1) / threads;
  const auto type_of = [](DataType type) {
    return type == DataType::F32 ? dnnl::memory::data_type::f32
                                 : dnnl::memory::data_type::bf16;
  };
  const auto at = [](const AnyBuffer& array, int64_t offset) {
    const int64_t width = array.element_type() == DataType::F32 ? 4 : 2;
    return static_cast<char*>(array.untyped_data()) + offset * width;
  };
  return InParallel(pool, (length + share - 1) / share, [&](int64_t index) {
    const int64_t start = index * share;
    const int64_t size = std::min(share, length - start);
    // Rows are a's, columns are b's, other axes are both's.
    int64_t a_at = 0, b_at = 0, out_at;
    const Layout a_part =
        axis + 1 == rank ? left : Part(left, axis, start, size, &a_at);
    const Layout b_part =
        axis + 2 == rank ? right : Part(right, axis, start, size, &b_at);
    const Layout out_part = Part(result, axis, start, size, &out_at);
    Multiply(type_of(type), a_part, at(a, a_at), type_of(b_type), b_part,
             at(b, b_at), type_of(type), out_part, at(*out, out_at));
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(MultiplyHandler, Product,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<AnyBuffer>()
                                  .Arg<AnyBuffer>()
                                  .Ret<AnyBuffer>()
                                  .Attr<Numbers>("a_dims")
                                  .Attr<Numbers>("a_strides")
                                  .Attr<Numbers>("b_dims")
                                  .Attr<Numbers>("b_strides")
                                  .Attr<Numbers>("out_dims")
                                  .Attr<Numbers>("out_strides"));

}  // namespace soft_prompts
