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

// The channel of a network that comes at a place of a result's pixel: B, G, R, alpha, or gray.
inline int channel_at(int place, int channels) { return channels < 3 || place == 3 ? place : 2 - place; }

// Calls take(pixel, channel, value) for each value of a row of folded pixels, `folded` to each. The rows that are read
// have the network's channels, or are gray.
template <class Take>
inline void read_pixels(const re_rows &picture, int fold, int folded, int left, int right, Take take) {
  const int channels = folded / (fold * fold);
  for (int dy = 0; dy < fold; dy++) {
    const char *line = static_cast<const char *>(picture.data) + dy * picture.stride;
    for (int x = left; x < right; x++)
      for (int dx = 0; dx < fold; dx++)
        for (int c = 0; c < channels; c++) {
          int at = picture.channels == 1 ? x * fold + dx : (x * fold + dx) * channels + c;
          take(x, (c * fold + dy) * fold + dx, level(line, picture.depth, at));
        }
  }
}

// The output channel of a last layer that comes at a place where a pixel's values are sorted by row, column and the
// order of a result's channels.
inline int shuffled_channel(int place, const re_layer &layer) {
  int shuffle = layer.shuffle, channels = layer.out_channels / (shuffle * shuffle);
  int dy = place / (channels * shuffle), dx = place / channels % shuffle;
  return (channel_at(place % channels, channels) * shuffle + dy) * shuffle + dx;
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

// Reduces pixels to the channels of the result: colours to their luma, or to colours without alpha.
template <int channels>
inline void reduce(float *values, int pixels, int wanted) {
  if (wanted == channels) return;
  for (int i = 0; i < pixels; i++) {
    const float *bgr = values + i * channels;
    if (wanted == 1)
      values[i] = (clamped(bgr[2]) * LUMA[2] + clamped(bgr[1]) * LUMA[1]) + clamped(bgr[0]) * LUMA[0];
    else
      for (int c = 0; c < wanted; c++) values[i * wanted + c] = bgr[c];
  }
}

// Writes values in the depth of the result; `at` counts values of its row.
inline void store_result(const float *values, int count, const re_rows &format, char *row, int64_t at) {
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
template <int shuffle, int channels>
inline void fill_line(float *line, int count, const float *values, int stride, const float *base, int base_stride) {
  for (int i = 0; i < count; i++, values += stride, base += base_stride)
    for (int dx = 0; dx < shuffle; dx++)
      for (int c = 0; c < channels; c++)
        *line++ = values[dx * channels + c] + (base_stride > 0 ? base[channel_at(c, channels)] : 0.0f);
}

// Puts `count` pixels of a last layer's results, from column x on, where they belong. `values` holds `stride` floats a
// pixel. Returns whether all are finite.
template <int shuffle, int channels>
inline bool emit_shuffled(const Job &job, int row, int x, int count, const float *values, int stride) {
  constexpr int AT_ONCE = 16, EACH = channels * shuffle;  // pixels, and what each becomes in one row
  static const float NOTHING[RE_MOST_CHANNELS] = {};
  float line[AT_ONCE * EACH];
  int base_stride = job.base[row] != nullptr ? job.plan->base->pixel / static_cast<int>(sizeof(float)) : 0;
  uint32_t bad = 0;
  for (int from = 0; from < count; from += AT_ONCE) {
    int pixels = count - from < AT_ONCE ? count - from : AT_ONCE;
    const float *base = base_stride > 0 ? job.base[row] + static_cast<int64_t>(x + from) * base_stride : NOTHING;
    for (int dy = 0; dy < shuffle; dy++) {
      fill_line<shuffle, channels>(line, pixels, values + from * stride + dy * EACH, stride, base, base_stride);
      bad |= any_not_finite(line, pixels * EACH);
      reduce<channels>(line, pixels * shuffle, job.format.channels);
      store_result(line, pixels * shuffle * job.format.channels, job.format,
                   job.result[row] + dy * job.format.stride,
                   static_cast<int64_t>(x + from) * shuffle * job.format.channels);
    }
  }
  return bad == 0;
}

template <int shuffle>
inline bool emit_channels(const Job &job, int row, int x, int count, const float *values, int stride) {
  switch (job.plan->layer.out_channels / (shuffle * shuffle)) {
    case 1:
      return emit_shuffled<shuffle, 1>(job, row, x, count, values, stride);
    case 3:
      return emit_shuffled<shuffle, 3>(job, row, x, count, values, stride);
    default:
      return emit_shuffled<shuffle, RE_MOST_CHANNELS>(job, row, x, count, values, stride);
  }
}

inline bool emit(const Job &job, int row, int x, int count, const float *values, int stride) {
  switch (job.plan->layer.shuffle) {
    case 1:
      return emit_channels<1>(job, row, x, count, values, stride);
    case 2:
      return emit_channels<2>(job, row, x, count, values, stride);
    case 3:
      return emit_channels<3>(job, row, x, count, values, stride);
    default:
      return emit_channels<RE_MOST_SHUFFLE>(job, row, x, count, values, stride);
  }
}

}  // namespace
}  // namespace realesrgan
