// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/word_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "data_ops/tokenizer/utf8.h"

namespace data_ops {
namespace {

// Large enough to hide memory behind work, small enough to stay in the cache.
constexpr size_t kSectionBytes = 4096;
// A text up to this size is never divided.
constexpr size_t kPartBytes = 8192;

// A key that no entry has.
constexpr WordMemory::Narrow::Key kNoKey = {{0, uint64_t{0xff} << 56}};

WordKind PartKind(size_t begin) {
  return begin == 0 ? WordKind::kWord : WordKind::kContinuation;
}

// How many ids a hit writes, in one instruction or two. That is more than an
// entry has: what is behind its count is overwritten.
constexpr size_t kHitIds = 8;

inline void CopyIds(const WordMemory::Narrow::Entry& entry, int32_t* ids) {
  static_assert(offsetof(WordMemory::Narrow::Entry, ids) + 2 * kHitIds <=
                sizeof(entry));
  uint16_t narrow[kHitIds];
  std::memcpy(narrow, entry.ids, sizeof(narrow));
  for (size_t i = 0; i < kHitIds; ++i) ids[i] = narrow[i];
}

// Where to end the first part of a long text: at a white space, if there is one
// anywhere.
size_t TextPartEnd(std::string_view text, const ByteClasses& classes) {
  const auto is_space = [&](size_t i) {
    return classes.Get(text[i]) == ByteClasses::kSpace;
  };
  for (size_t end = kPartBytes; end > 0; --end) {
    if (is_space(end)) return end;
  }
  for (size_t end = kPartBytes; end < text.size(); ++end) {
    if (is_space(end)) return end;
  }
  return text.size();
}

}  // namespace

WordEncoder::WordEncoder(const Normalizer* normalizer, const Lexicon* lexicon,
                         size_t cache_bytes)
    : normalizer_(*normalizer),
      lexicon_(*lexicon),
      mark_id_(lexicon->trie().Find(kSpaceMark)),
      memory_(cache_bytes, lexicon->vocab_size()),
      scanner_(&normalizer->byte_classes()),
      viterbi_(lexicon) {
  for (size_t byte = 0; byte < letters_.size(); ++byte) {
    const char letter = static_cast<char>(byte);
    viterbi_.WithMargin({&letter, 1}, &path_);
    letters_[byte] = memory_.EntryOf(path_);
  }
}

Status WordEncoder::Encode(const std::string_view* texts, size_t count,
                           size_t max_ids, IdBuffer* ids,
                           std::vector<int64_t>* ends) {
  ids_ = ids;
  size_t text = 0, offset = 0;
  while (text < count) {
    FillSection(texts, count, &text, &offset);
    EncodeSection(max_ids, ends);
    if (offset > 0 && row_.full) {
      // The rest of a text that is cut needs no look.
      ends->push_back(static_cast<int64_t>(ids->size()));
      ++text;
      offset = 0;
    }
  }
  return Status();
}

void WordEncoder::FillSection(const std::string_view* texts, size_t count,
                              size_t* text, size_t* offset) {
  scanner_.Clear();
  parts_.clear();
  while (*text < count && scanner_.bytes() < kSectionBytes) {
    const std::string_view rest = texts[*text].substr(*offset);
    const bool first = *offset == 0;
    const size_t size = rest.size() <= kPartBytes
                            ? rest.size()
                            : TextPartEnd(rest, normalizer_.byte_classes());
    const bool last = size == rest.size();
    scanner_.Scan(rest.substr(0, size));
    parts_.push_back({scanner_.word_count(), first, last});
    *offset = last ? 0 : *offset + size;
    if (last) ++*text;
  }
}

void WordEncoder::EncodeSection(size_t max_ids, std::vector<int64_t>* ends) {
  // A word of n plain bytes and its mark have at most n + 1 pieces; a hit
  // writes kHitIds ids, used or not.
  section_room_ =
      scanner_.bytes() + (memory_.max_ids() + 2) * (scanner_.word_count() + 1);
  ids_->Reserve(section_room_);
  staged_ = 0;
  size_t begin = 0;
  for (const Part& part : parts_) {
    if (part.first) {
      row_ = Row();
      row_.begin = row_.known = ids_->size();
      row_.full = max_ids == 0;
    } else {
      CatchUp();
    }
    if (!row_.full) EncodeWords(begin, part.words_end, max_ids);
    begin = part.words_end;
    if (row_.full) ids_->set_size(row_.begin + max_ids);
    if (part.last) ends->push_back(static_cast<int64_t>(ids_->size()));
  }
}

inline void WordEncoder::Stage(size_t word) {
  using Narrow = WordMemory::Narrow;
  const WordSpan span = scanner_.words()[word];
  const char* const text = scanner_.data() + span.begin;
  const size_t size = span.end - span.begin;
  Staged& staged = ring_[word % kRing];
  if (__builtin_expect(size <= Narrow::Key::kMaxBytes, 1)) {
    staged.key = Narrow::Key::Of(text, size, WordKind::kWord);
    staged.hash = staged.key.Hash();
    memory_.narrow().Prefetch(staged.hash);
  } else {
    staged.key = kNoKey;
    staged.hash = 0;
    if (size <= WordMemory::kMaxBytes) {
      memory_.Prefetch(text, size, WordKind::kWord);
    }
  }
}

size_t WordEncoder::StageParts(std::string_view word, size_t begin) {
  using Narrow = WordMemory::Narrow;
  uint64_t last_bytes = LastBytesOfParts(word, begin);
  const size_t searched = begin;
  size_t count = 0;
  for (; last_bytes != 0 && count < kPartsAtOnce; ++count) {
    StagedPart& part = word_parts_[count];
    part.begin = begin;
    part.end = begin = searched + __builtin_ctzll(last_bytes) + 1;
    last_bytes &= last_bytes - 1;
    const char* const text = word.data() + part.begin;
    const size_t size = part.end - part.begin;
    if (size <= Narrow::Key::kMaxBytes) {
      part.where.key = Narrow::Key::Of(text, size, PartKind(part.begin));
      part.where.hash = part.where.key.Hash();
      memory_.narrow().Prefetch(part.where.hash);
    } else if (size <= WordMemory::kMaxBytes) {
      memory_.Prefetch(text, size, PartKind(part.begin));
    }
  }
  if (count == 0 && begin < word.size()) {
    // Longer than any part that is looked up.
    size_t end = begin + kPartBits;
    while (end < word.size() && lexicon_.HasBigram(word[end - 1], word[end])) {
      ++end;
    }
    word_parts_[count++] = {begin, end, {}};
  }
  return count;
}

inline const WordMemory::Narrow::Entry* WordEncoder::FindPart(
    std::string_view word, const StagedPart& part) {
  const size_t size = part.end - part.begin;
  if (size == 1 && part.begin > 0) {
    return &letters_[static_cast<uint8_t>(word[part.begin])];
  }
  if (size > WordMemory::Narrow::Key::kMaxBytes) return nullptr;
  return memory_.narrow().Find(part.where.key, part.where.hash);
}

void WordEncoder::EncodeWords(size_t begin, size_t end, size_t max_ids) {
  const size_t word_count = scanner_.word_count();
  const bool ids_are_16_bits = memory_.ids_are_16_bits();
  staged_ = std::max(staged_, begin);
  int32_t* ids = ids_->data();
  size_t size = ids_->size();
  const size_t full_size =
      max_ids < SIZE_MAX - row_.begin ? row_.begin + max_ids : SIZE_MAX;
  for (size_t word = begin; word < end; ++word) {
    while (staged_ < word_count && staged_ <= word + kAhead) Stage(staged_++);
    const Staged& staged = ring_[word % kRing];
    const auto* entry = memory_.narrow().Find(staged.key, staged.hash);
    if (__builtin_expect(entry != nullptr && ids_are_16_bits &&
                             row_.bound <= FromHalf(entry->limit) &&
                             row_.pending_marks == 0,
                         1)) {
      CopyIds(*entry, ids + size);
      size += entry->count;
      row_.bound += FromHalf(entry->weight);
    } else {
      ids_->set_size(size);
      EncodeSlowly(scanner_.words()[word]);
      ids_->Reserve(section_room_);
      ids = ids_->data();
      size = ids_->size();
    }
    if (size >= full_size) {
      row_.full = true;
      break;
    }
  }
  ids_->set_size(size);
}

__attribute__((noinline)) void WordEncoder::EncodeSlowly(const WordSpan& span) {
  const std::string_view word(scanner_.data() + span.begin,
                              span.end - span.begin);
  // Most that come here are only longer, or have more ids, than others.
  if (word.size() <= WordMemory::kMaxBytes && row_.pending_marks == 0 &&
      memory_.Recall(word.data(), word.size(), WordKind::kWord, &path_) &&
      WritePath()) {
    return;
  }
  const ByteClasses& classes = normalizer_.byte_classes();
  bool plain = true;
  for (const char c : word) plain &= classes.Get(c) == ByteClasses::kPlain;
  if (plain) {
    WritePendingMarks();
    EncodePlain(word);
  } else {
    EncodeSpecial(word);
  }
}

inline uint64_t WordEncoder::LastBytesOfParts(std::string_view word,
                                              size_t begin) const {
  const size_t size = std::min(word.size() - begin, kPartBits);
  const char* const bytes = word.data() + begin;
  uint64_t last_bytes = 0;
  // Parts are short and end anywhere: not branching on their ends is faster.
  for (size_t i = 0; i < size; ++i) {
    last_bytes |= uint64_t{!lexicon_.HasBigram(bytes[i], bytes[i + 1])} << i;
  }
  if (size > 0 && begin + size == word.size()) {
    last_bytes |= uint64_t{1} << (size - 1);
  }
  return last_bytes;
}

void WordEncoder::EncodePlain(std::string_view word) {
  size_t count = StageParts(word, 0);
  if (word_parts_[0].end == word.size()) {
    EncodePart(word, word, WordKind::kWord);
    return;
  }
  if (word.size() <= WordMemory::Narrow::Key::kMaxBytes) {
    // Where it will be put if it has many ids.
    memory_.PrefetchWide(word.data(), word.size(), WordKind::kWord);
  }
  // A word has at most one id more than bytes, wherever its parts' come from.
  ids_->Reserve(word.size() + 1 + kHitIds);
  const size_t first_id = ids_->size();
  MarginPath whole;
  whole.limit = 1e30f;
  whole.weight = 0;
  bool remember = word.size() <= WordMemory::kMaxBytes;
  const auto add = [&](float limit, float weight) {
    // This part must stand the score in front of the word and the parts.
    whole.limit = std::min(whole.limit, limit - whole.weight);
    whole.weight += weight;
  };
  for (; count > 0; count = StageParts(word, word_parts_[count - 1].end)) {
    for (size_t i = 0; i < count; ++i) {
      const StagedPart& staged = word_parts_[i];
      const WordMemory::Narrow::Entry* entry = FindPart(word, staged);
      if (WriteHit(entry)) {
        add(FromHalf(entry->limit), FromHalf(entry->weight));
        continue;
      }
      const auto part = word.substr(staged.begin, staged.end - staged.begin);
      if (EncodePart(part, part, PartKind(staged.begin))) {
        add(path_.limit, path_.weight);
      } else {
        remember = false;
      }
    }
  }
  whole.count = ids_->size() - first_id;
  if (remember && whole.count <= memory_.max_ids()) {
    std::copy_n(ids_->data() + first_id, whole.count, whole.ids.begin());
    memory_.Remember(word.data(), word.size(), WordKind::kWord, whole);
  }
}

void WordEncoder::EncodeSpecial(std::string_view run) {
  normalizer_.NormalizeRun(run, &normalized_);
  std::string_view rest = normalized_;
  if (rest.empty()) return;
  if (rest.find(kSpaceMark) == std::string_view::npos) {
    WritePendingMarks();
    EncodePart(rest, run, WordKind::kWord);
    return;
  }
  // Marks among the characters begin words of their own, even empty ones.
  while (true) {
    const size_t mark = rest.find(kSpaceMark);
    const std::string_view word = rest.substr(0, mark);
    if (word.empty()) {
      ++row_.pending_marks;
    } else {
      WritePendingMarks();
      EncodeExactly(word, WordKind::kWord);
    }
    if (mark == std::string_view::npos) return;
    rest.remove_prefix(mark + kSpaceMark.size());
  }
}

bool WordEncoder::EncodePart(std::string_view text, std::string_view name,
                             WordKind kind) {
  if (name.size() <= WordMemory::kMaxBytes &&
      text.size() + kSpaceMark.size() <= Viterbi::kMaxMarginBytes) {
    if (!memory_.Recall(name.data(), name.size(), kind, &path_)) {
      viterbi_.WithMargin(Marked(text, kind), &path_);
      memory_.Remember(name.data(), name.size(), kind, path_);
    }
    if (WritePath()) return true;
  }
  EncodeExactly(text, kind);
  return false;
}

inline bool WordEncoder::Merges(int32_t id) const {
  // Never the first id of a word: its mark has a piece.
  return id == lexicon_.unk_id() && ids_->size() > row_.begin &&
         ids_->data()[ids_->size() - 1] == id;
}

inline bool WordEncoder::WriteHit(const WordMemory::Narrow::Entry* entry) {
  if (entry == nullptr || !memory_.ids_are_16_bits() ||
      row_.bound > FromHalf(entry->limit) || Merges(entry->ids[0])) {
    return false;
  }
  CopyIds(*entry, ids_->data() + ids_->size());
  ids_->set_size(ids_->size() + entry->count);
  row_.bound += FromHalf(entry->weight);
  return true;
}

bool WordEncoder::WritePath() {
  // The bound may be larger than the score is.
  if (row_.bound > path_.limit && path_.limit >= 0) CatchUp();
  if (row_.bound > path_.limit || Merges(path_.ids[0])) return false;
  ids_->Reserve(path_.count);
  std::copy_n(path_.ids.begin(), path_.count, ids_->data() + ids_->size());
  ids_->set_size(ids_->size() + path_.count);
  row_.bound += path_.weight;
  return true;
}

void WordEncoder::EncodeExactly(std::string_view text, WordKind kind) {
  CatchUp();
  row_.score = viterbi_.Exact(Marked(text, kind), row_.score);
  ids_->Reserve(viterbi_.tokens().size());
  int32_t previous =
      ids_->size() > row_.begin ? ids_->data()[ids_->size() - 1] : -1;
  for (const Token& token : viterbi_.tokens()) {
    // Characters without a piece share one id.
    if (token.id != lexicon_.unk_id() || previous != token.id) {
      ids_->Append(token.id);
    }
    previous = token.id;
  }
  row_.known = ids_->size();
  row_.bound = std::fabs(row_.score);
}

void WordEncoder::WritePendingMarks() {
  for (; row_.pending_marks > 0; --row_.pending_marks) {
    // Nothing but the piece of the mark itself covers it.
    ids_->Append(mark_id_);
    row_.bound += std::fabs(lexicon_.score(mark_id_));
  }
}

void WordEncoder::CatchUp() {
  const int32_t* const ids = ids_->data();
  float score = row_.score;
  for (size_t i = row_.known; i < ids_->size(); ++i) {
    score += lexicon_.score(ids[i]);
  }
  row_.score = score;
  row_.known = ids_->size();
  row_.bound = std::fabs(score);
}

std::string_view WordEncoder::Marked(std::string_view text, WordKind kind) {
  if (kind == WordKind::kContinuation) return text;
  marked_.assign(kSpaceMark);
  marked_.append(text);
  return marked_;
}

}  // namespace data_ops
