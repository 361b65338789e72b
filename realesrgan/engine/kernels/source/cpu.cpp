#include "cpu.h"

#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>

namespace realesrgan {

namespace {

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
  return r;
}

bool bit(unsigned word, int number) { return word >> number & 1; }

// The registers that the operating system saves when it changes threads.
uint64_t saved_registers() {
  if (!bit(cpuid(1, 0).c, 27)) return 0;  // it does not use XSAVE
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

constexpr uint64_t AVX_STATE = 0x6, AVX512_STATE = 0xe6, TILE_STATE = 0x60000;

bool saves(uint64_t state) { return (saved_registers() & state) == state; }

}  // namespace

bool cpu_has(Feature feature) {
  Registers one = cpuid(1, 0), seven = cpuid(7, 0), more = cpuid(7, 1);
  bool avx2 = saves(AVX_STATE) && bit(seven.b, 5) && bit(one.c, 12);
  bool avx512 =
      avx2 && saves(AVX512_STATE) && bit(seven.b, 16) && bit(seven.b, 17) && bit(seven.b, 30) && bit(seven.b, 31);
  switch (feature) {
    case AVX2_FMA:
      return avx2;
    case AVX512:
      return avx512;
    case AMX_BF16:
      return avx512 && bit(more.a, 5) && saves(TILE_STATE) && bit(seven.d, 22) && bit(seven.d, 24);
  }
  return false;
}

}  // namespace realesrgan

#else

namespace realesrgan {
bool cpu_has(Feature) { return false; }
}  // namespace realesrgan

#endif
