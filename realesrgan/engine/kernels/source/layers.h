// What the parts of this library share: layers made ready to be computed, and the table of functions of a variant.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "interface.h"

namespace realesrgan {

constexpr int MOST_ROWS = 4;    // that a kernel computes at a time
constexpr int BORDER = 1;       // pixels to the left of a row, zero
constexpr int OVERHANG = 64;    // pixels to the right of a row, zero, so that kernels may read whole blocks
constexpr int CACHE_LINE = 64;  // bytes

inline int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

// How the signals of a ring lie in the bytes of a pixel.
struct RingLayout {
  re_ring ring;
  int offset[RE_MOST_PARTS];  // bytes from the start of a pixel to a part
  int term[RE_MOST_PARTS];    // bytes from its rounded values to what rounding left; 0: not kept
  bool together;              // a few channels: values, what rounding left and values again lie in one vector
  int pixel;                  // bytes of a pixel
};

struct LayerPlan {
  re_layer layer;
  const RingLayout *source;
  const RingLayout *features;      // or null
  const RingLayout *sums;          // or null
  const RingLayout *residuals[2];  // or null
  const RingLayout *base;          // or null
  int in_channels;
  const void *packed;   // weights and bias as the variant wants them
  const float *slopes;  // padded to whole vectors, or null
};

// One piece of work: up to MOST_ROWS rows of a layer, between two columns. Pointers are to pixel 0 of a row.
struct Job {
  const LayerPlan *plan;
  int rows;  // of those a variant computes at a time; the first is number `first`
  int first;
  int left, right;
  const char *source[MOST_ROWS + 2];  // the rows from one above the first to one below the last
  const float *residuals[2][MOST_ROWS];
  const float *base[MOST_ROWS];
  char *features[MOST_ROWS];
  float *sums[MOST_ROWS];
  char *result[MOST_ROWS];  // where the first of the `shuffle` rows that a row becomes goes
  re_rows format;           // of the result
  void *scratch;
};

// A way of computing layers. All its functions may only be called where the processor supports it.
struct Kernels {
  const char *name;
  bool (*supported)();
  int feature_bytes;  // of a value
  int align;          // channels of a part are padded to a multiple of this
  int rows;           // computed at a time, on a grid fixed to the picture: 1 or 4
  int columns;        // a range of columns begins at a multiple of this
  bool keeps_terms;   // whether precise features are stored as two values
  size_t (*packed_bytes)(const LayerPlan &);
  void (*pack)(const LayerPlan &, void *);
  size_t (*scratch_bytes)(const LayerPlan &);
  void (*begin_thread)();
  void (*end_thread)();
  void (*feed)(const re_rows &picture, int fold, int width, const RingLayout &ring, char *features,
               const RingLayout *sums_ring, float *sums, int left, int right);
  bool (*compute)(const Job &);  // false: a value of the result is not finite
};

const Kernels *const *all_kernels();  // from the fastest; null at the end

}  // namespace realesrgan
