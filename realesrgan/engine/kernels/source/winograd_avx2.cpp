// fp32 with AVX2 and FMA: vectors of 8, and 16 of them in registers.
#include <immintrin.h>

#include "cpu.h"

namespace realesrgan {
namespace {

struct Lanes {
  typedef __m256 Vector;
  static constexpr int COUNT = 8;
  static constexpr int TILES = 6;  // by two vectors of outputs make 12 sums; two weights and a value besides
  static inline Vector load(const float *from) { return _mm256_loadu_ps(from); }
  static inline void store(float *to, Vector value) { _mm256_storeu_ps(to, value); }
  static inline Vector all(float value) { return _mm256_set1_ps(value); }
  static inline Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static inline Vector subtract(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
  static inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static inline Vector leaky(Vector value, Vector slopes) {
    return _mm256_blendv_ps(value, _mm256_mul_ps(value, slopes), value);  // where the sign is set
  }
};

bool supported() { return cpu_has(AVX2_FMA); }

}  // namespace
}  // namespace realesrgan

#include "denormals.h"
#include "winograd.h"

namespace realesrgan {

extern const Kernels AVX2_KERNELS;
const Kernels AVX2_KERNELS = {"avx2",       supported, sizeof(float), LANES,        TILE,       TILE, false,
                              packed_bytes, pack,      scratch_bytes, begin_thread, end_thread, feed, compute};

}  // namespace realesrgan
