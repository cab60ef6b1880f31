// SPDX-License-Identifier: Apache-2.0
//
// Encodes word by word, remembering words. For models whose words are
// independent of one another but for rounding (model_traits.h); exact for them,
// because an entry is used only within its margin (viterbi.cc), and where the
// margin does not suffice the library's arithmetic is done.
//
// A word goes through stages, each wider than the next:
//
//   hit         the entry's ids are copied and its weight added to a bound on
//               the score reached so far: nearly all words
//   parts       a word is cut where no piece reaches across, "foo(bar" into
//               "foo" "(" "bar", and the parts are looked up
//   margin      a part that is not there is cut into pieces and remembered
//   exact       the score reached so far is computed as the library computes
//               it, from the ids written since it was last known, and the part
//               is cut from there
//
// A text is taken in sections, at whose borders the exact score is computed.
// So the bound sums up at most some ten thousand weights: its rounding error
// stays far below the tenth that margins leave for it.

#ifndef DATA_OPS_TOKENIZER_WORD_ENCODER_H_
#define DATA_OPS_TOKENIZER_WORD_ENCODER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/lexicon.h"
#include "data_ops/tokenizer/normalizer.h"
#include "data_ops/tokenizer/row_encoder.h"
#include "data_ops/tokenizer/viterbi.h"
#include "data_ops/tokenizer/word_cache.h"
#include "data_ops/tokenizer/word_scanner.h"

namespace data_ops {

class WordEncoder : public RowEncoder {
 public:
  // Both must outlive this.
  WordEncoder(const Normalizer* normalizer, const Lexicon* lexicon,
              size_t cache_bytes);

  Status Encode(const std::string_view* texts, size_t count, size_t max_ids,
                IdBuffer* ids, std::vector<int64_t>* ends) override;

 private:
  // How many words are hashed, and their entries fetched, ahead of use.
  static constexpr size_t kAhead = 24;
  static constexpr size_t kRing = 32;
  // How many parts of a word are hashed, and their entries fetched, together.
  static constexpr size_t kPartsAtOnce = 32;
  static constexpr size_t kPartBits = 64;

  // Words [.., words_end) of a section belong to a text, or to a part of it.
  struct Part {
    size_t words_end;
    bool first, last;
  };

  struct Staged {
    WordMemory::Narrow::Key key;
    uint64_t hash;
  };

  // Bytes [begin, end) of a word. `where` is set for a short part that has to
  // be looked up.
  struct StagedPart {
    size_t begin, end;
    Staged where;
  };

  // The text being encoded. Its score at ids_[known] is `score`, exactly.
  struct Row {
    size_t begin = 0, known = 0;
    float score = 0;
    // At least the absolute value of the score now.
    float bound = 0;
    // Marks without a word behind them; they count once a word follows.
    size_t pending_marks = 0;
    bool full = false;
  };

  // Scans as many texts, from *text on and there from *offset, as make up a
  // section.
  void FillSection(const std::string_view* texts, size_t count, size_t* text,
                   size_t* offset);
  void EncodeSection(size_t max_ids, std::vector<int64_t>* ends);
  void EncodeWords(size_t begin, size_t end, size_t max_ids);
  void Stage(size_t word);
  // Bit i says whether a part of `word`, which scanner_ holds, ends with byte
  // `begin` + i: for as many bytes as there are bits.
  uint64_t LastBytesOfParts(std::string_view word, size_t begin) const;
  // Finds the next parts of `word`, from `begin` on, into word_parts_, and
  // fetches their entries. Returns how many.
  size_t StageParts(std::string_view word, size_t begin);
  // The entry of a short part, or null.
  const WordMemory::Narrow::Entry* FindPart(std::string_view word,
                                            const StagedPart& part);

  // What to do with a word that is no simple hit.
  void EncodeSlowly(const WordSpan& span);
  void EncodePlain(std::string_view word);
  void EncodeSpecial(std::string_view run);

  // Encodes `text` as a whole, behind a mark if it is a kWord; it is remembered
  // as `name`. True when path_ holds how, false when rounding decided.
  bool EncodePart(std::string_view text, std::string_view name, WordKind kind);
  void EncodeExactly(std::string_view text, WordKind kind);
  // Whether `id` would become one with the id written last.
  bool Merges(int32_t id) const;
  // Writes path_ if rounding cannot matter. Else nothing, and false.
  bool WritePath();
  // The same with an entry, which may be null, of a plain part, for which there
  // is room.
  bool WriteHit(const WordMemory::Narrow::Entry* entry);
  void WritePendingMarks();
  // Makes row_.score exact.
  void CatchUp();
  std::string_view Marked(std::string_view text, WordKind kind);

  const Normalizer& normalizer_;
  const Lexicon& lexicon_;
  const int32_t mark_id_;
  WordMemory memory_;
  WordScanner scanner_;
  Viterbi viterbi_;
  std::vector<Part> parts_;
  std::array<Staged, kRing> ring_;
  std::array<StagedPart, kPartsAtOnce> word_parts_;
  // The entries of parts of one byte behind the first: they are no words' and
  // need no looking up.
  std::array<WordMemory::Narrow::Entry, 128> letters_;
  size_t staged_ = 0;
  // Ids that the rest of a section may need if all its words are hits.
  size_t section_room_ = 0;

  IdBuffer* ids_ = nullptr;
  Row row_;
  MarginPath path_;
  std::string marked_, normalized_;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_WORD_ENCODER_H_
