// SPDX-License-Identifier: Apache-2.0
//
// Python's view of row_features.h and noise.h: checks the arrays, releases the
// GIL while the core works, hands its memory to numpy.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "data_ops/features/noise.h"
#include "data_ops/features/row_features.h"
#include "data_ops/tokenizer/numpy_array.h"
#include "data_ops/tokenizer/status.h"

namespace py = pybind11;

namespace data_ops {
namespace {

using Ids = py::array_t<int32_t, py::array::c_style>;
using Splits = py::array_t<int64_t, py::array::c_style>;

// The only failures are arguments that cannot work.
void ThrowIfError(const Status& status) {
  if (!status.ok()) throw py::value_error(status.message());
}

void CheckDimensions(const Ids& values, const Splits& row_splits) {
  if (values.ndim() == 1 && row_splits.ndim() == 1) return;
  throw py::value_error(
      "values and row_splits must have one dimension, as encode_batch returns "
      "them.");
}

RaggedView View(const Ids& values, const Splits& row_splits) {
  CheckDimensions(values, row_splits);
  const int64_t* splits = row_splits.data();
  const int64_t* end = splits + row_splits.size();
  if (splits == end || *splits != 0 || end[-1] != values.size() ||
      !std::is_sorted(splits, end)) {
    throw py::value_error(
        "row_splits must rise from 0 to the number of values, " +
        std::to_string(values.size()) + ".");
  }
  return {values.data(), splits, static_cast<size_t>(row_splits.size() - 1)};
}

py::tuple ToTuple(RaggedIds rows) {
  return py::make_tuple(ToNumpy(std::move(rows.values)),
                        ToNumpy(std::move(rows.row_splits)));
}

py::tuple ToTuple(InputsAndTargets made) {
  return py::make_tuple(ToTuple(std::move(made.inputs)),
                        ToTuple(std::move(made.targets)));
}

void CheckAtLeastOne(const char* name, int64_t value) {
  if (value >= 1 && value <= INT32_MAX) return;
  throw py::value_error(std::string(name) + " is " + std::to_string(value) +
                        "; it must be at least 1 and fit in 32 bits.");
}

py::array_t<int32_t> Pad(const Ids& values, const Splits& row_splits,
                         int64_t length, int32_t pad,
                         std::optional<int32_t> eos) {
  CheckAtLeastOne("length", length);
  const RaggedView rows = View(values, row_splits);
  py::array_t<int32_t> padded({static_cast<py::ssize_t>(rows.rows), length});
  int32_t* const ids = padded.mutable_data();
  py::gil_scoped_release release;
  PadRows(rows, {length, pad, eos}, ids);
  return padded;
}

// Looks at the rows that are chosen and at no other: a batch of a large split
// costs as much as one of a small split.
py::array_t<int32_t> PadChosen(const Ids& values, const Splits& row_splits,
                               const Splits& rows, int64_t length, int32_t pad,
                               std::optional<int32_t> eos) {
  CheckAtLeastOne("length", length);
  CheckDimensions(values, row_splits);
  if (rows.ndim() != 1) throw py::value_error("rows must be [B].");
  const int64_t* const chosen = rows.data();
  const int64_t* const splits = row_splits.data();
  const int64_t row_count = row_splits.size() - 1;
  for (py::ssize_t i = 0; i < rows.size(); ++i) {
    const int64_t row = chosen[i];
    if (row < -1 || row >= row_count) {
      throw py::index_error("rows[" + std::to_string(i) + "] is " +
                            std::to_string(row) + "; there are rows 0 to " +
                            std::to_string(row_count - 1) +
                            ", and -1 is a row of padding.");
    }
    if (row < 0) continue;
    if (splits[row] < 0 || splits[row] > splits[row + 1] ||
        splits[row + 1] > values.size()) {
      throw py::value_error(
          "row_splits must rise from 0 to the number of values, " +
          std::to_string(values.size()) + ".");
    }
  }
  py::array_t<int32_t> padded({rows.size(), static_cast<py::ssize_t>(length)});
  int32_t* const ids = padded.mutable_data();
  const auto count = static_cast<size_t>(rows.size());
  py::gil_scoped_release release;
  PadChosenRows({values.data(), splits, static_cast<size_t>(row_count)}, chosen,
                count, {length, pad, eos}, ids);
  return padded;
}

py::tuple DecoderFeatures(const Ids& targets) {
  if (targets.ndim() != 2) {
    throw py::value_error("targets has " + std::to_string(targets.ndim()) +
                          " dimensions; [B, L] is accepted.");
  }
  py::array_t<int32_t> inputs({targets.shape(0), targets.shape(1)});
  py::array_t<int32_t> weights({targets.shape(0), targets.shape(1)});
  const auto rows = static_cast<size_t>(targets.shape(0));
  const auto length = static_cast<size_t>(targets.shape(1));
  int32_t* const to_inputs = inputs.mutable_data();
  int32_t* const to_weights = weights.mutable_data();
  {
    py::gil_scoped_release release;
    WriteDecoderFeatures(targets.data(), rows, length, to_inputs, to_weights);
  }
  return py::make_tuple(inputs, weights);
}

py::array_t<int32_t> LengthBuckets(const Splits& lengths,
                                   const std::vector<int64_t>& widths) {
  if (widths.empty() || !std::is_sorted(widths.begin(), widths.end())) {
    throw py::value_error("widths must be at least one number, in order.");
  }
  if (lengths.ndim() != 1) throw py::value_error("lengths must be [B].");
  py::array_t<int32_t> buckets(lengths.size());
  const int64_t* from = lengths.data();
  int32_t* const to = buckets.mutable_data();
  for (py::ssize_t i = 0; i < lengths.size(); ++i) {
    to[i] = static_cast<int32_t>(
        LengthBucket(from[i], widths.data(), widths.size()));
  }
  return buckets;
}

py::array_t<int64_t> Split(const Ids& values, const Splits& row_splits,
                           int64_t max_size) {
  CheckAtLeastOne("max_size", max_size);
  return ToNumpy(SplitRows(View(values, row_splits), max_size));
}

py::tuple Take(const Ids& values, const Splits& row_splits,
               const Splits& rows) {
  const RaggedView view = View(values, row_splits);
  if (rows.ndim() != 1) throw py::value_error("rows must be [B].");
  const int64_t* const indices = rows.data();
  const auto count = static_cast<size_t>(rows.size());
  for (size_t i = 0; i < count; ++i) {
    if (indices[i] >= 0 && static_cast<size_t>(indices[i]) < view.rows)
      continue;
    throw py::index_error(
        "rows[" + std::to_string(i) + "] is " + std::to_string(indices[i]) +
        "; there are rows 0 to " +
        std::to_string(static_cast<int64_t>(view.rows) - 1) + ".");
  }
  return ToTuple(TakeRows(view, indices, count));
}

py::tuple Corrupt(const Ids& values, const Splits& row_splits, uint64_t seed,
                  int32_t first_sentinel, double noise_density,
                  double mean_noise_span_length, uint64_t first_row) {
  const RaggedView rows = View(values, row_splits);
  const SpanOptions options = {noise_density, mean_noise_span_length,
                               first_sentinel};
  const size_t threads = std::max(1u, std::thread::hardware_concurrency());
  auto made = [&] {
    py::gil_scoped_release release;
    return CorruptSpans(rows, options, seed, first_row, threads);
  }();
  ThrowIfError(made.status());
  return ToTuple(std::move(made).value());
}

py::tuple Prefixes(const Ids& values, const Splits& row_splits, uint64_t seed,
                   uint64_t first_row) {
  const RaggedView rows = View(values, row_splits);
  auto made = [&] {
    py::gil_scoped_release release;
    return SplitPrefixes(rows, seed, first_row);
  }();
  return ToTuple(std::move(made));
}

py::tuple SpanLengthsOf(int64_t inputs_length, double noise_density,
                        double mean_noise_span_length) {
  CheckAtLeastOne("inputs_length", inputs_length);
  const auto lengths =
      LongestRow(inputs_length, {noise_density, mean_noise_span_length, 0});
  ThrowIfError(lengths.status());
  return py::make_tuple(lengths.value().tokens, lengths.value().targets);
}

py::tuple DrawSpans(int64_t length, uint64_t seed, uint64_t row,
                    double noise_density, double mean_noise_span_length) {
  CheckAtLeastOne("length", length);
  const Spans spans =
      RandomSpans(static_cast<size_t>(length),
                  {noise_density, mean_noise_span_length, 0}, seed, row);
  return py::make_tuple(spans.kept, spans.noise);
}

}  // namespace

PYBIND11_MODULE(features_module, m) {
  m.doc() =
      "From rows of ids to the arrays that a model takes; see row_features.h "
      "and noise.h. Rows are (values int32 [sum], row_splits int64 [B + 1]), "
      "as Tokenizer.encode_batch returns them.";
  m.def("pad_rows", &Pad, py::arg("values"), py::arg("row_splits"),
        py::arg("length"), py::arg("pad") = 0, py::arg("eos") = 1,
        "int32 [B, length]: cut, then EOS, then padding, as SeqIO's "
        "append_eos_after_trim and trim_and_pad; with eos=None without EOS.");
  m.def(
      "pad_chosen_rows", &PadChosen, py::arg("values"), py::arg("row_splits"),
      py::arg("rows"), py::arg("length"), py::arg("pad") = 0,
      py::arg("eos") = 1,
      "The same of rows [B] by number; -1 is a row of padding alone. No other "
      "row is looked at. Raises IndexError for a number that is no row's.");
  m.def("decoder_features", &DecoderFeatures, py::arg("targets"),
        "Of int32 [B, L]: (decoder_input_tokens, decoder_loss_weights), both "
        "int32 [B, L], as SeqIO's EncDecFeatureConverter.");
  m.def("length_buckets", &LengthBuckets, py::arg("lengths"), py::arg("widths"),
        "Of lengths [B]: int32 [B], the first of the rising widths that is not "
        "smaller; the last for what is longer than all of them.");
  m.def("split_rows", &Split, py::arg("values"), py::arg("row_splits"),
        py::arg("max_size"),
        "row_splits of the same values cut into rows of at most max_size, as "
        "T5's split_tokens.");
  m.def("take_rows", &Take, py::arg("values"), py::arg("row_splits"),
        py::arg("rows"),
        "Rows by number, as (values, row_splits): encode label words once, "
        "take them by label. Raises IndexError for a number that is not one.");
  m.def("corrupt_spans", &Corrupt, py::arg("values"), py::arg("row_splits"),
        py::kw_only(), py::arg("seed"), py::arg("first_sentinel"),
        py::arg("noise_density") = 0.15,
        py::arg("mean_noise_span_length") = 3.0, py::arg("first_row") = 0,
        "T5's span corruption, as (inputs, targets), rows each, without EOS. "
        "Row i is a function of its ids, of seed and of first_row + i. "
        "Sentinels count down from first_sentinel.");
  m.def("split_prefixes", &Prefixes, py::arg("values"), py::arg("row_splits"),
        py::kw_only(), py::arg("seed"), py::arg("first_row") = 0,
        "T5's prefix language modelling, as corrupt_spans.");
  m.def("span_corruption_lengths", &SpanLengthsOf, py::arg("inputs_length"),
        py::arg("noise_density") = 0.15,
        py::arg("mean_noise_span_length") = 3.0,
        "(tokens of a row, length of its targets with EOS) that fill inputs of "
        "inputs_length with EOS, as T5's random_spans_helper.");
  m.def("draw_spans", &DrawSpans, py::arg("length"), py::kw_only(),
        py::arg("seed"), py::arg("row"), py::arg("noise_density") = 0.15,
        py::arg("mean_noise_span_length") = 3.0,
        "(kept, noise): the sizes of the spans that corrupt_spans draws for a "
        "row of that length, in turn, a kept one first.");
}

}  // namespace data_ops
