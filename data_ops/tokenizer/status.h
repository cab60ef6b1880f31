// SPDX-License-Identifier: Apache-2.0
//
// The result of a tokenizer call: success, or a code and a sentence for the
// user. The core returns these and never throws; tokenizer_module.cc turns them
// into Python exceptions.

#ifndef DATA_OPS_TOKENIZER_STATUS_H_
#define DATA_OPS_TOKENIZER_STATUS_H_

#include <optional>
#include <string>
#include <utility>

namespace data_ops {

enum class StatusCode {
  kOk,
  kInvalidArgument,    // what the caller passed cannot work, whatever the model
  kOutOfRange,         // an id that the model does not have
  kResourceExhausted,  // the machine has no memory left
  kInternal,           // the library underneath failed on valid input
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message)
      : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status InvalidArgument(std::string message) {
  return Status(StatusCode::kInvalidArgument, std::move(message));
}

// Either a value or the status that says why there is none.
// value() may be called only when ok().
template <typename T>
class [[nodiscard]] StatusOr {
 public:
  // Implicit, so that a function may simply `return status;` or `return
  // value;`.
  StatusOr(Status status) : status_(std::move(status)) {}
  StatusOr(T value) : value_(std::move(value)) {}

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_STATUS_H_
