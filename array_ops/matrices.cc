// SPDX-License-Identifier: Apache-2.0
#include "array_ops/matrices.h"

#include <omp.h>

#include <map>
#include <utility>

namespace soft_prompts {
namespace {

using dnnl::memory;

// Shapes are few in training; serving may see many.
constexpr size_t kMostPrograms = 1024;

struct Program {
  memory::desc a, b, out;
  dnnl::matmul matmul;
};

// What a thread keeps. XLA calls from threads of its own and divides the work
// among them, so oneDNN must not start a team for each.
struct Thread {
  Thread() : engine(dnnl::engine::kind::cpu, 0), stream(engine) {
    omp_set_num_threads(1);
  }

  dnnl::engine engine;
  dnnl::stream stream;
  std::map<std::vector<int64_t>, Program> programs;
};

Program MakeProgram(const dnnl::engine& engine, memory::data_type type,
                    const Layout& a, const Layout& b,
                    memory::data_type out_type, const Layout& out) {
  Program program;
  program.a = memory::desc(a.dims, type, a.strides);
  program.b = memory::desc(b.dims, type, b.strides);
  program.out = memory::desc(out.dims, out_type, out.strides);
  program.matmul = dnnl::matmul(
      dnnl::matmul::primitive_desc(engine, program.a, program.b, program.out));
  return program;
}

}  // namespace

void Multiply(memory::data_type type, const Layout& a, const void* a_data,
              const Layout& b, const void* b_data, memory::data_type out_type,
              const Layout& out, void* out_data) {
  thread_local Thread thread;
  std::vector<int64_t> key = {static_cast<int64_t>(type),
                              static_cast<int64_t>(out_type)};
  for (const Layout* layout : {&a, &b, &out}) {
    key.insert(key.end(), layout->dims.begin(), layout->dims.end());
    key.insert(key.end(), layout->strides.begin(), layout->strides.end());
  }
  auto found = thread.programs.find(key);
  if (found == thread.programs.end()) {
    if (thread.programs.size() >= kMostPrograms) thread.programs.clear();
    Program program = MakeProgram(thread.engine, type, a, b, out_type, out);
    found = thread.programs.emplace(std::move(key), std::move(program)).first;
  }
  const Program& program = found->second;
  const auto argument = [](const memory::desc& desc, const void* data) {
    return memory(desc, thread.engine, const_cast<void*>(data));
  };
  program.matmul.execute(thread.stream,
                         {{DNNL_ARG_SRC, argument(program.a, a_data)},
                          {DNNL_ARG_WEIGHTS, argument(program.b, b_data)},
                          {DNNL_ARG_DST, argument(program.out, out_data)}});
  thread.stream.wait();
}

}  // namespace soft_prompts
