// How Winograd's method cuts a layer into vectors and tiles, and lays out its weights and its scratch.
#pragma once

#include "pixels.h"
#include "winograd_transforms.h"

namespace realesrgan {
namespace {

constexpr int GROUP = 2;  // vectors of outputs that are summed at a time

// Bytes of scratch that tiles take while they are computed. With a second cache of 2 MiB, of 256 KiB to 2 MiB this was
// the fastest: weights want to stay there too, and so do the rows that are read.
constexpr int CACHED = 512 << 10;

struct Shape {
  int depth;    // channels that are read, with what pads all parts but the last
  int chunks;   // vectors of them
  int outputs;  // vectors of output channels
  int tiles;    // most that are computed at once
};

inline Shape shape_of(const LayerPlan &plan) {
  const RingLayout &source = *plan.source;
  int last = plan.layer.parts - 1;
  Shape shape;
  shape.depth = source.offset[last] / static_cast<int>(sizeof(float)) + source.ring.channels[last];
  shape.chunks = (shape.depth + LANES - 1) / LANES;
  shape.outputs = (plan.layer.out_channels + LANES - 1) / LANES;
  int bytes = PLACES * LANES * static_cast<int>(sizeof(float)) * (shape.chunks + shape.outputs);
  int blocks = CACHED / (bytes * Lanes::TILES);
  shape.tiles = Lanes::TILES * (blocks < 1 ? 1 : blocks);
  return shape;
}

// Floats from one place to the next where each has so many vectors. An odd number of cache lines, as places a multiple
// of 4 KiB apart would drive each other out of the first cache.
inline size_t spread(int vectors) {
  constexpr int LINE = CACHE_LINE / static_cast<int>(sizeof(float));
  return static_cast<size_t>((vectors * LANES + LINE - 1) / LINE | 1) * LINE;
}

// Scratch: values [place][chunk][tile][lane], sums [place][tile][output], and a last layer's results.
inline size_t values_floats(const Shape &shape) { return PLACES * spread(shape.chunks * shape.tiles); }
inline size_t sums_floats(const Shape &shape) { return PLACES * spread(shape.outputs * shape.tiles); }

size_t scratch_bytes(const LayerPlan &plan) {
  Shape shape = shape_of(plan);
  size_t results = plan.layer.shuffle > 0 ? static_cast<size_t>(TILE * TILE) * shape.tiles * shape.outputs * LANES : 0;
  return (values_floats(shape) + sums_floats(shape) + results) * sizeof(float);
}

// Packed: the bias, padded to whole cache lines, then weights [place][group][channel][output of the group].
inline size_t bias_floats(const Shape &shape) { return round_up(shape.outputs * LANES, CACHE_LINE); }

size_t packed_bytes(const LayerPlan &plan) {
  Shape shape = shape_of(plan);
  size_t weights = static_cast<size_t>(PLACES) * shape.depth * shape.outputs * LANES;
  return (bias_floats(shape) + weights) * sizeof(float);
}

inline int out_channel(const re_layer &layer, int place) {
  return layer.shuffle > 0 ? shuffled_channel(place, layer) : place;
}

// Where an output's weights begin, for place 0 and channel 0. `channel`: floats from one channel's to the next one's.
inline size_t output_at(const Shape &shape, int output, int *channel) {
  int group = output / (GROUP * LANES), whole = GROUP * LANES;
  int rest = shape.outputs * LANES - group * whole;
  *channel = rest < whole ? rest : whole;
  return static_cast<size_t>(group) * shape.depth * whole + output % whole;
}

void pack(const LayerPlan &plan, void *memory) {
  const re_layer &layer = plan.layer;
  Shape shape = shape_of(plan);
  float *bias = static_cast<float *>(memory), *weights = bias + bias_floats(shape);
  size_t place = static_cast<size_t>(shape.depth) * shape.outputs * LANES;
  for (int output = 0; output < layer.out_channels; output++) {
    int out = out_channel(layer, output), step, in = 0;
    if (layer.bias != nullptr) bias[output] = layer.bias[out];
    float *first = weights + output_at(shape, output, &step);
    for (int p = 0; p < layer.parts; p++)
      for (int c = 0; c < plan.source->ring.channels[p]; c++, in++) {
        const float *weight = layer.weight + (static_cast<size_t>(out) * plan.in_channels + in) * 9;
        int channel = plan.source->offset[p] / static_cast<int>(sizeof(float)) + c;
        transform_weights(weight, first + static_cast<size_t>(channel) * step, place);
      }
  }
}

}  // namespace
}  // namespace realesrgan
