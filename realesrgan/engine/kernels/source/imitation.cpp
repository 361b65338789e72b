// The bfloat16 variant in plain C++: the same addressing and arithmetic on any processor. For tests only; it is slow.
#include "bfloat_layout.h"
#include "layers.h"

namespace realesrgan {
namespace {

thread_local float tile_sums[8][16][16];
thread_local uint16_t tile_bits[8][16][32];

// Tiles 0 to 5 may hold sums, 4 to 7 features or weights; both views of a register are kept, as loads tell no type.
struct Tiles {
  template <int tile>
  static inline void load(const void *from, long stride) {
    for (int row = 0; row < 16; row++) {
      __builtin_memcpy(tile_sums[tile][row], static_cast<const char *>(from) + row * stride, 64);
      __builtin_memcpy(tile_bits[tile][row], tile_sums[tile][row], 64);
    }
  }
  template <int tile>
  static inline void store(void *to, long stride) {
    for (int row = 0; row < 16; row++)
      __builtin_memcpy(static_cast<char *>(to) + row * stride, tile_sums[tile][row], 64);
  }
  template <int sums, int features, int weights>
  static inline void multiply() {
    float by[32][16];  // weights by channel and output
    for (int pair = 0; pair < 16; pair++)
      for (int n = 0; n < 16; n++)
        for (int i = 0; i < 2; i++) by[2 * pair + i][n] = to_float(tile_bits[weights][pair][2 * n + i]);
    float (*to)[16] = tile_sums[sums];
    const uint16_t (*pixels)[32] = tile_bits[features];
    for (int row = 0; row < 16; row++)
      for (int channel = 0; channel < 32; channel++) {
        float value = to_float(pixels[row][channel]);
        for (int n = 0; n < 16; n++) to[row][n] += value * by[channel][n];
      }
  }
};

struct Lanes {
  struct Vector {
    float lane[16];
  };
  template <class Function>
  static inline Vector each(Function function) {
    Vector result;
    for (int i = 0; i < 16; i++) result.lane[i] = function(i);
    return result;
  }
  static inline Vector load(const float *from) {
    return each([&](int i) { return from[i]; });
  }
  static inline void store(float *to, const Vector &value) { __builtin_memcpy(to, value.lane, sizeof value.lane); }
  static inline Vector all(float value) {
    return each([&](int) { return value; });
  }
  static inline Vector subtract(const Vector &a, const Vector &b) {
    return each([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static inline Vector multiply_add(const Vector &a, const Vector &b, const Vector &c) {
    return each([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
  }
  static inline Vector leaky(const Vector &value, const Vector &slopes) {
    return each(
        [&](int i) { return __builtin_signbit(value.lane[i]) ? value.lane[i] * slopes.lane[i] : value.lane[i]; });
  }
  static inline void store_bfloats(char *to, const Vector &value) {
    uint16_t rounded[16];
    for (int i = 0; i < 16; i++) rounded[i] = to_bfloat(value.lane[i]);
    __builtin_memcpy(to, rounded, sizeof rounded);
  }
  static inline void store_bfloats(char *to, const Vector &first, const Vector &second) {
    store_bfloats(to, first);
    store_bfloats(to + 32, second);
  }
  static inline Vector rounded(const Vector &value) {
    return each([&](int i) { return to_float(to_bfloat(value.lane[i])); });
  }
  static inline void prefetch(const char *) {}
};

}  // namespace
}  // namespace realesrgan

#include "bfloat.h"

namespace realesrgan {
namespace {

bool supported() { return true; }
void begin_thread() {}
void end_thread() {}

}  // namespace

extern const Kernels IMITATED_KERNELS;
const Kernels IMITATED_KERNELS = {"amx imitated", supported, sizeof(bfloat), CHUNK,        1,          TILE, true,
                                  packed_bytes,   pack,      scratch_bytes,  begin_thread, end_thread, feed, compute};

}  // namespace realesrgan
