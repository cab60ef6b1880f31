// SPDX-License-Identifier: Apache-2.0
#include "array_ops/attention.h"
#include "array_ops/gated_gelu.h"
#include "array_ops/product.h"
#include "array_ops/table_rows.h"
#include "pybind11/pybind11.h"

namespace py = pybind11;

PYBIND11_MODULE(product_module, m) {
  m.doc() = "Handlers of XLA's custom calls on CPUs.";
  const auto capsule = [](XLA_FFI_Error* (*handler)(XLA_FFI_CallFrame*)) {
    return py::capsule(reinterpret_cast<void*>(handler));
  };
  m.def(
      "handlers",
      [capsule] {
        py::dict found;
        found["soft_prompts_product"] = capsule(&soft_prompts::MultiplyHandler);
        found["soft_prompts_attention"] =
            capsule(&soft_prompts::AttentionHandler);
        found["soft_prompts_attention_gradient"] =
            capsule(&soft_prompts::AttentionGradientHandler);
        found["soft_prompts_gated_gelu"] =
            capsule(&soft_prompts::GatedGeluHandler);
        found["soft_prompts_gated_gelu_gradient"] =
            capsule(&soft_prompts::GatedGeluGradientHandler);
        found["soft_prompts_rows"] = capsule(&soft_prompts::RowsHandler);
        return found;
      },
      "Handlers by name, for jax.ffi.register_ffi_target.");
}
