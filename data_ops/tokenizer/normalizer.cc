// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/normalizer.h"

#include <utility>

#include "data_ops/tokenizer/utf8.h"

namespace data_ops {
namespace {

constexpr std::string_view kSpace = " ";

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() &&
         text.substr(text.size() - end.size()) == end;
}

// Appends to a normalized text, and to its alignment where one is wanted.
class Writer {
 public:
  Writer(std::string_view space, std::string* text,
         std::vector<size_t>* alignment)
      : space_(space), text_(*text), alignment_(alignment) {}

  void Append(std::string_view bytes, size_t origin) {
    text_.append(bytes);
    if (alignment_ != nullptr) {
      alignment_->insert(alignment_->end(), bytes.size(), origin);
    }
  }

  void AppendSpace(size_t origin) { Append(space_, origin); }

  // Appends with every space spelled as the model spells it.
  void AppendEscaped(std::string_view bytes, size_t origin) {
    for (const char c : bytes) {
      Append(c == ' ' ? space_ : std::string_view(&c, 1), origin);
    }
  }

  // Removes the spaces at the end; returns where in the input the first of them
  // came from, or `origin` when there is none.
  size_t DropTrailingSpaces(size_t origin) {
    while (EndsWith(text_, space_)) {
      const size_t length = text_.size() - space_.size();
      text_.resize(length);
      if (alignment_ != nullptr) {
        origin = (*alignment_)[length];
        alignment_->resize(length);
      }
    }
    return origin;
  }

 private:
  const std::string_view space_;
  std::string& text_;
  std::vector<size_t>* const alignment_;
};

}  // namespace

Normalizer::Normalizer(const NormalizerOptions& options, CharMap map,
                       const std::vector<std::string_view>& user_symbols)
    : options_(options), map_(std::move(map)) {
  std::vector<std::pair<std::string_view, int32_t>> pieces;
  for (const std::string_view symbol : user_symbols) {
    pieces.push_back({symbol, 0});
    user_symbol_starts_.set(static_cast<uint8_t>(symbol[0]));
  }
  user_symbols_.Build(std::move(pieces));
  Classify(user_symbols);
}

void Normalizer::Classify(const std::vector<std::string_view>& user_symbols) {
  for (int byte = 0; byte < 128; ++byte) {
    const char c = static_cast<char>(byte);
    const std::string_view one(&c, 1);
    const CharMap::Match match = map_.Find(one);
    const std::string_view result = match.length > 0 ? match.replacement : one;
    if (result == kSpace) {
      classes_.Set(c, ByteClasses::kSpace);
      // A rule that a white space is part of, or begins, may reach across it.
      if (map_.ascii_inside()[byte] || map_.ascii_leads()[byte]) {
        runs_are_independent_ = false;
      }
    } else if (result == one && !map_.ascii_pairs()[byte] &&
               !user_symbol_starts_[byte]) {
      classes_.Set(c, ByteClasses::kPlain);
    }
  }
  if (classes_.Get(' ') != ByteClasses::kSpace) runs_are_independent_ = false;
  for (const std::string_view symbol : user_symbols) {
    for (const char c : symbol) {
      if (classes_.Get(c) == ByteClasses::kSpace) runs_are_independent_ = false;
    }
  }
}

std::pair<std::string_view, size_t> Normalizer::Prefix(
    std::string_view text) const {
  if (user_symbol_starts_[static_cast<uint8_t>(text[0])]) {
    const size_t length = user_symbols_.LongestPrefix(text);
    if (length > 0) return {text.substr(0, length), length};
  }
  const CharMap::Match match = map_.Find(text);
  if (match.length > 0) return {match.replacement, match.length};
  const size_t length = WellFormedLength(text);
  if (length == 0) return {kReplacementCharacter, 1};
  return {text.substr(0, length), length};
}

std::string_view Normalizer::DropLeadingSpaces(std::string_view text) const {
  while (!text.empty()) {
    const auto [replacement, length] = Prefix(text);
    if (replacement != kSpace) break;
    text.remove_prefix(length);
  }
  return text;
}

void Normalizer::Normalize(std::string_view text, std::string* normalized,
                           std::vector<size_t>* alignment) const {
  normalized->clear();
  if (alignment != nullptr) alignment->clear();
  const char* const begin = text.data();
  if (options_.remove_extra_whitespaces) text = DropLeadingSpaces(text);
  if (text.empty()) {
    // As the library: nothing is left, and nothing is aligned but the end.
    if (alignment != nullptr) alignment->push_back(text.data() - begin);
    return;
  }
  Writer writer(options_.escape_whitespaces ? kSpaceMark : kSpace, normalized,
                alignment);
  const auto origin = [&] { return static_cast<size_t>(text.data() - begin); };
  const bool suffix = options_.whitespace_as_suffix;
  if (!suffix && options_.add_dummy_prefix) writer.AppendSpace(origin());
  bool after_space = options_.remove_extra_whitespaces;
  while (!text.empty()) {
    if (classes_.Get(text[0]) == ByteClasses::kPlain &&
        (text.size() == 1 || IsAscii(text[1]))) {
      writer.Append(text.substr(0, 1), origin());
      after_space = false;
      text.remove_prefix(1);
      continue;
    }
    auto [replacement, length] = Prefix(text);
    while (after_space && !replacement.empty() && replacement[0] == ' ') {
      replacement.remove_prefix(1);
    }
    if (!replacement.empty()) {
      writer.AppendEscaped(replacement, origin());
      after_space = replacement.back() == ' ';
    }
    text.remove_prefix(length);
    if (!options_.remove_extra_whitespaces) after_space = false;
  }
  size_t end = origin();
  if (options_.remove_extra_whitespaces) end = writer.DropTrailingSpaces(end);
  if (suffix && options_.add_dummy_prefix) writer.AppendSpace(end);
  if (alignment != nullptr) alignment->push_back(end);
}

void Normalizer::NormalizeRun(std::string_view run,
                              std::string* normalized) const {
  normalized->clear();
  bool after_space = true;
  while (!run.empty()) {
    auto [replacement, length] = Prefix(run);
    while (after_space && !replacement.empty() && replacement[0] == ' ') {
      replacement.remove_prefix(1);
    }
    for (const char c : replacement) {
      if (c == ' ') {
        normalized->append(kSpaceMark);
      } else {
        normalized->push_back(c);
      }
    }
    if (!replacement.empty()) after_space = replacement.back() == ' ';
    run.remove_prefix(length);
  }
  if (after_space && !normalized->empty()) {
    normalized->resize(normalized->size() - kSpaceMark.size());
  }
}

}  // namespace data_ops
