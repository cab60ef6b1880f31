// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/word_cache.h"

namespace data_ops {
namespace {

uint16_t RoundDown(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<uint16_t>(bits >> 16);
}

uint16_t RoundUp(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<uint16_t>((bits + 0xffff) >> 16);
}

}  // namespace

template <size_t kWords>
WordCache<kWords>::WordCache(size_t bytes) {
  constexpr size_t kBucketBytes = 2 * sizeof(Entry);
  size_t buckets = 1;
  while (buckets * 2 * kBucketBytes <= bytes) buckets *= 2;
  bucket_mask_ = buckets - 1;
  entries_ = LargeArray<Entry>(2 * buckets);
  // A tag of zero is no key's: every entry is empty.
  std::memset(static_cast<void*>(entries_.begin()), 0,
              2 * buckets * sizeof(Entry));
}

template <size_t kWords>
typename WordCache<kWords>::Entry* WordCache<kWords>::Insert(const Key& key,
                                                             uint64_t hash) {
  Entry* bucket = Bucket(hash);
  const auto is_empty = [&](size_t i) {
    return bucket[i].key.words[kWords - 1] == 0;
  };
  Entry* entry = nullptr;
  if (is_empty(0)) {
    entry = &bucket[0];
  } else if (is_empty(1) || !bucket[1].used) {
    entry = &bucket[1];
  } else if (!bucket[0].used) {
    entry = &bucket[0];
  } else {
    bucket[0].used = bucket[1].used = 0;
    return nullptr;
  }
  entry->key = key;
  entry->used = 0;
  return entry;
}

template class WordCache<2>;
template class WordCache<4>;

WordMemory::WordMemory(size_t bytes, size_t vocab_size)
    : id_bytes_(vocab_size <= 65536 ? 2 : 4),
      narrow_(bytes / 2),
      wide_(bytes / 2) {}

template <typename Entry>
void WordMemory::Read(const Entry& entry, MarginPath* path) const {
  path->count = 0;
  path->limit = -1;
  path->weight = 0;
  if (entry.count == Narrow::kNeverSure) return;
  path->count = entry.count;
  path->limit = FromHalf(entry.limit);
  path->weight = FromHalf(entry.weight);
  for (size_t i = 0; i < path->count; ++i) {
    if (ids_are_16_bits()) {
      path->ids[i] = entry.ids[i];
    } else {
      std::memcpy(&path->ids[i], &entry.ids[2 * i], sizeof(path->ids[i]));
    }
  }
}

template <typename Entry>
void WordMemory::Write(const MarginPath& path, Entry* entry) const {
  if (path.limit < 0) {
    entry->count = Narrow::kNeverSure;
    entry->limit = RoundDown(-1);
    return;
  }
  entry->count = static_cast<uint8_t>(path.count);
  entry->limit = RoundDown(path.limit);
  entry->weight = RoundUp(path.weight);
  for (size_t i = 0; i < path.count; ++i) {
    if (ids_are_16_bits()) {
      entry->ids[i] = static_cast<uint16_t>(path.ids[i]);
    } else {
      std::memcpy(&entry->ids[2 * i], &path.ids[i], sizeof(path.ids[i]));
    }
  }
}

WordMemory::Narrow::Entry WordMemory::EntryOf(const MarginPath& path) const {
  Narrow::Entry entry = {};
  Write(path, &entry);
  return entry;
}

void WordMemory::Prefetch(const char* text, size_t size, WordKind kind) const {
  if (size <= Narrow::Key::kMaxBytes) {
    narrow_.Prefetch(Narrow::Key::Of(text, size, kind).Hash());
  } else {
    PrefetchWide(text, size, kind);
  }
}

void WordMemory::PrefetchWide(const char* text, size_t size,
                              WordKind kind) const {
  wide_.Prefetch(Wide::Key::Of(text, size, kind).Hash());
}

bool WordMemory::Recall(const char* text, size_t size, WordKind kind,
                        MarginPath* path) {
  if (size <= Narrow::Key::kMaxBytes) {
    const auto key = Narrow::Key::Of(text, size, kind);
    const auto* entry = narrow_.Find(key, key.Hash());
    if (entry == nullptr) return false;
    if (entry->count != Narrow::kElsewhere) {
      Read(*entry, path);
      return true;
    }
  }
  const auto key = Wide::Key::Of(text, size, kind);
  const auto* entry = wide_.Find(key, key.Hash());
  if (entry == nullptr) return false;
  Read(*entry, path);
  return true;
}

void WordMemory::Remember(const char* text, size_t size, WordKind kind,
                          const MarginPath& path) {
  const size_t count = path.limit < 0 ? 0 : path.count;
  if (count > max_ids()) return;
  if (size <= Narrow::Key::kMaxBytes) {
    const auto key = Narrow::Key::Of(text, size, kind);
    const uint64_t hash = key.Hash();
    auto* entry = const_cast<Narrow::Entry*>(narrow_.Find(key, hash));
    if (entry == nullptr) entry = narrow_.Insert(key, hash);
    if (entry == nullptr) return;
    if (count <= Narrow::kIdBytes / id_bytes_) {
      Write(path, entry);
      return;
    }
    entry->count = Narrow::kElsewhere;
    // No bound is as low, so nobody takes the entry for a hit.
    entry->limit = RoundDown(-1);
  }
  const auto key = Wide::Key::Of(text, size, kind);
  auto* entry = wide_.Insert(key, key.Hash());
  if (entry != nullptr) Write(path, entry);
}

}  // namespace data_ops
