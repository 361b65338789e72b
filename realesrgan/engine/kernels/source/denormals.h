// Lets the processor take numbers below 1e-38 for zero while a thread computes: with them, it is many times as slow.
#pragma once

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace realesrgan {
namespace {

#if defined(__x86_64__) || defined(_M_X64)

thread_local unsigned mode_before;  // of the caller, whose thread computes too

void begin_thread() {
  constexpr unsigned FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x0040;
  mode_before = _mm_getcsr();
  _mm_setcsr(mode_before | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
}

void end_thread() { _mm_setcsr(mode_before); }

#else

void begin_thread() {}
void end_thread() {}

#endif

}  // namespace
}  // namespace realesrgan
