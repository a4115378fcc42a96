// One Arithmetic, a term a cycle.

#include <cstdint>

#include "Vtop.h"
#include "verilated.h"

extern "C" void evaluate(const int64_t* terms, int64_t* results, uint64_t n) {
  VerilatedContext context;
  Vtop top(&context);
  top.eval();  // with the clock low, or the first edge is none
  for (uint64_t i = 0; i < n; ++i, terms += 7, results += 7) {
    top.a = static_cast<uint8_t>(terms[0]);
    top.b = static_cast<uint8_t>(terms[1]);
    top.wide = static_cast<uint64_t>(terms[2]) & 0xFFFFFFFFFF;
    top.cause0 = static_cast<uint8_t>(terms[3]);
    top.cause1 = static_cast<uint8_t>(terms[4]);
    top.cause2 = static_cast<uint8_t>(terms[5]);
    top.cause3 = static_cast<uint8_t>(terms[6]);
    for (int edge = 0; edge < 4; ++edge) {  // two cycles: terms are registered, then results
      top.clk = !(edge & 1);
      top.eval();
    }
    results[0] = static_cast<int16_t>(top.product);
    results[1] = top.order;
    results[2] = static_cast<int32_t>(top.narrow);
    results[3] = static_cast<int64_t>(top.sum);
    results[4] = top.n_first;
    results[5] = top.n_second;
    results[6] = top.n_third;
  }
}
