// The bfloat16 variant: features rounded to 16 bits, products summed in fp32 by tile instructions. Written over two
// sets of primitives, the processor's and their imitation in plain C++: `Tiles` and `Lanes`, which an including file
// defines.
//
// A tile holds 16 rows of 64 bytes. Of features, a row is 32 channels of a pixel; of weights, it is two channels by 16
// outputs. One instruction multiplies a tile of 16 pixels by one of 16 outputs, and adds to 16 x 16 sums.
#pragma once

#include "bfloat_ends.h"
#include "bfloat_layout.h"
#include "bfloat_tiles.h"

namespace realesrgan {
namespace {

size_t scratch_bytes(const LayerPlan &) { return 0; }

inline Block block_of(const Job &job, int group) {
  const Packed &packed = *static_cast<const Packed *>(job.plan->packed);
  Block block;
  block.pixel = job.plan->source->pixel;
  for (int dy = 0; dy < 3; dy++) block.row[dy] = job.source[dy] - block.pixel;
  block.offset = packed.offset;
  block.chunks = packed.chunks;
  block.bias = reinterpret_cast<const float *>(&packed + 1) + group * GROUP;
  block.weights =
      static_cast<const char *>(job.plan->packed) + weights_at(packed.groups) + group_bytes(packed.chunks, 2) * group;
  return block;
}

inline Block moved(Block block, int columns) {
  for (int dy = 0; dy < 3; dy++) block.row[dy] += columns * block.pixel;
  return block;
}

bool compute_last(const Job &job) {
  constexpr int SPAN = MOST_TILES * TILE,
                MOST_STRIDE = (RE_MOST_CHANNELS * RE_MOST_SHUFFLE * RE_MOST_SHUFFLE + GROUP - 1) / GROUP * GROUP;
  alignas(CACHE_LINE) float values[SPAN * MOST_STRIDE];
  int outs = job.plan->layer.out_channels, groups = (outs + GROUP - 1) / GROUP, stride = groups * GROUP;
  bool finite = true;
  for (int x = job.left; x < job.right; x += SPAN) {
    int pixels = job.right - x < SPAN ? job.right - x : SPAN;
    for (int group = 0; group < groups; group++)
      for (int i = 0; i < pixels;)
        i += compute_block(moved(block_of(job, group), x + i), tiles_of_group(outs, group), pixels - i,
                           values + i * stride + group * GROUP, stride);
    finite &= emit(job, 0, x, pixels, values, stride);
  }
  return finite;
}

bool compute(const Job &job) {
  if (job.plan->layer.shuffle > 0) return compute_last(job);
  alignas(CACHE_LINE) float sums[MOST_TILES * TILE * GROUP];
  int outs = job.plan->layer.out_channels, groups = (outs + GROUP - 1) / GROUP;
  for (int group = 0; group < groups; group++) {
    Block block = block_of(job, group);
    Target target = target_of(job, group);
    int tiles = tiles_of_group(outs, group);
    for (int x = job.left, count; x < job.right; x += count) {
      count = compute_block(moved(block, x), tiles, job.right - x, sums, GROUP);
      store(target, tiles, x, count, sums);
    }
  }
  return true;
}

void feed(const re_rows &picture, int fold, int, const RingLayout &ring, char *features, const RingLayout *sums_ring,
          float *sums, int left, int right) {
  int term = ring.term[0];
  read_pixels(picture, fold, ring.ring.channels[0], left, right, [&](int x, int channel, float value) {
    bfloat *to = reinterpret_cast<bfloat *>(features + static_cast<int64_t>(x) * ring.pixel) + channel;
    bfloat main = to_bfloat(value);
    to[0] = main;
    if (term != 0) to[term / sizeof(bfloat)] = to_bfloat(value - to_float(main));
    if (ring.together) to[2 * term / sizeof(bfloat)] = main;
    if (sums != nullptr) sums[static_cast<int64_t>(x) * (sums_ring->pixel / sizeof(float)) + channel] = value;
  });
}

}  // namespace
}  // namespace realesrgan
