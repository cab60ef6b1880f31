// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/tokenizer.h"

#include <algorithm>
#include <limits>
#include <new>
#include <thread>
#include <utility>

#include "data_ops/tokenizer/verifying_encoder.h"
#include "data_ops/tokenizer/word_encoder.h"
#include "data_ops/tokenizer/work_split.h"
#include "sentencepiece_processor.h"

namespace data_ops {
namespace {

// A text costs its bytes and a constant, so that many empty texts are work too.
constexpr size_t kTextCost = 32;
// About a tenth of a millisecond of encoding; waking a thread takes a tenth of
// that.
constexpr size_t kMinCostPerPart = size_t{1} << 14;
// Padded rows are written a few kilobytes of text at a time, while their ids
// are still in the processor's cache.
constexpr size_t kPaddedStepBytes = size_t{1} << 13;
// Padded rows of this size together no longer leave room in the second-level
// cache for the words that are remembered.
constexpr size_t kStreamBytes = size_t{1} << 20;

Status CheckOptions(const TokenizerOptions& options) {
  if (options.num_threads < 0) {
    return InvalidArgument("num_threads is " +
                           std::to_string(options.num_threads) +
                           "; it must be positive, or 0 for one thread per "
                           "processor.");
  }
  if (!(options.verify_fraction >= 0 && options.verify_fraction <= 1)) {
    return InvalidArgument("verify_fraction is " +
                           std::to_string(options.verify_fraction) +
                           "; it must be from 0 to 1.");
  }
  return Status();
}

Status CheckLayout(const PaddedLayout& layout, int vocab_size) {
  if (layout.length < 1 ||
      layout.length > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument("max_len is " + std::to_string(layout.length) +
                           "; it must be at least 1 and fit in 32 bits.");
  }
  if (layout.eos && (*layout.eos < 0 || *layout.eos >= vocab_size)) {
    return InvalidArgument("eos is " + std::to_string(*layout.eos) +
                           "; it must be an id of the vocabulary, 0 to " +
                           std::to_string(vocab_size - 1) +
                           ", or None for rows without it.");
  }
  return Status();
}

Status CheckText(std::string_view text) {
  if (text.size() <= Tokenizer::kMaxTextBytes) return Status();
  return InvalidArgument(
      "a text has " + std::to_string(text.size()) + " bytes; at most " +
      std::to_string(Tokenizer::kMaxTextBytes) + " are accepted, split it.");
}

Status CheckTexts(const Tokenizer::Texts& texts) {
  for (const std::string_view text : texts) {
    if (Status status = CheckText(text); !status.ok()) return status;
  }
  return Status();
}

}  // namespace

class Tokenizer::Lease {
 public:
  explicit Lease(const Tokenizer* tokenizer) : tokenizer_(*tokenizer) {
    {
      const std::lock_guard<std::mutex> lock(tokenizer_.mutex_);
      if (!tokenizer_.idle_.empty()) {
        worker_ = std::move(tokenizer_.idle_.back());
        tokenizer_.idle_.pop_back();
      }
    }
    if (worker_ == nullptr) {
      auto encoder = tokenizer_.NewEncoder();
      if (!encoder.ok()) {
        status_ = encoder.status();
        return;
      }
      worker_ = std::make_unique<Worker>();
      worker_->encoder = std::move(encoder).value();
    }
    worker_->ids.clear();
    worker_->ends.clear();
  }

  ~Lease() {
    if (worker_ == nullptr) return;
    const std::lock_guard<std::mutex> lock(tokenizer_.mutex_);
    tokenizer_.idle_.push_back(std::move(worker_));
  }

  Lease(Lease&&) = delete;

  const Status& status() const { return status_; }
  Worker* operator->() const { return worker_.get(); }

 private:
  const Tokenizer& tokenizer_;
  std::unique_ptr<Worker> worker_;
  Status status_;
};

StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Create(
    std::string_view model, const TokenizerOptions& options) {
  if (Status status = CheckOptions(options); !status.ok()) return status;
  auto loaded = Model::Load(model, options.model);
  if (!loaded.ok()) return loaded.status();
  return std::unique_ptr<Tokenizer>(
      new Tokenizer(std::move(loaded).value(), options));
}

StatusOr<std::unique_ptr<RowEncoder>> Tokenizer::NewReference() const {
  if (options_.model.semantics == Semantics::kClassic) {
    const auto library = model_->Library();
    if (!library.ok()) return library.status();
    return std::unique_ptr<RowEncoder>(
        std::make_unique<LibraryEncoder>(library.value()));
  }
  return std::unique_ptr<RowEncoder>(std::make_unique<SentenceEncoder>(
      model_->normalizer(), model_->lexicon()));
}

StatusOr<std::unique_ptr<RowEncoder>> Tokenizer::NewEncoder() const {
  std::unique_ptr<RowEncoder> encoder;
  switch (model_->traits().mode) {
    case ExactMode::kLibrary:
      return NewReference();
    case ExactMode::kFullViterbi:
      encoder = std::make_unique<SentenceEncoder>(model_->normalizer(),
                                                  model_->lexicon());
      break;
    case ExactMode::kWordCache:
      encoder = std::make_unique<WordEncoder>(
          model_->normalizer(), model_->lexicon(), options_.cache_bytes);
      break;
  }
  if (options_.verify_fraction > 0) {
    auto reference = NewReference();
    if (!reference.ok()) return reference.status();
    encoder = std::make_unique<VerifyingEncoder>(std::move(encoder),
                                                 std::move(reference).value(),
                                                 options_.verify_fraction);
  }
  return encoder;
}

size_t Tokenizer::Threads() const {
  if (options_.num_threads > 0) {
    return static_cast<size_t>(options_.num_threads);
  }
  return std::max<size_t>(1, std::thread::hardware_concurrency());
}

std::vector<size_t> Tokenizer::BordersByBytes(const Texts& texts) const {
  const size_t parts = Threads() > 1 ? Threads() * kPartsPerThread : 1;
  return BalancedBorders(texts.size(), parts, kMinCostPerPart,
                         [&](size_t i) { return texts[i].size() + kTextCost; });
}

StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text) const {
  if (Status status = CheckText(text); !status.ok()) return status;
  const Lease worker(this);
  if (!worker.status().ok()) return worker.status();
  Status status =
      worker->encoder->Encode(&text, 1, SIZE_MAX, &worker->ids, &worker->ends);
  if (!status.ok()) return status;
  const int32_t* ids = worker->ids.data();
  return std::vector<int32_t>(ids, ids + worker->ids.size());
}

StatusOr<RaggedIds> Tokenizer::EncodeBatch(const Texts& texts) const {
  if (Status status = CheckTexts(texts); !status.ok()) return status;
  const std::vector<size_t> borders = BordersByBytes(texts);
  const size_t parts = borders.size() - 1;
  size_t bytes = 0;
  for (const std::string_view text : texts) bytes += text.size();

  // Where in the memory of which worker the ids of a part are.
  struct Encoded {
    const Lease* worker;
    size_t ids_begin, ids_end, ends_begin;
  };
  std::vector<Encoded> encoded(parts);
  std::vector<std::unique_ptr<Lease>> workers(std::min(Threads(), parts));
  Status status =
      RunParts(borders, workers.size(), [&](const Part& part) -> Status {
        std::unique_ptr<Lease>& lease = workers[part.thread];
        if (lease == nullptr) lease = std::make_unique<Lease>(this);
        const Lease& worker = *lease;
        if (!worker.status().ok()) return worker.status();
        IdBuffer* ids = &worker->ids;
        // Rarely has a token less than two bytes; if it has, the room grows.
        if (ids->size() == 0) ids->Reserve(bytes / 2);
        const size_t first = ids->size(), first_end = worker->ends.size();
        Status done =
            worker->encoder->Encode(&texts[part.begin], part.end - part.begin,
                                    SIZE_MAX, ids, &worker->ends);
        encoded[part.index] = {lease.get(), first, ids->size(), first_end};
        return done;
      });
  if (!status.ok()) return status;

  std::vector<size_t> offsets = {0};
  for (const Encoded& part : encoded) {
    offsets.push_back(offsets.back() + part.ids_end - part.ids_begin);
  }
  RaggedIds all;
  // One part is handed over as it is; more are put together.
  if (parts == 1) {
    all.values = (*workers[0])->ids.Take();
  } else {
    all.values = LargeArray<int32_t>(offsets.back());
  }
  all.row_splits = LargeArray<int64_t>(texts.size() + 1);
  all.row_splits.values[0] = 0;
  status = RunParts(borders, workers.size(), [&](const Part& part) -> Status {
    const Encoded& from = encoded[part.index];
    const Lease& worker = *from.worker;
    const size_t offset = offsets[part.index];
    if (parts > 1) {
      std::copy_n(worker->ids.data() + from.ids_begin,
                  from.ids_end - from.ids_begin, all.values.begin() + offset);
    }
    const auto shift =
        static_cast<int64_t>(offset) - static_cast<int64_t>(from.ids_begin);
    const int64_t* const ends = worker->ends.data() + from.ends_begin;
    std::transform(ends, ends + (part.end - part.begin),
                   all.row_splits.begin() + part.begin + 1,
                   [&](int64_t end) { return end + shift; });
    return Status();
  });
  if (!status.ok()) return status;
  return all;
}

Status Tokenizer::EncodePadded(const Texts& texts, const PaddedLayout& layout,
                               int32_t* ids, int32_t* lengths) const {
  Status checked = CheckLayout(layout, model_->vocab_size());
  if (checked.ok()) checked = CheckTexts(texts);
  if (!checked.ok()) return checked;
  const size_t length = static_cast<size_t>(layout.length);
  const bool stream = CanStream(layout, ids) &&
                      texts.size() * length * sizeof(*ids) >= kStreamBytes;
  const auto write_row = stream ? StreamPaddedRow : WritePaddedRow;
  return RunParts(
      BordersByBytes(texts), Threads(), [&](const Part& part) -> Status {
        const Lease worker(this);
        if (!worker.status().ok()) return worker.status();
        size_t begin = part.begin;
        while (begin < part.end) {
          size_t next = begin;
          for (size_t bytes = 0; next < part.end && bytes < kPaddedStepBytes;) {
            bytes += texts[next++].size() + kTextCost;
          }
          worker->ids.clear();
          worker->ends.clear();
          Status status = worker->encoder->Encode(&texts[begin], next - begin,
                                                  layout.room(), &worker->ids,
                                                  &worker->ends);
          if (!status.ok()) return status;
          int64_t from = 0;
          for (const int64_t to : worker->ends) {
            const int32_t written = write_row(worker->ids.data() + from,
                                              static_cast<size_t>(to - from),
                                              layout, ids + begin * length);
            if (lengths != nullptr) lengths[begin] = written;
            from = to;
            ++begin;
          }
        }
        if (stream) FinishStreaming();
        return Status();
      });
}

StatusOr<std::vector<TokenSpan>> Tokenizer::EncodeWithSpans(
    std::string_view text) const {
  if (Status status = CheckText(text); !status.ok()) return status;
  std::vector<TokenSpan> tokens;
  if (model_->lexicon() != nullptr) {
    SentenceEncoder(model_->normalizer(), model_->lexicon())
        .EncodeWithSpans(text, &tokens);
    return tokens;
  }
  const auto library = model_->Library();
  if (!library.ok()) return library.status();
  Status status =
      LibraryEncoder(library.value()).EncodeWithSpans(text, &tokens);
  if (!status.ok()) return status;
  return tokens;
}

Status Tokenizer::CheckIds(const int32_t* ids, size_t count) const {
  const int vocab_size = model_->vocab_size();
  for (size_t i = 0; i < count; ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    return Status(StatusCode::kOutOfRange,
                  "id " + std::to_string(ids[i]) +
                      " is not in the vocabulary; ids are 0 to " +
                      std::to_string(vocab_size - 1) + ".");
  }
  return Status();
}

StatusOr<std::string> Tokenizer::Decode(const int32_t* ids,
                                        size_t count) const {
  if (Status status = CheckIds(ids, count); !status.ok()) return status;
  std::string text;
  if (model_->decoder() != nullptr) {
    model_->decoder()->Decode(ids, count, &text);
    return text;
  }
  const auto library = model_->Library();
  if (!library.ok()) return library.status();
  const auto status =
      library.value()->Decode(std::vector<int>(ids, ids + count), &text);
  if (!status.ok()) {
    return Status(StatusCode::kInternal,
                  std::string("sentencepiece: ") + status.message());
  }
  return text;
}

StatusOr<std::vector<std::string>> Tokenizer::DecodeRows(
    const int32_t* ids, const int64_t* row_splits, size_t rows) const {
  std::vector<std::string> texts;
  texts.reserve(rows);
  for (size_t i = 0; i < rows; ++i) {
    StatusOr<std::string> text =
        Decode(ids + row_splits[i],
               static_cast<size_t>(row_splits[i + 1] - row_splits[i]));
    if (!text.ok()) return text.status();
    texts.push_back(std::move(text).value());
  }
  return texts;
}

StatusOr<std::string> Tokenizer::IdToPiece(int id) const {
  if (Status status = CheckIds(&id, 1); !status.ok()) return status;
  return model_->IdToPiece(id);
}

}  // namespace data_ops
