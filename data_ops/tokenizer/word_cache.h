// SPDX-License-Identifier: Apache-2.0
//
// Fixed-size tables from short byte strings to ids, for one thread.
//
// An entry holds its whole key, so that an answer is never a guess:
//
//   narrow   | key 15 B, tag | ids 10 B | limit, weight, count, used |  32 B
//   wide     | key 31 B, tag | ids 26 B | limit, weight, count, used |  64 B
//
// A bucket is two entries: one cache line in the narrow table, where nearly
// every word is. A new word takes the place of an entry that nobody has asked
// for since it came; where both have been asked for, it is turned away once and
// they must prove themselves again. So words that occur once cannot drive out
// those that occur often. The tables never grow.

#ifndef DATA_OPS_TOKENIZER_WORD_CACHE_H_
#define DATA_OPS_TOKENIZER_WORD_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "data_ops/tokenizer/large_array.h"
#include "data_ops/tokenizer/viterbi.h"

namespace data_ops {

// What the same bytes can be: a whole word as it stands in a text, or a part of
// one behind its first.
enum class WordKind : uint8_t { kWord = 0x40, kContinuation = 0x80 };

// Up to 8 * kWords - 1 bytes, their number and their kind.
template <size_t kWords>
struct WordKey {
  static constexpr size_t kMaxBytes = 8 * kWords - 1;

  uint64_t words[kWords];

  // 8 * kWords bytes from `text` on must be readable; `size` of them count.
  static WordKey Of(const char* text, size_t size, WordKind kind) {
    WordKey key;
    for (size_t i = 0; i < kWords; ++i) {
      uint64_t word;
      std::memcpy(&word, text + 8 * i, sizeof(word));
      key.words[i] = word & Mask(size, i);
    }
    key.words[kWords - 1] |= (static_cast<uint64_t>(kind) | size) << 56;
    return key;
  }

  bool operator==(const WordKey& other) const {
    uint64_t difference = 0;
    for (size_t i = 0; i < kWords; ++i) {
      difference |= words[i] ^ other.words[i];
    }
    return difference == 0;
  }

  uint64_t Hash() const {
    uint64_t hash = 0;
    for (size_t i = 0; i < kWords; i += 2) {
      const auto product =
          static_cast<unsigned __int128>(words[i] ^ 0x9e3779b97f4a7c15) *
          (words[i + 1] ^ 0xe7037ed1a0b428db ^ hash);
      hash =
          static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
    }
    return hash;
  }

 private:
  // The bytes of word i that are among the first `size`.
  static uint64_t Mask(size_t size, size_t i) {
    return kMasks[size + 24 - 8 * i];
  }
  // Row 24 + n keeps the first n bytes, all of them from 8 on, none below 0.
  static constexpr auto MakeMasks() {
    struct Masks {
      uint64_t row[56];
      constexpr uint64_t operator[](size_t i) const { return row[i]; }
    } masks = {};
    for (size_t n = 0; n < 32; ++n) {
      masks.row[24 + n] = n < 8 ? (uint64_t{1} << (8 * n)) - 1 : ~uint64_t{0};
    }
    return masks;
  }
  static constexpr auto kMasks = MakeMasks();
};

// A float in 16 bits: its sign, its exponent and the top of its fraction.
inline float FromHalf(uint16_t half) {
  const uint32_t bits = uint32_t{half} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

template <size_t kWords>
class WordCache {
 public:
  using Key = WordKey<kWords>;

  static constexpr size_t kIdBytes = 8 * kWords - 6;
  // What count says of an entry that has no ids.
  static constexpr uint8_t kNeverSure = 0xff, kElsewhere = 0xfe;

  struct Entry {
    Key key;
    uint16_t ids[kIdBytes / 2];
    // As in MarginPath; rounded down and up.
    uint16_t limit, weight;
    uint8_t count;
    uint8_t used;  // since it came, or since a newcomer was turned away
  };
  static_assert(sizeof(Entry) == 16 * kWords, "two share a cache line, or one");

  // The largest power of two of buckets that fits in `bytes`, at least one.
  explicit WordCache(size_t bytes);

  void Prefetch(uint64_t hash) const {
    const char* bucket = reinterpret_cast<const char*>(Bucket(hash));
    __builtin_prefetch(bucket, 1);
    if (kWords > 2) __builtin_prefetch(bucket + 64, 1);
  }

  // The entry of `key`, or null. Valid until the next Insert.
  const Entry* Find(const Key& key, uint64_t hash) {
    Entry* bucket = Bucket(hash);
    Entry* entry = bucket[0].key == key ? bucket : bucket + 1;
    if (!(entry->key == key)) return nullptr;
    if (!entry->used) entry->used = 1;
    return entry;
  }

  // A place for a key that is not there, with the key already in it, or null
  // when it is turned away.
  Entry* Insert(const Key& key, uint64_t hash);

 private:
  Entry* Bucket(uint64_t hash) const {
    return entries_.begin() + 2 * (hash & bucket_mask_);
  }

  size_t bucket_mask_;
  LargeArray<Entry> entries_;
};

// Both tables behind one face. Ids take 16 bits where all of them fit.
class WordMemory {
 public:
  using Narrow = WordCache<2>;
  using Wide = WordCache<4>;

  static constexpr size_t kMaxBytes = Wide::Key::kMaxBytes;

  // Takes `bytes` of memory, or a little less. All ids are below `vocab_size`.
  WordMemory(size_t bytes, size_t vocab_size);

  // The most ids that a word may have and be remembered.
  size_t max_ids() const { return Wide::kIdBytes / id_bytes_; }
  bool ids_are_16_bits() const { return id_bytes_ == 2; }

  // What an entry of few ids would say; it has no key.
  Narrow::Entry EntryOf(const MarginPath& path) const;

  // For those who look up nearly all words: where most of them are.
  Narrow& narrow() { return narrow_; }

  // Of a word of 0 to kMaxBytes bytes; 32 from `text` on must be readable.
  void Prefetch(const char* text, size_t size, WordKind kind) const;
  void PrefetchWide(const char* text, size_t size, WordKind kind) const;
  bool Recall(const char* text, size_t size, WordKind kind, MarginPath* path);
  // `path` is remembered only if it has at most max_ids() ids or no use.
  void Remember(const char* text, size_t size, WordKind kind,
                const MarginPath& path);

 private:
  template <typename Entry>
  void Read(const Entry& entry, MarginPath* path) const;
  template <typename Entry>
  void Write(const MarginPath& path, Entry* entry) const;

  const size_t id_bytes_;
  Narrow narrow_;
  Wide wide_;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_WORD_CACHE_H_
