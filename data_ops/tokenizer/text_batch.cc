// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/text_batch.h"

#include <pybind11/numpy.h>

#include <algorithm>
#include <cstdint>
#include <string>

namespace py = pybind11;

namespace data_ops {
namespace {

// The C data interface of Apache Arrow, the fields of it that matter here: the
// layout is fixed for good.
struct ArrowSchema {
  const char* format;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;  // -1: not counted
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
};

bool IsNull(const ArrowArray& array, int64_t i) {
  const auto* valid = static_cast<const uint8_t*>(array.buffers[0]);
  if (array.null_count == 0 || valid == nullptr) return false;
  const int64_t bit = array.offset + i;
  return (valid[bit / 8] >> (bit % 8) & 1) == 0;
}

template <typename Offset>
void AppendViews(const ArrowArray& array,
                 std::vector<std::string_view>* views) {
  const auto* offsets =
      static_cast<const Offset*>(array.buffers[1]) + array.offset;
  const auto* data = static_cast<const char*>(array.buffers[2]);
  views->reserve(static_cast<size_t>(array.length));
  for (int64_t i = 0; i < array.length; ++i) {
    if (IsNull(array, i)) {
      throw py::value_error("texts[" + std::to_string(i) +
                            "] is null; fill nulls first.");
    }
    views->emplace_back(data + offsets[i],
                        static_cast<size_t>(offsets[i + 1] - offsets[i]));
  }
}

// Whether `texts` is a pair of numpy arrays: no sequence of texts is.
bool AreBuffers(const py::object& texts) {
  return PyTuple_Check(texts.ptr()) && PyTuple_GET_SIZE(texts.ptr()) == 2 &&
         py::isinstance<py::array>(PyTuple_GET_ITEM(texts.ptr(), 0)) &&
         py::isinstance<py::array>(PyTuple_GET_ITEM(texts.ptr(), 1));
}

}  // namespace

std::string_view Utf8View(py::handle text, const char* name,
                          py::ssize_t index) {
  char* data = nullptr;
  Py_ssize_t size = 0;
  if (PyUnicode_Check(text.ptr())) {
    const char* utf8 = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
    if (utf8 == nullptr) throw py::error_already_set();
    return {utf8, static_cast<size_t>(size)};
  }
  if (PyBytes_Check(text.ptr())) {
    if (PyBytes_AsStringAndSize(text.ptr(), &data, &size) != 0) {
      throw py::error_already_set();
    }
    return {data, static_cast<size_t>(size)};
  }
  const std::string where =
      index < 0 ? name : name + ("[" + std::to_string(index) + "]");
  throw py::type_error(where + " is of type " + Py_TYPE(text.ptr())->tp_name +
                       "; str or bytes is accepted.");
}

TextBatch::TextBatch(const py::object& texts) {
  if (py::hasattr(texts, "__arrow_c_array__")) {
    ViewArrow(texts);
  } else if (AreBuffers(texts)) {
    ViewBuffers(py::reinterpret_borrow<py::tuple>(texts));
  } else {
    ViewSequence(texts);
  }
}

void TextBatch::ViewArrow(const py::object& texts) {
  // The capsules release the array when they go.
  const py::tuple capsules = texts.attr("__arrow_c_array__")();
  owner_ = capsules;
  const auto* schema = static_cast<const ArrowSchema*>(
      PyCapsule_GetPointer(py::object(capsules[0]).ptr(), "arrow_schema"));
  if (schema == nullptr) throw py::error_already_set();
  const auto* array = static_cast<const ArrowArray*>(
      PyCapsule_GetPointer(py::object(capsules[1]).ptr(), "arrow_array"));
  if (array == nullptr) throw py::error_already_set();
  const std::string_view format = schema->format;
  if (format == "u" || format == "z") {
    AppendViews<int32_t>(*array, &views_);
  } else if (format == "U" || format == "Z") {
    AppendViews<int64_t>(*array, &views_);
  } else {
    throw py::type_error("texts is an Arrow array of format '" +
                         std::string(format) +
                         "'; string, binary, large_string or large_binary is "
                         "accepted, cast it.");
  }
}

void TextBatch::ViewBuffers(const py::tuple& buffers) {
  const py::array data = buffers[0], given_offsets = buffers[1];
  if (!py::isinstance<py::array_t<uint8_t, py::array::c_style>>(data) ||
      data.ndim() != 1 || given_offsets.ndim() != 1 ||
      given_offsets.dtype().kind() != 'i') {
    throw py::type_error(
        "texts is a pair of arrays; the bytes of the texts as contiguous uint8 "
        "[n] and their offsets as int32 or int64 [B + 1] are accepted.");
  }
  const py::array_t<int64_t, py::array::c_style | py::array::forcecast> offsets(
      given_offsets);
  const int64_t* const begin = offsets.data();
  const int64_t* const end = begin + offsets.size();
  if (begin == end || *begin < 0 || end[-1] > data.size() ||
      !std::is_sorted(begin, end)) {
    throw py::value_error(
        "the offsets of the texts must be at least one number and rise from 0 "
        "or more to at most the number of bytes, " +
        std::to_string(data.size()) + ".");
  }
  owner_ = data;
  const auto* bytes = static_cast<const char*>(data.data());
  views_.reserve(static_cast<size_t>(end - begin) - 1);
  for (const int64_t* offset = begin; offset + 1 < end; ++offset) {
    views_.emplace_back(bytes + *offset,
                        static_cast<size_t>(offset[1] - *offset));
  }
}

void TextBatch::ViewSequence(const py::object& texts) {
  // Both are sequences of what could be texts, and never what was meant.
  if (PyUnicode_Check(texts.ptr()) || PyBytes_Check(texts.ptr())) {
    throw py::type_error("texts is a single " +
                         std::string(Py_TYPE(texts.ptr())->tp_name) +
                         "; a sequence of str or bytes is accepted.");
  }
  // A tuple is a copy of the caller's list, which another thread may change
  // while this one works without the GIL.
  PyObject* tuple = PySequence_Tuple(texts.ptr());
  if (tuple == nullptr) throw py::error_already_set();
  owner_ = py::reinterpret_steal<py::object>(tuple);
  const py::ssize_t count = PyTuple_GET_SIZE(tuple);
  views_.reserve(static_cast<size_t>(count));
  for (py::ssize_t i = 0; i < count; ++i) {
    views_.push_back(Utf8View(PyTuple_GET_ITEM(tuple, i), "texts", i));
  }
}

}  // namespace data_ops
