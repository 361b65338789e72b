// Convolutions in fp32 by Winograd's F(4x4, 3x3). Tiles of 6 x 6 pixels become 36 sums and differences, their "places";
// each place is multiplied by a matrix of weights of its own; and the 36 products become 4 x 4 results. That takes a
// quarter of the multiplications. Written over `Lanes`, a processor's vectors, which an including file defines.
//
// Tiles lie on a grid fixed to the picture, and every result comes from the same operations in the same order. So it
// does not depend on where a strip or a range of columns ends.
#pragma once

#include "layers.h"
#include "pixels.h"
#include "winograd_layout.h"

namespace realesrgan {
namespace {

constexpr int AHEAD = 16;  // channels whose weights are fetched into the first cache before they are read

// Adds up channels times weights for a few tiles and outputs, whose sums stay in registers.
template <int tiles, int vectors>
inline void multiply(const float *values, size_t chunk, int depth, const float *weights, float *sums,
                     size_t sums_tile) {
  Vector sum[tiles][vectors], weight[vectors];
#pragma GCC unroll 16
  for (int t = 0; t < tiles; t++)
    for (int v = 0; v < vectors; v++) sum[t][v] = Lanes::all(0.0f);
  for (; depth > 0; depth -= LANES, values += chunk) {
    int channels = depth < LANES ? depth : LANES;
    for (int c = 0; c < channels; c++, weights += vectors * LANES) {
#pragma GCC unroll 2
      for (int v = 0; v < vectors; v++) {
        weight[v] = Lanes::load(weights + v * LANES);
        __builtin_prefetch(weights + (AHEAD * vectors + v) * LANES);
      }
#pragma GCC unroll 16
      for (int t = 0; t < tiles; t++) {
        Vector value = Lanes::all(values[t * LANES + c]);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sum[t][v] = Lanes::multiply_add(value, weight[v], sum[t][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < tiles; t++)
    for (int v = 0; v < vectors; v++) Lanes::store(sums + t * sums_tile + v * LANES, sum[t][v]);
}

// The same for a number of tiles known only now, up to `most`.
template <int most, int vectors>
inline void multiply_some(int tiles, const float *values, size_t chunk, int depth, const float *weights, float *sums,
                          size_t sums_tile) {
  if (tiles == most)
    multiply<most, vectors>(values, chunk, depth, weights, sums, sums_tile);
  else if constexpr (most > 1)
    multiply_some<most - 1, vectors>(tiles, values, chunk, depth, weights, sums, sums_tile);
}

// Some tiles beside each other, on their way through the scratch.
struct Block {
  Shape shape;
  int x;  // the first column of results
  int tiles;
  float *values, *sums, *results;
  size_t values_place, sums_place;  // floats from one place to the next

  Block(const Job &job, const Shape &of, int column, int count) : shape(of), x(column), tiles(count) {
    values = static_cast<float *>(job.scratch);
    sums = values + values_floats(shape);
    results = sums + sums_floats(shape);
    values_place = spread(shape.chunks * tiles);
    sums_place = spread(shape.outputs * tiles);
  }
};

inline long floats_of(const RingLayout *ring) {  // of a pixel
  return ring == nullptr ? 0 : ring->pixel / static_cast<long>(sizeof(float));
}

inline void read_tiles(const Job &job, const Block &block) {
  long pixel = floats_of(job.plan->source);
  for (int t = 0; t < block.tiles; t++) {
    const float *rows[SIDE];
    for (int i = 0; i < SIDE; i++)
      rows[i] = reinterpret_cast<const float *>(job.source[i]) + (block.x + t * TILE - 1) * pixel;
    for (int c = 0; c < block.shape.chunks; c++)
      transform_pixels(rows, c * LANES, pixel, block.values + (c * block.tiles + t) * LANES, block.values_place);
  }
}

// Weights are read once. Those of a place and a group stay in the first cache while all tiles pass.
inline void multiply_places(const Block &block, const float *weights) {
  int tiles = block.tiles, depth = block.shape.depth, outputs = block.shape.outputs;
  int turns = (tiles + Lanes::TILES - 1) / Lanes::TILES;
  size_t chunk = tiles * LANES, sums_tile = outputs * LANES;
  for (int place = 0; place < PLACES; place++) {
    const float *values = block.values + place * block.values_place;
    float *sums = block.sums + place * block.sums_place;
    for (int output = 0; output < outputs; output += GROUP) {
      int vectors = outputs - output < GROUP ? outputs - output : GROUP;
      for (int turn = 0; turn < turns; turn++) {
        int from = tiles * turn / turns, count = tiles * (turn + 1) / turns - from;
        const float *first = values + from * LANES;
        float *to = sums + from * sums_tile + output * LANES;
        if (vectors == GROUP)
          multiply_some<Lanes::TILES, GROUP>(count, first, chunk, depth, weights, to, sums_tile);
        else
          multiply_some<Lanes::TILES, 1>(count, first, chunk, depth, weights, to, sums_tile);
      }
      weights += static_cast<size_t>(depth) * vectors * LANES;
    }
  }
}

// Where results go, and what becomes of them before.
struct Target {
  float *features[TILE], *sums[TILE];
  const float *residuals[2][TILE];
  long features_pixel = 0, sums_pixel = 0, residual_pixel[2] = {0, 0};  // floats
  int repeat = 1;
  const float *slopes, *bias;
  float scales[2];
};

// The results of a last layer go into the scratch first.
inline Target target_of(const Job &job, const Block &block) {
  const LayerPlan &plan = *job.plan;
  Target target;
  target.slopes = plan.slopes;
  target.bias = static_cast<const float *>(plan.packed);
  target.features_pixel = floats_of(plan.features);
  target.sums_pixel = plan.layer.shuffle > 0 ? block.shape.outputs * LANES : floats_of(plan.sums);
  if (plan.features != nullptr) target.repeat = plan.features->ring.repeat;
  for (int r = 0; r < 2; r++) {
    target.residual_pixel[r] = floats_of(plan.residuals[r]);
    target.scales[r] = plan.layer.scales[r];
  }
  for (int i = 0; i < TILE; i++) {
    target.features[i] = nullptr;
    if (job.features[i] != nullptr)
      target.features[i] = reinterpret_cast<float *>(job.features[i] + plan.features->offset[plan.layer.part]);
    target.sums[i] = job.sums[i];
    if (plan.layer.shuffle > 0) target.sums[i] = block.results + (i * block.tiles * TILE - block.x) * target.sums_pixel;
    for (int r = 0; r < 2; r++) target.residuals[r][i] = job.residuals[r][i];
  }
  return target;
}

// Finishes and stores the first `count` of a row of results of a tile. `whole`: those are all, so that the compiler
// can unroll the loops and keep results in registers.
template <bool whole>
inline void store(const Target &target, int row, int x, int count, int output, Vector *results) {
  const int columns = whole ? TILE : count;
  for (int r = 0; r < 2; r++)
    if (target.residuals[r][row] != nullptr) {
      const float *other = target.residuals[r][row] + x * target.residual_pixel[r] + output;
      Vector scale = Lanes::all(target.scales[r]);
      for (int j = 0; j < columns; j++)
        results[j] = Lanes::multiply_add(results[j], scale, Lanes::load(other + j * target.residual_pixel[r]));
    }
  if (target.sums[row] != nullptr) {
    float *to = target.sums[row] + x * target.sums_pixel + output;
    for (int j = 0; j < columns; j++) Lanes::store(to + j * target.sums_pixel, results[j]);
  }
  if (target.features[row] != nullptr) {
    float *to = target.features[row] + x * target.repeat * target.features_pixel + output;
    for (int again = 0; again < target.repeat; again++, to += target.features_pixel)
      for (int j = 0; j < columns; j++) Lanes::store(to + j * target.repeat * target.features_pixel, results[j]);
  }
}

template <bool whole>
inline void write_tile(const Job &job, const Target &target, const Block &block, int tile, int x) {
  int outputs = block.shape.outputs * LANES;
  for (int output = 0; output < outputs; output += LANES) {
    Vector results[TILE][TILE];
    transform_sums(block.sums + tile * outputs + output, block.sums_place, Lanes::load(target.bias + output), results);
    if (target.slopes != nullptr) {
      Vector slopes = Lanes::load(target.slopes + output);
#pragma GCC unroll 4
      for (int i = 0; i < TILE; i++)
#pragma GCC unroll 4
        for (int j = 0; j < TILE; j++) results[i][j] = Lanes::leaky(results[i][j], slopes);
    }
    if (whole) {
#pragma GCC unroll 4
      for (int i = 0; i < TILE; i++) store<true>(target, i, x, TILE, output, results[i]);
    } else {
      int columns = job.right - x < TILE ? job.right - x : TILE;
      for (int i = job.first; i < job.first + job.rows; i++) store<false>(target, i, x, columns, output, results[i]);
    }
  }
}

inline void write_tiles(const Job &job, const Block &block) {
  Target target = target_of(job, block);
  for (int t = 0; t < block.tiles; t++) {
    int x = block.x + t * TILE;
    if (job.rows == TILE && x + TILE <= job.right)
      write_tile<true>(job, target, block, t, x);
    else
      write_tile<false>(job, target, block, t, x);
  }
}

// A last layer's results, from the scratch into the picture.
inline bool emit_block(const Job &job, const Block &block) {
  bool finite = true;
  int columns = block.tiles * TILE, pixel = block.shape.outputs * LANES;
  int count = job.right - block.x < columns ? job.right - block.x : columns;
  for (int i = job.first; i < job.first + job.rows; i++)
    finite &= emit(job, i, block.x, count, block.results + i * columns * pixel, pixel);
  return finite;
}

inline bool compute_block(const Job &job, const Block &block) {
  read_tiles(job, block);
  multiply_places(block, static_cast<const float *>(job.plan->packed) + bias_floats(block.shape));
  write_tiles(job, block);
  return job.plan->layer.shuffle == 0 || emit_block(job, block);
}

bool compute(const Job &job) {
  Shape shape = shape_of(*job.plan);
  int tiles = (job.right - job.left + TILE - 1) / TILE, blocks = (tiles + shape.tiles - 1) / shape.tiles;
  bool finite = true;
  for (int b = 0; b < blocks; b++) {
    int from = tiles * b / blocks, count = tiles * (b + 1) / blocks - from;
    finite &= compute_block(job, Block(job, shape, job.left + from * TILE, count));
  }
  return finite;
}

void feed(const re_rows &picture, int fold, int, const RingLayout &ring, char *features, const RingLayout *sums_ring,
          float *sums, int left, int right) {
  float *pixels = reinterpret_cast<float *>(features);
  read_pixels(picture, fold, ring.ring.channels[0], left, right, [&](int x, int channel, float value) {
    pixels[x * floats_of(&ring) + channel] = value;
    if (sums != nullptr) sums[x * floats_of(sums_ring) + channel] = value;
  });
}

}  // namespace
}  // namespace realesrgan
