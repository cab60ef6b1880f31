// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/piece_trie.h"

#include <algorithm>
#include <deque>

namespace data_ops {
namespace {

// A label that no byte has: the unit is free.
constexpr uint32_t kFreeLabel = 256;
constexpr uint32_t kBlock = 256;
// Bases have 22 bits.
constexpr uint32_t kMaxUnits = 1u << 22;
// How many of the youngest blocks are searched for room. Older ones are nearly
// full, and trying them again for every node would make building quadratic.
constexpr uint32_t kOpenBlocks = 16;

}  // namespace

// Places the nodes level by level, so that the ones that every walk visits are
// neighbours.
class PieceTrieBuilder {
 public:
  using Pieces = std::vector<std::pair<std::string_view, int32_t>>;

  PieceTrieBuilder(const Pieces& sorted, const std::vector<float>& scores)
      : pieces_(sorted), scores_(scores) {
    // Block 0 holds the root alone. A node without children keeps base 0 and
    // finds only free units there.
    AddBlock();
    first_open_ = kBlock;
  }

  bool Build() {
    queue_.push_back({PieceTrie::kRoot, 0, pieces_.size(), 0});
    while (!queue_.empty()) {
      const Range range = queue_.front();
      queue_.pop_front();
      if (!Place(range)) return false;
    }
    return true;
  }

  void MoveTo(PieceTrie* trie) {
    trie->units_ = std::move(units_);
    trie->ids_ = std::move(ids_);
  }

 private:
  // The pieces [begin, end) share their first `depth` bytes, which lead to
  // `node`.
  struct Range {
    uint32_t node;
    size_t begin, end, depth;
  };

  void AddBlock() {
    units_.resize(units_.size() + kBlock, {kFreeLabel, PieceTrie::kNoScore});
    ids_.resize(units_.size(), PieceTrie::kNoId);
    is_base_.resize(units_.size(), false);
    const uint32_t blocks = static_cast<uint32_t>(units_.size() / kBlock);
    if (blocks > kOpenBlocks) {
      first_open_ = std::max(first_open_, (blocks - kOpenBlocks) * kBlock);
    }
  }

  bool IsFree(uint32_t unit) const {
    return units_[unit].links == kFreeLabel && unit >= kBlock;
  }

  // Splits `range` by its next byte and gives each part a unit.
  bool Place(const Range& range) {
    size_t begin = range.begin;
    if (pieces_[begin].first.size() == range.depth) {
      const int32_t id = pieces_[begin++].second;
      const size_t place = static_cast<size_t>(id);
      units_[range.node].links |= PieceTrie::kEndBit;
      units_[range.node].score = place < scores_.size() ? scores_[place] : 0;
      ids_[range.node] = id;
    }
    children_.clear();
    for (size_t i = begin; i < range.end; ++i) {
      const uint8_t byte = static_cast<uint8_t>(pieces_[i].first[range.depth]);
      if (children_.empty() || children_.back().first != byte) {
        children_.push_back({byte, i});
      }
    }
    if (children_.empty()) return true;
    const uint32_t base = FindBase();
    if (base == 0) return false;
    is_base_[base] = true;
    units_[range.node].links |= base << PieceTrie::kBaseShift;
    for (size_t i = 0; i < children_.size(); ++i) {
      const auto [byte, first] = children_[i];
      const size_t last =
          i + 1 < children_.size() ? children_[i + 1].second : range.end;
      units_[base ^ byte].links = byte;
      queue_.push_back({base ^ byte, first, last, range.depth + 1});
    }
    return true;
  }

  // A base whose children are all free, or 0 when there is no more room.
  uint32_t FindBase() {
    while (true) {
      while (first_open_ < units_.size() && !IsFree(first_open_)) {
        ++first_open_;
      }
      for (uint32_t unit = first_open_; unit < units_.size(); ++unit) {
        if (!IsFree(unit)) continue;
        const uint32_t base = unit ^ children_[0].first;
        if (!is_base_[base] && Fits(base)) return base;
      }
      if (units_.size() >= kMaxUnits) return 0;
      AddBlock();
    }
  }

  bool Fits(uint32_t base) const {
    return std::all_of(
        children_.begin(), children_.end(),
        [&](const auto& child) { return IsFree(base ^ child.first); });
  }

  const Pieces& pieces_;
  const std::vector<float>& scores_;
  std::vector<PieceTrie::Unit> units_;
  std::vector<int32_t> ids_;
  std::vector<bool> is_base_;
  std::deque<Range> queue_;
  // First byte of each child and where its pieces begin.
  std::vector<std::pair<uint8_t, size_t>> children_;
  uint32_t first_open_ = kBlock;
};

PieceTrie::PieceTrie()
    : units_(kBlock, {kFreeLabel, kNoScore}), ids_(kBlock, kNoId) {}

bool PieceTrie::Build(std::vector<std::pair<std::string_view, int32_t>> pieces,
                      const std::vector<float>& scores) {
  std::sort(pieces.begin(), pieces.end());
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].first.empty()) return false;
    if (i > 0 && pieces[i].first == pieces[i - 1].first) return false;
  }
  if (pieces.empty()) {
    *this = PieceTrie();
    return true;
  }
  PieceTrieBuilder builder(pieces, scores);
  if (!builder.Build()) return false;
  builder.MoveTo(this);
  return true;
}

int32_t PieceTrie::Find(std::string_view piece) const {
  uint32_t node = kRoot;
  for (const char c : piece) {
    if (!Step(static_cast<uint8_t>(c), &node)) return kNoId;
  }
  return Id(node);
}

size_t PieceTrie::LongestPrefix(std::string_view text) const {
  uint32_t node = kRoot;
  size_t longest = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!Step(static_cast<uint8_t>(text[i]), &node)) break;
    if (Id(node) != kNoId) longest = i + 1;
  }
  return longest;
}

}  // namespace data_ops
