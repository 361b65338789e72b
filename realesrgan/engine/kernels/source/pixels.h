// From pixels to the first features and from the last results to pixels. Included by each variant, to be compiled for
// its processor; everything is static, so that the linker never takes one variant's code for another's.
#pragma once

#include <math.h>
#include <string.h>

#include "layers.h"

namespace realesrgan {
namespace {

constexpr float LUMA[3] = {0.114f, 0.587f, 0.299f};  // of B, G, R, as OpenCV and the published code weigh them

inline float level(const char *data, int depth, int index) {
  if (depth == RE_UINT8) return reinterpret_cast<const uint8_t *>(data)[index] / 255.0f;
  if (depth == RE_UINT16) return reinterpret_cast<const uint16_t *>(data)[index] / 65535.0f;
  return reinterpret_cast<const float *>(data)[index];
}

// Calls take(pixel, channel, value) for each value of a row of folded RGB pixels, from rows of RGB or gray ones.
template <class Take>
inline void read_pixels(const re_rows &picture, int fold, int left, int right, Take take) {
  for (int dy = 0; dy < fold; dy++) {
    const char *line = static_cast<const char *>(picture.data) + dy * picture.stride;
    for (int x = left; x < right; x++)
      for (int dx = 0; dx < fold; dx++)
        for (int c = 0; c < 3; c++) {
          int at = picture.channels == 1 ? x * fold + dx : (x * fold + dx) * 3 + c;
          take(x, (c * fold + dy) * fold + dx, level(line, picture.depth, at));
        }
  }
}

// The output channel of a last layer that comes at a place where a pixel's values are sorted by row, column, B, G, R.
inline int shuffled_channel(int place, int shuffle) {
  int dy = place / (3 * shuffle), dx = place / 3 % shuffle, colour = 2 - place % 3;
  return (colour * shuffle + dy) * shuffle + dx;
}

inline float clamped(float value) { return value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value; }

template <class Level>
inline void store_levels(const float *values, int count, float peak, Level *to) {
  for (int i = 0; i < count; i++) {
    float scaled = values[i] * peak;
    scaled = scaled < 0.0f ? 0.0f : scaled > peak ? peak : scaled;
    // Adding 1.5 * 2^23 leaves no bits for a fraction: to the nearest whole number, of two as near the even one.
    to[i] = static_cast<Level>(static_cast<int>((scaled + 12582912.0f) - 12582912.0f));
  }
}

// Writes `count` values, BGR after BGR, in the depth and layout of the result; `at` counts values of its row.
inline void store_result(float *values, int count, const re_rows &format, char *row, int64_t at) {
  if (format.channels == 1) {
    count /= 3;
    at /= 3;
    for (int i = 0; i < count; i++)
      values[i] = (clamped(values[3 * i + 2]) * LUMA[2] + clamped(values[3 * i + 1]) * LUMA[1]) +
                  clamped(values[3 * i]) * LUMA[0];
  }
  if (format.depth == RE_UINT8) {
    store_levels(values, count, 255.0f, reinterpret_cast<uint8_t *>(row) + at);
  } else if (format.depth == RE_UINT16) {
    store_levels(values, count, 65535.0f, reinterpret_cast<uint16_t *>(row) + at);
  } else {
    float *to = reinterpret_cast<float *>(row) + at;
    for (int i = 0; i < count; i++) to[i] = format.depth == RE_FLOAT32 ? clamped(values[i]) : values[i];
  }
}

inline uint32_t any_not_finite(const float *values, int count) {
  constexpr uint32_t EXPONENT = 0x7f800000;  // all ones
  uint32_t bad = 0;
  for (int i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, values + i, sizeof bits);
    bad |= (bits & EXPONENT) == EXPONENT;
  }
  return bad;
}

// Sorts the values of `count` pixels of a last layer into one row of the result, and adds the picture if `base` is
// given.
template <int shuffle>
inline void fill_line(float *line, int count, const float *values, int stride, const float *base, int base_stride) {
  for (int i = 0; i < count; i++, values += stride, base += base_stride)
    for (int dx = 0; dx < shuffle; dx++)
      for (int c = 0; c < 3; c++) *line++ = values[dx * 3 + c] + (base_stride > 0 ? base[2 - c] : 0.0f);
}

// Puts `count` pixels of a last layer's results, from column x on, where they belong. `values` holds `stride` floats a
// pixel. Returns whether all are finite.
template <int shuffle>
inline bool emit_shuffled(const Job &job, int row, int x, int count, const float *values, int stride) {
  constexpr int AT_ONCE = 16, EACH = 3 * shuffle;  // pixels, and what each becomes in one row
  static const float NOTHING[3] = {0, 0, 0};
  float line[AT_ONCE * EACH];
  int base_stride = job.base[row] != nullptr ? job.plan->base->pixel / static_cast<int>(sizeof(float)) : 0;
  uint32_t bad = 0;
  for (int from = 0; from < count; from += AT_ONCE) {
    int pixels = count - from < AT_ONCE ? count - from : AT_ONCE;
    const float *base = base_stride > 0 ? job.base[row] + static_cast<int64_t>(x + from) * base_stride : NOTHING;
    for (int dy = 0; dy < shuffle; dy++) {
      fill_line<shuffle>(line, pixels, values + from * stride + dy * EACH, stride, base, base_stride);
      bad |= any_not_finite(line, pixels * EACH);
      store_result(line, pixels * EACH, job.format, job.result[row] + dy * job.format.stride,
                   static_cast<int64_t>(x + from) * EACH);
    }
  }
  return bad == 0;
}

inline bool emit(const Job &job, int row, int x, int count, const float *values, int stride) {
  switch (job.plan->layer.shuffle) {
    case 1:
      return emit_shuffled<1>(job, row, x, count, values, stride);
    case 2:
      return emit_shuffled<2>(job, row, x, count, values, stride);
    case 3:
      return emit_shuffled<3>(job, row, x, count, values, stride);
    default:
      return emit_shuffled<RE_MOST_SHUFFLE>(job, row, x, count, values, stride);
  }
}

}  // namespace
}  // namespace realesrgan
