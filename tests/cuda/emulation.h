// Enough of CUDA to run kernels on a CPU: the threads of a block are fibres, which change places at barriers.
// A barrier that only some threads reach is an error. With `reversed` threads run in the opposite order, so
// that a result that depends on the order shows a missing barrier.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict

namespace emulation {
struct Index { int x, y, z; };
enum State { READY, WAITING, DONE };
struct Fibre { ucontext_t context; Index index; State state; std::vector<char> stack; };
static Fibre* current;
static ucontext_t scheduler;
static void (*body)();
static void run() {
  body();
  current->state = DONE;
  swapcontext(&current->context, &scheduler);
}
}  // namespace emulation

static emulation::Index threadIdx, blockIdx, blockDim, gridDim;
alignas(64) double block[1 << 15];  // shared memory: 256 kB
static void __syncthreads() {
  emulation::current->state = emulation::WAITING;
  swapcontext(&emulation::current->context, &emulation::scheduler);
}

namespace emulation {
// 0, or 1 where only some threads of a block reached a barrier.
static int run_block(int width, int height, bool reversed) {
  static std::vector<Fibre> fibres;
  const int count = width * height;
  if (int(fibres.size()) < count) fibres.resize(count);
  for (int t = 0; t < count; ++t) {
    Fibre& fibre = fibres[t];
    fibre.stack.resize(1 << 16);
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.data();
    fibre.context.uc_stack.ss_size = fibre.stack.size();
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, run, 0);
    fibre.index = {t % width, t / width, 0};
    fibre.state = READY;
  }
  for (;;) {
    int waiting = 0;
    for (int k = 0; k < count; ++k) {
      current = &fibres[reversed ? count - 1 - k : k];
      if (current->state == DONE) continue;
      current->state = READY;
      threadIdx = current->index;
      swapcontext(&scheduler, &current->context);
      waiting += current->state == WAITING;
    }
    if (waiting == 0) return 0;
    if (waiting != count) return 1;
  }
}

template <class... A, size_t... I>
static int launch(void (*kernel)(A...), void** arguments, int first, int last, int width, int height,
                  bool reversed, std::index_sequence<I...>) {
  static void (*function)(A...);
  static std::tuple<A...> values;
  function = kernel;
  values = std::tuple<A...>(*static_cast<A*>(arguments[I])...);
  body = [] { std::apply(function, values); };
  blockDim = {width, height, 1};
  for (int b = first; b < last; ++b) {
    blockIdx = {b, 0, 0};
    if (run_block(width, height, reversed)) return 1;
  }
  return 0;
}
template <class... A>
static int launch(void (*kernel)(A...), void** arguments, int first, int last, int width, int height,
                  bool reversed) {
  return launch(kernel, arguments, first, last, width, height, reversed, std::index_sequence_for<A...>());
}
}  // namespace emulation

#define EMULATE(kernel) \
  extern "C" int emulate_##kernel(void** a, int first, int last, int w, int h, int reversed) { \
    return emulation::launch(kernel, a, first, last, w, h, reversed); }
