// SPDX-License-Identifier: Apache-2.0
//
// Python's view of the tokenizer: reads str and bytes in place, releases the
// GIL while the core works, hands its memory to numpy, turns statuses into
// exceptions. It decides nothing about text.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data_ops/tokenizer/numpy_array.h"
#include "data_ops/tokenizer/status.h"
#include "data_ops/tokenizer/text_batch.h"
#include "data_ops/tokenizer/tokenizer.h"

namespace py = pybind11;

namespace data_ops {
namespace {

// The one place where a status becomes an exception. Requires the GIL.
void ThrowIfError(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
      return;
    case StatusCode::kInvalidArgument:
      throw py::value_error(status.message());
    case StatusCode::kOutOfRange:
      throw py::index_error(status.message());
    case StatusCode::kResourceExhausted:
      PyErr_SetString(PyExc_MemoryError, status.message().c_str());
      throw py::error_already_set();
    case StatusCode::kInternal:
      PyErr_SetString(PyExc_RuntimeError, status.message().c_str());
      throw py::error_already_set();
  }
}

template <typename T>
T ValueOrThrow(StatusOr<T> result) {
  ThrowIfError(result.status());
  return std::move(result).value();
}

// Calls `work` without the GIL.
template <typename Work>
auto Unlocked(const Work& work) {
  py::gil_scoped_release release;
  return work();
}

// A piece may hold any bytes, so a decoded text need not be UTF-8.
py::str ToStr(const std::string& text) {
  PyObject* str = PyUnicode_DecodeUTF8(
      text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  if (str == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(str);
}

Semantics SemanticsOf(const std::string& name) {
  if (name == "classic") return Semantics::kClassic;
  if (name == "0.2.3") return Semantics::k023;
  throw py::value_error("semantics is '" + name +
                        "'; 'classic' (sentencepiece up to 0.2.1 and "
                        "tensorflow_text) or '0.2.3' is accepted.");
}

size_t CacheBytes(double megabytes) {
  if (megabytes >= 0 && megabytes <= 4096) {
    return static_cast<size_t>(megabytes * (1 << 20));
  }
  throw py::value_error("cache_mb is " + std::to_string(megabytes) +
                        "; it must be from 0 to 4096.");
}

std::unique_ptr<Tokenizer> Create(const py::bytes& model, int extra_ids,
                                  bool reverse_extra_ids, int num_threads,
                                  const std::string& semantics, double cache_mb,
                                  double verify_fraction) {
  TokenizerOptions options;
  options.model = {extra_ids, reverse_extra_ids, SemanticsOf(semantics)};
  options.num_threads = num_threads;
  options.cache_bytes = CacheBytes(cache_mb);
  options.verify_fraction = verify_fraction;
  const std::string_view bytes = model;
  return ValueOrThrow(
      Unlocked([&] { return Tokenizer::Create(bytes, options); }));
}

std::vector<int32_t> Encode(const Tokenizer& tokenizer,
                            const py::object& text) {
  const std::string_view view = Utf8View(text, "text");
  return ValueOrThrow(Unlocked([&] { return tokenizer.Encode(view); }));
}

py::tuple EncodeWithOffsets(const Tokenizer& tokenizer,
                            const py::object& text) {
  const std::string_view view = Utf8View(text, "text");
  const std::vector<TokenSpan> tokens =
      ValueOrThrow(Unlocked([&] { return tokenizer.EncodeWithSpans(view); }));
  const auto count = static_cast<py::ssize_t>(tokens.size());
  py::array_t<int32_t> ids(count);
  py::array_t<int64_t> offsets({count, py::ssize_t{2}});
  for (py::ssize_t i = 0; i < count; ++i) {
    const TokenSpan& token = tokens[static_cast<size_t>(i)];
    ids.mutable_at(i) = token.id;
    offsets.mutable_at(i, 0) = token.begin;
    offsets.mutable_at(i, 1) = token.end;
  }
  return py::make_tuple(ids, offsets);
}

py::tuple EncodeBatch(const Tokenizer& tokenizer, const py::object& texts) {
  const TextBatch batch(texts);
  RaggedIds ragged = ValueOrThrow(
      Unlocked([&] { return tokenizer.EncodeBatch(batch.views()); }));
  return py::make_tuple(ToNumpy(std::move(ragged.values)),
                        ToNumpy(std::move(ragged.row_splits)));
}

py::array_t<int32_t> EncodePadded(const Tokenizer& tokenizer,
                                  const py::object& texts, int64_t max_len,
                                  int32_t pad, std::optional<int32_t> eos) {
  const TextBatch batch(texts);
  // A length that the core is about to refuse must not be allocated first.
  const size_t columns =
      max_len < 1 || max_len > std::numeric_limits<int32_t>::max()
          ? 0
          : static_cast<size_t>(max_len);
  const size_t rows = batch.views().size();
  if (columns > 0 && rows > SIZE_MAX / sizeof(int32_t) / columns) {
    throw std::bad_alloc();
  }
  LargeArray<int32_t> ids(rows * columns);
  ThrowIfError(Unlocked([&] {
    return tokenizer.EncodePadded(batch.views(), {max_len, pad, eos},
                                  ids.begin(), /*lengths=*/nullptr);
  }));
  return ToNumpy(std::move(ids), {static_cast<py::ssize_t>(rows),
                                  static_cast<py::ssize_t>(columns)});
}

py::str Decode(const Tokenizer& tokenizer, const std::vector<int>& ids) {
  return ToStr(ValueOrThrow(
      Unlocked([&] { return tokenizer.Decode(ids.data(), ids.size()); })));
}

py::list DecodeRows(const Tokenizer& tokenizer, const int32_t* ids,
                    const int64_t* row_splits, size_t rows) {
  const std::vector<std::string> texts = ValueOrThrow(
      Unlocked([&] { return tokenizer.DecodeRows(ids, row_splits, rows); }));
  py::list result(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) result[i] = ToStr(texts[i]);
  return result;
}

py::list DecodeLists(const Tokenizer& tokenizer,
                     const std::vector<std::vector<int>>& rows) {
  std::vector<int32_t> ids;
  std::vector<int64_t> row_splits = {0};
  for (const std::vector<int>& row : rows) {
    ids.insert(ids.end(), row.begin(), row.end());
    row_splits.push_back(static_cast<int64_t>(ids.size()));
  }
  return DecodeRows(tokenizer, ids.data(), row_splits.data(), rows.size());
}

// The ids of an integer array of any width. One that does not fit is as unknown
// as INT32_MAX.
std::vector<int32_t> Narrow(const py::array& array) {
  const py::array_t<int64_t, py::array::c_style | py::array::forcecast> wide(
      array);
  std::vector<int32_t> ids(static_cast<size_t>(wide.size()));
  const int64_t* from = wide.data();
  for (int32_t& id : ids) {
    const int64_t value = *from++;
    id = static_cast<int32_t>(std::clamp<int64_t>(value, INT32_MIN, INT32_MAX));
  }
  return ids;
}

py::list DecodeArray(const Tokenizer& tokenizer, const py::array& rows) {
  const char kind = rows.dtype().kind();
  // Other arrays are sequences of rows like any other.
  if (rows.ndim() != 2 || (kind != 'i' && kind != 'u')) {
    throw py::reference_cast_error();
  }
  const std::vector<int32_t> ids = Narrow(rows);
  std::vector<int64_t> row_splits;
  for (py::ssize_t i = 0; i <= rows.shape(0); ++i) {
    row_splits.push_back(i * rows.shape(1));
  }
  return DecodeRows(tokenizer, ids.data(), row_splits.data(),
                    static_cast<size_t>(rows.shape(0)));
}

py::list DecodeRagged(const Tokenizer& tokenizer, const py::array& values,
                      const py::array_t<int64_t>& row_splits) {
  const char kind = values.dtype().kind();
  if (values.ndim() != 1 || row_splits.ndim() != 1 ||
      (kind != 'i' && kind != 'u' && values.size() > 0)) {
    throw py::type_error(
        "values and row_splits must be integer arrays of one dimension, as "
        "encode_batch returns them.");
  }
  std::vector<int64_t> borders;
  for (py::ssize_t i = 0; i < row_splits.size(); ++i) {
    borders.push_back(row_splits.at(i));
  }
  if (borders.empty() || borders.front() != 0 ||
      borders.back() != values.size() ||
      !std::is_sorted(borders.begin(), borders.end())) {
    throw py::value_error(
        "row_splits must rise from 0 to the number of values, " +
        std::to_string(values.size()) + ".");
  }
  const std::vector<int32_t> ids = Narrow(values);
  return DecodeRows(tokenizer, ids.data(), borders.data(), borders.size() - 1);
}

py::str IdToPiece(const Tokenizer& tokenizer, int id) {
  return ToStr(ValueOrThrow(tokenizer.IdToPiece(id)));
}

int PieceToId(const Tokenizer& tokenizer, const py::object& piece) {
  return tokenizer.model().PieceToId(Utf8View(piece, "piece"));
}

py::bytes SerializedModel(const Tokenizer& tokenizer) {
  return tokenizer.model().Serialized();
}

// A getter of something that the model knows.
template <int (Model::*kGetter)() const>
auto ModelValue() {
  return
      [](const Tokenizer& tokenizer) { return (tokenizer.model().*kGetter)(); };
}

constexpr char kClassDoc[] =
    R"(Text to ids and back with a SentencePiece model; immutable, thread-safe.

Every method releases the GIL while it works. Texts are str or bytes of UTF-8;
what is not UTF-8 becomes U+FFFD. Tokenizers of one model share it.

Args:
  model: the content of a .model file.
  extra_ids: sentinels <extra_id_N> to append after the pieces of the model; 0
    for a model that already holds them.
  reverse_extra_ids: whether <extra_id_0> gets the highest id, as in T5.
  num_threads: threads of one batch call; 0 means one per processor.
  semantics: "classic" gives the ids of sentencepiece <= 0.2.1 and of
    tensorflow_text, with which every T5 was trained; "0.2.3" those of that
    release. They differ in a few texts of a thousand.
  cache_mb: memory for remembered words, per thread.
  verify_fraction: the chance of each text to be encoded a second, slow way; a
    difference, which would be a defect, raises RuntimeError.

Raises:
  ValueError: the bytes are not a whole model, or an option does not fit it.)";

constexpr char kEncodeBatchDoc[] =
    R"(Ids of every text, without EOS, as (values, row_splits).

Row i is values[row_splits[i]:row_splits[i + 1]]; int32 [sum] and int64 [B + 1].
texts is any iterable of str or bytes, or, read in place, an Arrow array of
strings (whatever has __arrow_c_array__) or a pair of numpy arrays: the bytes of
all texts, uint8 [n], and their offsets, int32 or int64 [B + 1].

Raises:
  TypeError: a text is neither str nor bytes, or texts is a single one.
  UnicodeEncodeError (a ValueError): a str holds a lone surrogate.)";

constexpr char kEncodeWithOffsetsDoc[] =
    R"(Ids of one text and where each comes from: int32 [n] and int64 [n, 2].

Token i stands for bytes [offsets[i, 0], offsets[i, 1]) of the text in UTF-8, as
sentencepiece reports them.)";

constexpr char kEncodePaddedDoc[] =
    R"(Ids of every text, cut and padded to int32 [B, max_len].

With eos, a text keeps at most max_len - 1 ids and eos follows them, as after
SeqIO's append_eos_after_trim; with None it keeps at most max_len.

Raises:
  TypeError, UnicodeEncodeError: as encode_batch.
  ValueError: max_len is below 1, or eos is not an id of the vocabulary.)";

}  // namespace

PYBIND11_MODULE(tokenizer_module, m) {
  m.doc() = "SentencePiece tokenizer over whole batches; see tokenizer.h.";

  py::class_<Tokenizer>(m, "Tokenizer", kClassDoc)
      .def(py::init(&Create), py::arg("model"), py::arg("extra_ids") = 0,
           py::arg("reverse_extra_ids") = true, py::arg("num_threads") = 0,
           py::kw_only(), py::arg("semantics") = "classic",
           py::arg("cache_mb") = 16.0, py::arg("verify_fraction") = 0.0)
      .def("encode", &Encode, py::arg("text"),
           "Ids of one text as a list, without EOS.")
      .def("encode_batch", &EncodeBatch, py::arg("texts"), kEncodeBatchDoc)
      .def("encode_padded", &EncodePadded, py::arg("texts"), py::arg("max_len"),
           py::arg("pad") = 0, py::arg("eos") = 1, kEncodePaddedDoc)
      .def("encode_with_offsets", &EncodeWithOffsets, py::arg("text"),
           kEncodeWithOffsetsDoc)
      .def("decode", &Decode, py::arg("ids"),
           "Text of the ids. Raises IndexError for an id outside the "
           "vocabulary.")
      .def("decode_batch", &DecodeArray, py::arg("rows").noconvert(),
           "Texts of rows of ids: a sequence of sequences, or an integer array "
           "[B, L]. Raises IndexError as decode.")
      .def("decode_batch", &DecodeLists, py::arg("rows"))
      .def("decode_ragged", &DecodeRagged, py::arg("values"),
           py::arg("row_splits"),
           "Texts of rows of ids as encode_batch returns them. Raises "
           "IndexError as decode.")
      .def("id_to_piece", &IdToPiece, py::arg("id"),
           "Piece of an id. Raises IndexError as decode.")
      .def("piece_to_id", &PieceToId, py::arg("piece"),
           "Id of a piece, unk_id for one that the model does not have.")
      .def("serialized_model", &SerializedModel,
           "The model, extra ids included, in the format of a .model file.")
      .def_property_readonly("vocab_size", ModelValue<&Model::vocab_size>(),
                             "Number of ids, extra ids included.")
      .def_property_readonly(
          "extra_ids",
          [](const Tokenizer& t) { return t.options().model.extra_ids; },
          "Number of sentinels appended to the model.")
      .def_property_readonly("bos_id", ModelValue<&Model::bos_id>(),
                             "-1 where the model has none.")
      .def_property_readonly("eos_id", ModelValue<&Model::eos_id>(),
                             "-1 where the model has none.")
      .def_property_readonly("pad_id", ModelValue<&Model::pad_id>(),
                             "-1 where the model has none.")
      .def_property_readonly("unk_id", ModelValue<&Model::unk_id>(),
                             "The id of text that no piece covers.")
      .def_property_readonly(
          "exact_mode",
          [](const Tokenizer& t) { return Name(t.model().traits().mode); },
          "How texts are encoded: word_cache, full_viterbi or library. The ids "
          "are the same, the speed is not.")
      .def_property_readonly(
          "exact_mode_reason",
          [](const Tokenizer& t) { return t.model().traits().reason; },
          "Why the model is not encoded in a faster way.");
}

}  // namespace data_ops
