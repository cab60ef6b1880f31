// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/viterbi.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data_ops/tokenizer/utf8.h"

namespace data_ops {
namespace {

constexpr float kFloatLowest = -std::numeric_limits<float>::infinity();
constexpr double kDoubleLowest = -std::numeric_limits<double>::infinity();

// 0.2.3 moves its scores back to 0 where one of them is beyond this.
constexpr float kResetThreshold = 100000.0f;

}  // namespace

// The library's loop, addition for addition. What the two semantics do
// differently:
//   kClassic  the score of a piece is a double, so a candidate is compared
//             before it is rounded, with the rounded best one so far; the one
//             for an unknown character is a float all the same
//   k023      everything is float; scores beyond the threshold are moved back
template <Semantics kSemantics>
float Viterbi::Cut(std::string_view text, float score) {
  constexpr bool kClassic = kSemantics == Semantics::kClassic;
  using Score = std::conditional_t<kClassic, double, float>;
  const size_t size = text.size();
  const PieceTrie& trie = lexicon_.trie();
  nodes_.assign(size + 1, {kFloatLowest, 0, 0});
  nodes_[0].score = score;
  [[maybe_unused]] size_t frontier = 0;
  for (size_t start = 0; start < size;) {
    float here = nodes_[start].score;
    if constexpr (!kClassic) {
      if (here < -kResetThreshold || here > kResetThreshold) {
        // Nodes that no path has reached stay at -infinity.
        const float offset = here;
        for (size_t i = start; i <= frontier; ++i) nodes_[i].score -= offset;
        nodes_[start].score = here = 0.0f;
      }
    }
    const size_t char_end = std::min(start + CharLength(text[start]), size);
    bool char_is_piece = false;
    uint32_t node = PieceTrie::kRoot;
    for (size_t i = start; i < size;) {
      if (!trie.Step(static_cast<uint8_t>(text[i]), &node)) break;
      ++i;
      const int32_t id = trie.Id(node);
      if (id == PieceTrie::kNoId) continue;
      Score piece_score = lexicon_.score(id);
      if constexpr (kClassic) {
        if (lexicon_.user_defined(id)) {
          piece_score = lexicon_.classic_user_score(i - start);
        }
      } else {
        frontier = std::max(frontier, i);
      }
      const Score candidate = piece_score + here;
      ExactNode& target = nodes_[i];
      if (candidate > target.score) {
        target = {static_cast<float>(candidate), id,
                  static_cast<uint32_t>(start)};
      }
      char_is_piece |= i == char_end;
    }
    if (!char_is_piece) {
      if constexpr (!kClassic) frontier = std::max(frontier, char_end);
      const float candidate = lexicon_.unk_score() + here;
      ExactNode& target = nodes_[char_end];
      if (candidate > target.score) {
        target = {candidate, lexicon_.unk_id(), static_cast<uint32_t>(start)};
      }
    }
    start = char_end;
  }
  return nodes_[size].score;
}

void Viterbi::Backtrack(size_t size) {
  tokens_.clear();
  for (size_t end = size; end > 0; end = nodes_[end].start) {
    tokens_.push_back({nodes_[end].id, static_cast<uint32_t>(end)});
  }
  std::reverse(tokens_.begin(), tokens_.end());
}

float Viterbi::Exact(std::string_view text, float score) {
  const float end = lexicon_.semantics() == Semantics::kClassic
                        ? Cut<Semantics::kClassic>(text, score)
                        : Cut<Semantics::k023>(text, score);
  Backtrack(text.size());
  return end;
}

double Viterbi::FillMarginNodes(std::string_view text) {
  const size_t size = text.size();
  const PieceTrie& trie = lexicon_.trie();
  margin_nodes_[0] = {0.0, kDoubleLowest, PieceTrie::kRoot, 0, 0};
  // Most words that come here are rare, and so are their nodes: fetch the
  // second of every walk. The first ones are always at hand.
  for (size_t i = 0; i + 1 < size; ++i) {
    trie.Prefetch(static_cast<uint8_t>(text[i]),
                  static_cast<uint8_t>(text[i + 1]));
  }
  double largest = 0;
  uint16_t chars = 0;
  // The walks from the starts so far that have not ended, the oldest first. All
  // of them take the next byte in turn: they wait for memory together, and what
  // ends at a node is offered to it in the library's order.
  struct Walk {
    uint32_t node, start;
  };
  Walk walks[kMaxMarginBytes];
  size_t walk_count = 0;
  size_t char_begin = 0, char_end = 0;
  for (size_t i = 0; i < size; ++i) {
    if (i == char_end) {
      char_begin = i;
      char_end = std::min(i + CharLength(text[i]), size);
      walks[walk_count++] = {PieceTrie::kRoot, static_cast<uint32_t>(i)};
      ++chars;
    }
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    double best = kDoubleLowest, second = kDoubleLowest;
    uint32_t best_piece = PieceTrie::kRoot, best_start = 0;
    double candidate = kDoubleLowest;
    uint32_t start = 0;
    size_t alive = 0;
    for (size_t w = 0; w < walk_count; ++w) {
      Walk walk = walks[w];
      const bool goes_on = trie.Step(byte, &walk.node);
      walks[alive] = walk;
      alive += goes_on;
      start = walk.start;
      // Lowest, and so without effect, where no piece ends: what ends is hard
      // to foresee, and not branching on it is faster.
      candidate = margin_nodes_[start].best +
                  (goes_on ? trie.Score(walk.node) : PieceTrie::kNoScore);
      const bool better = candidate > best;
      second = std::max(second, std::min(best, candidate));
      best = better ? candidate : best;
      best_piece = better ? walk.node : best_piece;
      best_start = better ? start : best_start;
    }
    // The youngest walk comes last.
    const bool char_is_piece = start == char_begin && candidate > kDoubleLowest;
    walk_count = alive;
    if (i + 1 != char_end) continue;
    if (!char_is_piece) {
      const double unknown =
          margin_nodes_[char_begin].best + lexicon_.unk_score();
      second = std::max(second, std::min(best, unknown));
      if (unknown > best) {
        best = unknown;
        best_piece = PieceTrie::kRoot;
        best_start = static_cast<uint32_t>(char_begin);
      }
    }
    margin_nodes_[i + 1] = {best, second, best_piece,
                            static_cast<uint16_t>(best_start), chars};
    largest = std::max(largest, std::fabs(best));
  }
  return largest;
}

// Why `limit` is safe. Let B be the library's score in front of the text, R(v)
// the best score of node v from 0 in exact arithmetic, A the largest |R|, and
// F(v) the library's score of v. Each node's score is its best candidate,
// rounded once, so by induction along the text
//
//   |F(v) - (B + R(v))| <= c(v) * M * 2^-24,    M = |B| + A plus that error,
//
// where c(v), the characters up to v, bounds the edges of any path to v. At a
// node v of the best path let g be the gap between the two best candidates. The
// worse one can win in the library only if the errors of both sides, the last
// rounding included, make up for g: only if g < 2 * c(v) * M * 2^-24, about.
// So the choice at v is sure as long as
//
//   |B| <= g * 2^23 / c(v) - A,
//
// and the path is when that holds at all of its nodes; what happens elsewhere
// does not matter. 0.9 and the 1 pay for "about": the second-order terms, the
// rounding in this function, and the few parts in a thousand by which a caller
// that sums up weights may underestimate |B| (see word_encoder.h).
//
// In k023 the score must also stay where it is never moved back.
void Viterbi::WithMargin(std::string_view text, MarginPath* path) {
  const double largest = FillMarginNodes(text);
  const bool classic = lexicon_.semantics() == Semantics::kClassic;
  double margin = std::numeric_limits<float>::max();
  bool sure = true, unknown_follows = false;
  size_t count = 0;
  for (size_t end = text.size(); end > 0; end = margin_nodes_[end].start) {
    const MarginNode& node = margin_nodes_[end];
    const bool unknown = node.piece == PieceTrie::kRoot;
    const int32_t id =
        unknown ? lexicon_.unk_id() : lexicon_.trie().Id(node.piece);
    path->ids[count++] = id;
    // Runs of unknown characters become one id, from which a score cannot be
    // summed up again; nor can it from a bonus that is no float. What score()
    // has instead is more, so that a path without one beats those with one.
    if ((unknown && unknown_follows) ||
        (classic && lexicon_.user_defined(id))) {
      sure = false;
    }
    unknown_follows = unknown;
    margin = std::min(margin, (node.best - node.second) / node.chars);
  }
  std::reverse(path->ids.begin(), path->ids.begin() + count);
  path->count = count;
  path->weight = static_cast<float>(std::fabs(margin_nodes_[text.size()].best));
  double limit = 0.9 * margin * 0x1p23 - largest - 1;
  if (!classic) limit = std::min(limit, 0.99 * kResetThreshold - largest);
  // So large a score has no float beside it that is not larger still.
  limit = std::min(limit, 1e30);
  path->limit = sure ? static_cast<float>(limit) : -1.0f;
}

}  // namespace data_ops
