// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/model.h"

#include <exception>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "builtin_pb/sentencepiece_model.pb.h"
#include "data_ops/tokenizer/char_map.h"
#include "data_ops/tokenizer/utf8.h"
#include "sentencepiece_processor.h"

namespace data_ops {
namespace {

using sentencepiece::ModelProto;
using Type = ModelProto::SentencePiece;

// User-defined symbols that may be prefixes of one another: the library keeps
// so many and reads beyond them when a text matches more.
constexpr int kMaxNestedSymbols = 64;

// SeqIO's spelling: U+2581 in front, so that a sentinel is found at the start
// of a word.
std::string ExtraIdPiece(int number) {
  return std::string(kSpaceMark) + "<extra_id_" + std::to_string(number) + ">";
}

std::vector<std::string_view> UserSymbols(const ModelProto& model) {
  std::vector<std::string_view> symbols;
  for (const auto& piece : model.pieces()) {
    if (piece.type() == Type::USER_DEFINED && !piece.piece().empty()) {
      symbols.push_back(piece.piece());
    }
  }
  return symbols;
}

Status CheckNesting(const std::vector<std::string_view>& symbols) {
  std::vector<std::pair<std::string_view, int32_t>> pieces;
  for (const std::string_view symbol : symbols) pieces.push_back({symbol, 0});
  PieceTrie trie;
  // Equal symbols are the library's to report.
  if (!trie.Build(std::move(pieces))) return Status();
  for (const std::string_view symbol : symbols) {
    uint32_t node = PieceTrie::kRoot;
    int nested = 0;
    for (const char c : symbol) {
      trie.Step(static_cast<uint8_t>(c), &node);
      nested += trie.Id(node) != PieceTrie::kNoId;
    }
    if (nested > kMaxNestedSymbols) {
      return InvalidArgument(
          "more than " + std::to_string(kMaxNestedSymbols) +
          " user-defined symbols of the model begin one another; remove some.");
    }
  }
  return Status();
}

// The living models, by a hash of their bytes.
class Registry {
 public:
  static Registry& Get() {
    static auto* registry = new Registry;
    return *registry;
  }

  std::shared_ptr<const Model> Find(
      size_t hash, const std::function<bool(const Model&)>& is_same) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto [it, end] = models_.equal_range(hash);
    while (it != end) {
      if (auto model = it->second.lock()) {
        if (is_same(*model)) return model;
        ++it;
      } else {
        it = models_.erase(it);
      }
    }
    return nullptr;
  }

  void Add(size_t hash, const std::shared_ptr<const Model>& model) {
    const std::lock_guard<std::mutex> lock(mutex_);
    models_.emplace(hash, model);
  }

 private:
  std::mutex mutex_;
  std::unordered_multimap<size_t, std::weak_ptr<const Model>> models_;
};

}  // namespace

Model::Model(std::string_view bytes, const ModelOptions& options)
    : bytes_(bytes),
      options_(options),
      proto_(std::make_unique<ModelProto>()) {}

Model::~Model() = default;

StatusOr<std::shared_ptr<const Model>> Model::Load(
    std::string_view bytes, const ModelOptions& options) {
  const size_t hash = std::hash<std::string_view>()(bytes);
  const auto is_same = [&](const Model& model) {
    return model.options_ == options && model.bytes_ == bytes;
  };
  if (auto model = Registry::Get().Find(hash, is_same)) return model;
  auto loaded = LoadAnew(bytes, options);
  if (loaded.ok()) Registry::Get().Add(hash, loaded.value());
  return loaded;
}

StatusOr<std::shared_ptr<const Model>> Model::LoadAnew(
    std::string_view bytes, const ModelOptions& options) {
  std::shared_ptr<Model> model(new Model(bytes, options));
  if (Status status = model->Parse(); !status.ok()) return status;
  if (Status status = model->AppendExtraIds(); !status.ok()) return status;
  if (Status status = model->BuildFastWay(); !status.ok()) return status;
  if (model->traits_.mode == ExactMode::kLibrary) {
    if (options.semantics != Semantics::kClassic) {
      return InvalidArgument(
          "semantics is '0.2.3', but only the library encodes with this model "
          "(" +
          model->traits_.reason +
          ") and the one built in is 0.2.1; use 'classic'.");
    }
    if (auto library = model->Library(); !library.ok()) {
      return library.status();
    }
  }
  model->FindSpecialIds();
  return std::shared_ptr<const Model>(std::move(model));
}

Status Model::Parse() {
  if (bytes_.empty()) {
    return InvalidArgument(
        "the SentencePiece model is empty (0 bytes); pass the content of a "
        ".model file.");
  }
  const std::string size = std::to_string(bytes_.size());
  if (bytes_.size() > std::numeric_limits<int>::max() ||
      !proto_->ParseFromArray(bytes_.data(), static_cast<int>(bytes_.size()))) {
    return InvalidArgument("the " + size +
                           " bytes given are not a SentencePiece model; the "
                           "file is cut off or of another kind.");
  }
  // A model is written pieces first, so a file cut between two pieces still
  // parses and only misses what follows them.
  if (proto_->pieces_size() == 0 || !proto_->has_normalizer_spec()) {
    return InvalidArgument("the SentencePiece model of " + size +
                           " bytes has " +
                           std::to_string(proto_->pieces_size()) +
                           " pieces and no rules of normalization after them; "
                           "the file is cut off or of another kind.");
  }
  return Status();
}

Status Model::AppendExtraIds() {
  const int count = options_.extra_ids;
  if (count < 0) {
    return InvalidArgument("extra_ids is " + std::to_string(count) +
                           "; it must be 0 or more.");
  }
  if (count == 0) return Status();
  const std::string first = ExtraIdPiece(0);
  for (const auto& piece : proto_->pieces()) {
    if (piece.piece() == first) {
      return InvalidArgument(
          "extra_ids is " + std::to_string(count) +
          ", but the model already holds <extra_id_0>; set extra_ids to 0.");
    }
  }
  for (int i = 0; i < count; ++i) {
    auto* piece = proto_->add_pieces();
    piece->set_piece(
        ExtraIdPiece(options_.reverse_extra_ids ? count - 1 - i : i));
    piece->set_score(0.0f);
    piece->set_type(Type::USER_DEFINED);
  }
  return Status();
}

Status Model::BuildFastWay() {
  const auto& spec = proto_->normalizer_spec();
  auto map = CharMap::Create(spec.precompiled_charsmap());
  if (!map.ok()) return map.status();
  const auto back =
      CharMap::Create(proto_->denormalizer_spec().precompiled_charsmap());
  if (!back.ok()) return back.status();
  const std::vector<std::string_view> symbols = UserSymbols(*proto_);
  if (Status status = CheckNesting(symbols); !status.ok()) return status;

  int unknown = -1, unknowns = 0;
  piece_ids_.reserve(static_cast<size_t>(proto_->pieces_size()));
  for (int id = 0; id < proto_->pieces_size(); ++id) {
    const auto& piece = proto_->pieces(id);
    pieces_are_unique_ &= piece_ids_.emplace(piece.piece(), id).second;
    pieces_are_unique_ &= !piece.piece().empty() && piece.type() != Type::BYTE;
    if (piece.type() == Type::UNKNOWN) {
      unknown = id;
      ++unknowns;
    }
  }
  std::string why = WhyLibraryOnly(*proto_);
  if (why.empty() && !map.value().well_formed()) {
    why = "a rule of normalization does not give UTF-8";
  }
  // What the library refuses it is left to explain.
  if (why.empty() && (!pieces_are_unique_ || unknowns != 1)) {
    why = "its pieces are not the usual ones";
  }
  if (!why.empty()) {
    traits_ = {ExactMode::kLibrary, why + "."};
    return Status();
  }

  NormalizerOptions options;
  options.add_dummy_prefix = spec.add_dummy_prefix();
  options.remove_extra_whitespaces = spec.remove_extra_whitespaces();
  options.escape_whitespaces = spec.escape_whitespaces();
  options.whitespace_as_suffix =
      proto_->trainer_spec().treat_whitespace_as_suffix();
  normalizer_ =
      std::make_unique<Normalizer>(options, std::move(map).value(), symbols);
  lexicon_ = std::make_unique<Lexicon>(
      TextPieces(*proto_), unknown, static_cast<size_t>(proto_->pieces_size()),
      options_.semantics);
  if (!lexicon_->ok()) {
    traits_ = {ExactMode::kLibrary, "its pieces are too many."};
    return Status();
  }
  traits_ = Examine(*proto_, *normalizer_, *lexicon_);
  if (Decoder::CanDecode(*proto_)) {
    decoder_ = std::make_unique<Decoder>(*proto_);
  }
  return Status();
}

void Model::FindSpecialIds() {
  if (traits_.mode == ExactMode::kLibrary) {
    bos_id_ = library_->bos_id();
    eos_id_ = library_->eos_id();
    pad_id_ = library_->pad_id();
    unk_id_ = library_->unk_id();
    return;
  }
  const auto find = [&](const std::string& name, const char* usual, auto type) {
    const auto it = piece_ids_.find(name.empty() ? usual : name.c_str());
    if (it == piece_ids_.end()) return -1;
    return proto_->pieces(it->second).type() == type ? it->second : -1;
  };
  const auto& spec = proto_->trainer_spec();
  bos_id_ = find(spec.bos_piece(), "<s>", Type::CONTROL);
  eos_id_ = find(spec.eos_piece(), "</s>", Type::CONTROL);
  pad_id_ = find(spec.pad_piece(), "<pad>", Type::CONTROL);
  // A name that is not there reads as the unknown piece, whatever its name.
  const auto named = piece_ids_.find(
      spec.unk_piece().empty() ? "<unk>" : spec.unk_piece().c_str());
  unk_id_ = named == piece_ids_.end() ||
                    proto_->pieces(named->second).type() == Type::UNKNOWN
                ? lexicon_->unk_id()
                : -1;
}

StatusOr<const sentencepiece::SentencePieceProcessor*> Model::Library() const {
  std::call_once(library_once_, [&] {
    auto library = std::make_unique<sentencepiece::SentencePieceProcessor>();
    try {
      const auto loaded = library->Load(*proto_);
      if (!loaded.ok()) {
        library_status_ = InvalidArgument(
            std::string("the SentencePiece model cannot be used: ") +
            loaded.message());
      }
    } catch (const std::exception& error) {
      // The library reports broken tries of pieces by throwing.
      library_status_ = InvalidArgument(
          std::string("the SentencePiece model cannot be used: ") +
          error.what());
    }
    library_ = std::move(library);
  });
  if (!library_status_.ok()) return library_status_;
  return library_.get();
}

int Model::vocab_size() const { return proto_->pieces_size(); }

const std::string& Model::IdToPiece(int id) const {
  return proto_->pieces(id).piece();
}

int Model::PieceToId(std::string_view piece) const {
  if (traits_.mode == ExactMode::kLibrary) return library_->PieceToId(piece);
  const auto it = piece_ids_.find(piece);
  return it == piece_ids_.end() ? lexicon_->unk_id() : it->second;
}

std::string Model::Serialized() const { return proto_->SerializeAsString(); }

}  // namespace data_ops
