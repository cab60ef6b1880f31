// SPDX-License-Identifier: Apache-2.0
//
// The little that C++ tests need: TEST(Name) { CHECK(...); CHECK_EQ(a, b); }
// and one RunTests() in main. A failed check prints where and what, and the
// test goes on; RunTests() returns 1 if any failed or none ran.

#ifndef DATA_OPS_TOKENIZER_CHECK_H_
#define DATA_OPS_TOKENIZER_CHECK_H_

#include <atomic>
#include <iostream>
#include <utility>
#include <vector>

namespace data_ops::check {

using Test = std::pair<const char*, void (*)()>;

inline std::vector<Test>& Tests() {
  static auto* tests = new std::vector<Test>;
  return *tests;
}

// Atomic because tests check on threads of their own.
inline std::atomic<int>& Failures() {
  static std::atomic<int> failures = 0;
  return failures;
}

inline bool Register(const char* name, void (*body)()) {
  Tests().emplace_back(name, body);
  return true;
}

inline void Fail(const char* file, int line, const char* what) {
  ++Failures();
  std::cerr << file << ":" << line << ": " << what << "\n";
}

inline int RunTests() {
  for (const auto& [name, body] : Tests()) {
    const int before = Failures();
    body();
    std::cerr << (Failures() == before ? "[ok]   " : "[FAIL] ") << name << "\n";
  }
  return Failures() == 0 && !Tests().empty() ? 0 : 1;
}

}  // namespace data_ops::check

#define TEST(name)                               \
  static void name();                            \
  static const bool name##_registered =          \
      ::data_ops::check::Register(#name, &name); \
  static void name()

#define CHECK(condition)                                       \
  do {                                                         \
    if (!(condition)) {                                        \
      ::data_ops::check::Fail(__FILE__, __LINE__, #condition); \
    }                                                          \
  } while (false)

#define CHECK_EQ(left, right) CHECK((left) == (right))

#endif  // DATA_OPS_TOKENIZER_CHECK_H_
