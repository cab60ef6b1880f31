// SPDX-License-Identifier: Apache-2.0
#include "array_ops/product.h"
#include "pybind11/pybind11.h"

namespace py = pybind11;

PYBIND11_MODULE(product_module, m) {
  m.doc() = "Handlers of XLA's custom calls on CPUs.";
  m.def(
      "multiply",
      [] {
        return py::capsule(
            reinterpret_cast<void*>(&soft_prompts::MultiplyHandler));
      },
      "The handler of a strided matrix product, for "
      "jax.ffi.register_ffi_target.");
}
