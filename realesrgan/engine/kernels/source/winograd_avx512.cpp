// fp32 with AVX512: vectors of 16, and 32 of them in registers.
#include <immintrin.h>

#include "cpu.h"

namespace realesrgan {
namespace {

struct Lanes {
  typedef __m512 Vector;
  static constexpr int COUNT = 16;
  static constexpr int TILES = 14;  // by two vectors of outputs make 28 sums; two weights and a value besides
  static inline Vector load(const float *from) { return _mm512_loadu_ps(from); }
  static inline void store(float *to, Vector value) { _mm512_storeu_ps(to, value); }
  static inline Vector all(float value) { return _mm512_set1_ps(value); }
  static inline Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static inline Vector subtract(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
  static inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static inline Vector leaky(Vector value, Vector slopes) {
    return _mm512_mask_mul_ps(value, _mm512_movepi32_mask(_mm512_castps_si512(value)), value, slopes);
  }
};

bool supported() { return cpu_has(AVX512); }

}  // namespace
}  // namespace realesrgan

#include "denormals.h"
#include "winograd.h"

namespace realesrgan {

extern const Kernels AVX512_KERNELS;
const Kernels AVX512_KERNELS = {"avx512",     supported, sizeof(float), LANES,        TILE,       TILE, false,
                                packed_bytes, pack,      scratch_bytes, begin_thread, end_thread, feed, compute};

}  // namespace realesrgan
