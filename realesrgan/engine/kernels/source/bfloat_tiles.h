// The sums of blocks of pixels, by tiles of 16 pixels and 16 outputs. Written over `Tiles` and `Lanes`.
#pragma once

#include "bfloat_layout.h"

namespace realesrgan {
namespace {

constexpr int MOST_CHUNKS_THAT_STAY = 2;  // whose weights, 36 KB, stay in the first cache

// What a block of pixels is computed from, for one group of outputs.
struct Block {
  const char *row[3];  // of features, one pixel left of the block
  long pixel;          // bytes
  const int *offset;   // of chunks
  int chunks;
  const char *weights;
  const float *bias;
};

// Calls multiply(pixels, weights, next, dx) for each tap and chunk: where the block's first pixel and the weights lie,
// and where the pixels do that come after this chunk, which the hardware does not guess.
template <int tiles, class Multiply>
inline void for_each_tap(const Block &block, Multiply multiply) {
  // Copies, so that the compiler keeps them in registers whatever the instructions below may write to memory.
  const char *const rows[3] = {block.row[0], block.row[1], block.row[2]};
  const int *const offsets = block.offset;
  const int chunks = block.chunks;
  const long pixel = block.pixel;
  const char *weights = block.weights;
  for (int dy = 0; dy < 3; dy++)
    for (int c = 0; c < chunks; c++) {
      const char *at = rows[dy] + offsets[c];
      const char *next = c + 1 < chunks ? rows[dy] + offsets[c + 1] : rows[dy < 2 ? dy + 1 : 2] + offsets[0];
#pragma GCC unroll 3
      for (int dx = 0; dx < 3; dx++, at += pixel, weights += tiles * WEIGHT_TILE) multiply(at, weights, next, dx);
    }
}

// The part of the next pixels that is fetched during a tap: lines `from` to `to` of `each`.
inline void prefetch(const char *next, long pixel, int dx, int each, int from, int to) {
#pragma GCC unroll 17
  for (int i = from; i < to; i++) Lanes::prefetch(next + (dx * each + i) * pixel);
}

// `stride` counts floats from pixel to pixel.
template <int tile>
inline void store_tile(float *sums, int number, int stride) {
  Tiles::store<tile>(sums + number * TILE * stride, stride * static_cast<long>(sizeof(float)));
}

template <int left, int right>
inline void store_tiles(float *sums, int number, int stride) {
  store_tile<left>(sums, number, stride);
  store_tile<right>(sums + TILE, number, stride);
}

// Three tiles of pixels by two of outputs: six of the eight tile registers hold sums, so pixels are loaded twice.
inline void compute_3x2(const Block &block, float *sums, int stride) {
  const long pixel = block.pixel;
  Tiles::load<0>(block.bias, 0), Tiles::load<1>(block.bias + TILE, 0);
  Tiles::load<2>(block.bias, 0), Tiles::load<3>(block.bias + TILE, 0);
  Tiles::load<4>(block.bias, 0), Tiles::load<5>(block.bias + TILE, 0);
  for_each_tap<2>(block, [=](const char *at, const char *weights, const char *next, int dx) {
    Tiles::load<7>(weights, 64);
    Tiles::load<6>(at, pixel), Tiles::multiply<0, 6, 7>();
    prefetch(next, pixel, dx, 17, 0, 9);
    Tiles::load<6>(at + 16 * pixel, pixel), Tiles::multiply<2, 6, 7>();
    prefetch(next, pixel, dx, 17, 9, 17);
    Tiles::load<6>(at + 32 * pixel, pixel), Tiles::multiply<4, 6, 7>();
    Tiles::load<7>(weights + WEIGHT_TILE, 64), Tiles::multiply<5, 6, 7>();
    Tiles::load<6>(at + 16 * pixel, pixel), Tiles::multiply<3, 6, 7>();
    Tiles::load<6>(at, pixel), Tiles::multiply<1, 6, 7>();
  });
  store_tiles<0, 1>(sums, 0, stride), store_tiles<2, 3>(sums, 1, stride), store_tiles<4, 5>(sums, 2, stride);
}

inline void compute_2x2(const Block &block, float *sums, int stride) {
  const long pixel = block.pixel;
  Tiles::load<0>(block.bias, 0), Tiles::load<1>(block.bias + TILE, 0);
  Tiles::load<2>(block.bias, 0), Tiles::load<3>(block.bias + TILE, 0);
  for_each_tap<2>(block, [=](const char *at, const char *weights, const char *next, int dx) {
    Tiles::load<6>(weights, 64), Tiles::load<7>(weights + WEIGHT_TILE, 64);
    Tiles::load<4>(at, pixel), Tiles::multiply<0, 4, 6>();
    prefetch(next, pixel, dx, 12, 0, 12);
    Tiles::multiply<1, 4, 7>();
    Tiles::load<5>(at + 16 * pixel, pixel), Tiles::multiply<2, 5, 6>(), Tiles::multiply<3, 5, 7>();
  });
  store_tiles<0, 1>(sums, 0, stride), store_tiles<2, 3>(sums, 1, stride);
}

// One tile of pixels by two of outputs, for the end of a row.
inline void compute_1x2(const Block &block, float *sums, int stride) {
  const long pixel = block.pixel;
  Tiles::load<0>(block.bias, 0), Tiles::load<1>(block.bias + TILE, 0);
  for_each_tap<2>(block, [=](const char *at, const char *weights, const char *, int) {
    Tiles::load<4>(at, pixel);
    Tiles::load<6>(weights, 64), Tiles::multiply<0, 4, 6>();
    Tiles::load<7>(weights + WEIGHT_TILE, 64), Tiles::multiply<1, 4, 7>();
  });
  store_tiles<0, 1>(sums, 0, stride);
}

// By one tile of outputs.
inline void compute_3x1(const Block &block, float *sums, int stride) {
  const long pixel = block.pixel;
  Tiles::load<0>(block.bias, 0), Tiles::load<1>(block.bias, 0), Tiles::load<2>(block.bias, 0);
  for_each_tap<1>(block, [=](const char *at, const char *weights, const char *next, int dx) {
    Tiles::load<7>(weights, 64);
    Tiles::load<4>(at, pixel), Tiles::multiply<0, 4, 7>();
    prefetch(next, pixel, dx, 17, 0, 17);
    Tiles::load<5>(at + 16 * pixel, pixel), Tiles::multiply<1, 5, 7>();
    Tiles::load<6>(at + 32 * pixel, pixel), Tiles::multiply<2, 6, 7>();
  });
  store_tile<0>(sums, 0, stride), store_tile<1>(sums, 1, stride), store_tile<2>(sums, 2, stride);
}

inline void compute_1x1(const Block &block, float *sums, int stride) {
  const long pixel = block.pixel;
  Tiles::load<0>(block.bias, 0);
  for_each_tap<1>(block, [=](const char *at, const char *weights, const char *, int) {
    Tiles::load<4>(at, pixel);
    Tiles::load<6>(weights, 64), Tiles::multiply<0, 4, 6>();
  });
  store_tile<0>(sums, 0, stride);
}

// Sums of so many tiles of outputs for up to three tiles of pixels, at most `most` pixels. Returns for how many.
inline int compute_block(const Block &block, int tiles, int most, float *sums, int stride) {
  // Three by two reads weights least often, two by two pixels; a layer of few channels has its weights in the cache.
  bool weights_stay = tiles == 2 && block.chunks <= MOST_CHUNKS_THAT_STAY;
  if (most > 2 * TILE && !weights_stay) {
    tiles == 2 ? compute_3x2(block, sums, stride) : compute_3x1(block, sums, stride);
    return 3 * TILE < most ? 3 * TILE : most;
  }
  if (most > TILE && tiles == 2) {
    compute_2x2(block, sums, stride);
    return 2 * TILE < most ? 2 * TILE : most;
  }
  tiles == 2 ? compute_1x2(block, sums, stride) : compute_1x1(block, sums, stride);
  return most < TILE ? most : TILE;
}

}  // namespace
}  // namespace realesrgan
