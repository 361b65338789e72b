// bfloat16 by the tile instructions of Intel's AMX, and AVX512 for what comes after the sums.
#include <immintrin.h>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "cpu.h"
#include "layers.h"

namespace realesrgan {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

// Written out because compilers spell the tile's number differently, and tell each other of too few of the bytes read.
struct Tiles {
  template <int tile>
  static inline void load(const void *from, long stride) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(tile) : "memory");
  }
  template <int tile>
  static inline void store(void *to, long stride) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(tile) : "memory");
  }
  template <int sums, int features, int weights>
  static inline void multiply() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(features), "i"(weights));
  }
};

struct Lanes {
  typedef __m512 Vector;
  static inline Vector load(const float *from) { return _mm512_loadu_ps(from); }
  static inline void store(float *to, Vector value) { _mm512_storeu_ps(to, value); }
  static inline Vector all(float value) { return _mm512_set1_ps(value); }
  static inline Vector subtract(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
  static inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static inline Vector leaky(Vector value, Vector slopes) {
    return _mm512_mask_mul_ps(value, _mm512_movepi32_mask(_mm512_castps_si512(value)), value, slopes);
  }
  static inline void store_bfloats(char *to, Vector value) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), (__m256i)_mm512_cvtneps_pbh(value));
  }
  static inline void store_bfloats(char *to, Vector first, Vector second) {
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(second, first));
  }
  static inline Vector rounded(Vector value) {
    __m512i bits = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(value));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
  }
  static inline void prefetch(const char *at) { _mm_prefetch(at, _MM_HINT_T0); }
};

}  // namespace
}  // namespace realesrgan

#include "bfloat.h"

namespace realesrgan {
namespace {

// Linux gives a process the tiles' registers only if it asks. A process that has asked once has them in all threads.
bool permitted() {
#ifdef __linux__
  constexpr int REQUEST_FEATURE = 0x1023, TILE_DATA = 18;
  return syscall(SYS_arch_prctl, REQUEST_FEATURE, TILE_DATA) == 0;
#else
  return false;
#endif
}

bool supported() {
  static const bool answer = cpu_has(AMX_BF16) && permitted();
  return answer;
}

void begin_thread() {
  TileConfig config{};
  config.palette = 1;
  for (int tile = 0; tile < 8; tile++) {
    config.row_bytes[tile] = 64;
    config.rows[tile] = 16;
  }
  __asm__ volatile("ldtilecfg (%0)" : : "r"(&config) : "memory");
}

void end_thread() { __asm__ volatile("tilerelease" : : : "memory"); }

}  // namespace

extern const Kernels AMX_KERNELS;
const Kernels AMX_KERNELS = {"amx",        supported, sizeof(bfloat), CHUNK,        1,          TILE, true,
                             packed_bytes, pack,      scratch_bytes,  begin_thread, end_thread, feed, compute};

}  // namespace realesrgan
