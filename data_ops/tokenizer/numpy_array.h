// SPDX-License-Identifier: Apache-2.0
//
// Hands an array of the core's to numpy without a copy.

#ifndef DATA_OPS_TOKENIZER_NUMPY_ARRAY_H_
#define DATA_OPS_TOKENIZER_NUMPY_ARRAY_H_

#include <pybind11/numpy.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "data_ops/tokenizer/large_array.h"

namespace data_ops {

// A numpy array over the array's own memory.
template <typename T>
pybind11::array_t<T> ToNumpy(LargeArray<T> array,
                             std::vector<pybind11::ssize_t> shape) {
  T* values = array.values.get();
  pybind11::capsule owner(values, std::free);
  array.values.release();
  return pybind11::array_t<T>(std::move(shape), values, owner);
}

template <typename T>
pybind11::array_t<T> ToNumpy(LargeArray<T> array) {
  const auto size = static_cast<pybind11::ssize_t>(array.size);
  return ToNumpy(std::move(array), {size});
}

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_NUMPY_ARRAY_H_
