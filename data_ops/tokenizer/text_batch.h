// SPDX-License-Identifier: Apache-2.0
//
// A batch of texts that Python hands over, as views of the memory that Python
// holds them in: nothing is copied. Every function here requires the GIL.

#ifndef DATA_OPS_TOKENIZER_TEXT_BATCH_H_
#define DATA_OPS_TOKENIZER_TEXT_BATCH_H_

#include <pybind11/pybind11.h>

#include <string_view>
#include <vector>

namespace data_ops {

// The UTF-8 bytes of a str or bytes, valid as long as `text` lives. A str with
// a lone surrogate has none: UnicodeEncodeError. `name` and, unless negative,
// `index` are for the message.
std::string_view Utf8View(pybind11::handle text, const char* name,
                          pybind11::ssize_t index = -1);

// Views of texts, and what keeps them valid.
class TextBatch {
 public:
  // `texts` is any iterable of str or bytes; or an Arrow array of strings:
  // whatever has __arrow_c_array__, such as those of pyarrow and polars; or a
  // tuple of numpy arrays, the bytes of all texts (uint8) and where each begins
  // and the last one ends (int32 or int64). Throws TypeError for anything else,
  // ValueError for an Arrow array with a null and for offsets that do not fit.
  explicit TextBatch(const pybind11::object& texts);

  const std::vector<std::string_view>& views() const { return views_; }

 private:
  void ViewArrow(const pybind11::object& texts);
  void ViewBuffers(const pybind11::tuple& buffers);
  void ViewSequence(const pybind11::object& texts);

  pybind11::object owner_;
  std::vector<std::string_view> views_;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_TEXT_BATCH_H_
