// fp32 in plain C++: vectors of 4, as the compiler makes them of what any processor has. For those without AVX2, and
// for tests.
namespace realesrgan {
namespace {

struct Lanes {
  typedef float Vector __attribute__((vector_size(16)));
  static constexpr int COUNT = 4;
  static constexpr int TILES = 6;  // by two vectors of outputs make 12 sums, for 16 registers
  static inline Vector load(const float *from) {
    Vector value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
  }
  static inline void store(float *to, Vector value) { __builtin_memcpy(to, &value, sizeof value); }
  static inline Vector all(float value) { return Vector{value, value, value, value}; }
  static inline Vector add(Vector a, Vector b) { return a + b; }
  static inline Vector subtract(Vector a, Vector b) { return a - b; }
  static inline Vector multiply_add(Vector a, Vector b, Vector c) { return a * b + c; }
  static inline Vector leaky(Vector value, Vector slopes) { return value < 0.0f ? value * slopes : value; }
};

bool supported() { return true; }

}  // namespace
}  // namespace realesrgan

#include "denormals.h"
#include "winograd.h"

namespace realesrgan {

extern const Kernels PLAIN_KERNELS;
const Kernels PLAIN_KERNELS = {"plain",      supported, sizeof(float), LANES,        TILE,       TILE, false,
                               packed_bytes, pack,      scratch_bytes, begin_thread, end_thread, feed, compute};

}  // namespace realesrgan
