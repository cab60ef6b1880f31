// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/char_map.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "data_ops/tokenizer/utf8.h"

namespace data_ops {
namespace {

constexpr uint32_t kBlock = 256;
// Rules that may be prefixes of one another: sentencepiece 0.2.1 keeps so many
// and reads beyond them when a text matches more.
constexpr int kMaxNested = 32;

Status Broken(const std::string& what) {
  return InvalidArgument("the model's rules of normalization are broken: " +
                         what + ". Take the file from its source again.");
}

}  // namespace

// Visits every state once. States are where the children of a unit are: a
// compiled map shares equal subtrees, so they form a graph, not a tree.
class CharMapExplorer {
 public:
  explicit CharMapExplorer(CharMap* map)
      : map_(*map), nested_(map->units_.size(), kUnseen) {}

  Status Explore() {
    root_ = CharMap::Offset(map_.units_[0]);
    if (Status status = Enter(root_); !status.ok()) return status;
    while (!stack_.empty()) {
      if (Status status = Advance(); !status.ok()) return status;
    }
    return Status();
  }

 private:
  static constexpr int kUnseen = -2, kOpen = -1;

  struct Visit {
    uint32_t state;
    uint32_t label;  // the next to try
    int nested;      // rules on the longest chain below, so far
  };

  Status Enter(uint32_t state) {
    if ((state | (kBlock - 1)) >= map_.units_.size()) {
      return Broken("an offset leads out of the automaton");
    }
    nested_[state] = kOpen;
    stack_.push_back({state, 0, 0});
    return Status();
  }

  // Follows one edge of the innermost open state, or closes it.
  Status Advance() {
    Visit& visit = stack_.back();
    while (visit.label < kBlock &&
           CharMap::Label(map_.units_[visit.state ^ visit.label]) !=
               visit.label) {
      ++visit.label;
    }
    if (visit.label == kBlock) return Close();
    const uint32_t label = visit.label;
    const uint32_t unit = map_.units_[visit.state ^ label];
    const uint32_t next = visit.state ^ label ^ CharMap::Offset(unit);
    if (next >= map_.units_.size()) {
      return Broken("an offset leads out of the automaton");
    }
    if (nested_[next] == kOpen) return Broken("the automaton has a cycle");
    if (nested_[next] == kUnseen) return Enter(next);
    if (CharMap::HasLeaf(unit)) CheckValue(CharMap::Value(map_.units_[next]));
    visit.nested = std::max(visit.nested,
                            nested_[next] + (CharMap::HasLeaf(unit) ? 1 : 0));
    if (visit.nested > kMaxNested) {
      return Broken("more than " + std::to_string(kMaxNested) +
                    " of them begin one another");
    }
    Note(visit.state, label, next);
    ++visit.label;
    return Status();
  }

  Status Close() {
    nested_[stack_.back().state] = stack_.back().nested;
    stack_.pop_back();
    return Status();
  }

  // A replacement that begins inside of a character is not UTF-8.
  void CheckValue(uint32_t value) {
    if (value < map_.replacements_.size() &&
        IsTrailByte(map_.replacements_[value])) {
      map_.well_formed_ = false;
    }
  }

  // Records what the three sets of ASCII bytes report.
  void Note(uint32_t state, uint32_t label, uint32_t next) {
    if (label >= 128) return;
    if (state != root_) {
      map_.ascii_inside_.set(label);
      return;
    }
    for (uint32_t second = 0; second < kBlock; ++second) {
      if (CharMap::Label(map_.units_[next ^ second]) != second) continue;
      map_.ascii_leads_.set(label);
      if (second < 128) map_.ascii_pairs_.set(label);
    }
  }

  CharMap& map_;
  // Per state: kUnseen, kOpen, or the rules on the longest chain below it.
  std::vector<int> nested_;
  std::vector<Visit> stack_;
  uint32_t root_ = 0;
};

StatusOr<CharMap> CharMap::Create(std::string_view blob) {
  CharMap map;
  if (blob.empty()) return map;
  uint32_t bytes = 0;
  if (blob.size() < sizeof(bytes)) return Broken("they are cut off");
  // Little-endian, as the machines that this is built for.
  std::memcpy(&bytes, blob.data(), sizeof(bytes));
  blob.remove_prefix(sizeof(bytes));
  if (bytes >= blob.size() || bytes < kBlock * sizeof(uint32_t) ||
      bytes % (kBlock * sizeof(uint32_t)) != 0) {
    return Broken("an automaton of " + std::to_string(bytes) +
                  " bytes does not fit in the " + std::to_string(blob.size()) +
                  " that are there");
  }
  map.units_.resize(bytes / sizeof(uint32_t));
  std::memcpy(map.units_.data(), blob.data(), bytes);
  map.replacements_ = blob.substr(bytes);
  if (map.replacements_.back() != '\0') {
    return Broken("the last replacement has no end");
  }
  map.well_formed_ = IsWellFormed(map.replacements_);
  CharMapExplorer explorer(&map);
  if (Status status = explorer.Explore(); !status.ok()) return status;
  return map;
}

}  // namespace data_ops
