// How the weights of the bfloat16 variant lie in memory: for each group of outputs in the order in which tiles read
// them.
#pragma once

#include <string.h>

#include "layers.h"
#include "pixels.h"

namespace realesrgan {
namespace {

typedef uint16_t bfloat;

constexpr int CHUNK = 32;          // channels of a tile of features
constexpr int TILE = 16;           // pixels, or outputs
constexpr int GROUP = 2 * TILE;    // outputs computed at a time
constexpr int MOST_TILES = 3;      // of pixels computed at a time
constexpr int WEIGHT_TILE = 1024;  // bytes
constexpr int MOST_CHUNKS = 3 * 64;

inline bfloat to_bfloat(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<bfloat>(bits >> 16 | 0x40);  // not a number, still
  return static_cast<bfloat>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float to_float(bfloat value) {
  uint32_t bits = static_cast<uint32_t>(value) << 16;
  float result;
  memcpy(&result, &bits, sizeof result);
  return result;
}

// 32 channels as they lie in a pixel, and which weights they are multiplied by: those of an input channel (or of none,
// -1), rounded, or what rounding them left.
struct Chunk {
  int offset;  // bytes from the start of a pixel
  int channel[CHUNK];
  bool rest[CHUNK];
};

// Precise features x = h + l and weights w = u + v, each in two halves, are multiplied as hu + lu + hv.
struct Chunks {
  int count = 0;
  Chunk chunk[MOST_CHUNKS];

  void add(int offset, int first, int channels, bool rest) {
    for (int from = 0; from < channels; from += CHUNK) {
      Chunk &next = chunk[count++];
      next.offset = offset + from * static_cast<int>(sizeof(bfloat));
      for (int i = 0; i < CHUNK; i++) {
        next.channel[i] = from + i < channels ? first + from + i : -1;
        next.rest[i] = rest;
      }
    }
  }
};

inline Chunks chunks_of(const LayerPlan &plan) {
  Chunks chunks;
  const RingLayout &source = *plan.source;
  int first = 0;
  for (int p = 0; p < plan.layer.parts; p++) {
    int channels = source.ring.channels[p], term = source.term[p];
    if (source.together) {
      Chunk &next = chunks.chunk[chunks.count++];
      next.offset = source.offset[p];
      for (int i = 0; i < CHUNK; i++) {
        next.channel[i] = i < 3 * channels ? first + i % channels : -1;
        next.rest[i] = i >= 2 * channels;
      }
    } else {
      chunks.add(source.offset[p], first, channels, false);
      if (plan.layer.precise && term != 0) chunks.add(source.offset[p] + term, first, channels, false);
      if (plan.layer.precise) chunks.add(source.offset[p], first, channels, true);
    }
    first += channels;
  }
  return chunks;
}

// What the start of packed weights says; bias and weights follow, each at a cache line.
struct alignas(CACHE_LINE) Packed {
  int chunks;
  int groups;
  int offset[MOST_CHUNKS];
};

inline int tiles_of_group(int out_channels, int group) { return out_channels - group * GROUP > TILE ? 2 : 1; }

inline size_t weights_at(int groups) { return sizeof(Packed) + groups * GROUP * sizeof(float); }

inline size_t group_bytes(int chunks, int tiles) { return static_cast<size_t>(9) * chunks * tiles * WEIGHT_TILE; }

size_t packed_bytes(const LayerPlan &plan) {
  int outs = plan.layer.out_channels, groups = (outs + GROUP - 1) / GROUP, chunks = chunks_of(plan).count;
  return weights_at(groups) + group_bytes(chunks, 2) * (groups - 1) +
         group_bytes(chunks, tiles_of_group(outs, groups - 1));
}

inline int out_channel(const re_layer &layer, int place) {
  if (place >= layer.out_channels) return -1;
  return layer.shuffle > 0 ? shuffled_channel(place, layer) : place;
}

inline bfloat packed_weight(const LayerPlan &plan, int out, const Chunk &chunk, int at, int tap) {
  int in = chunk.channel[at];
  if (out < 0 || in < 0) return 0;
  float weight = plan.layer.weight[(static_cast<size_t>(out) * plan.in_channels + in) * 9 + tap];
  bfloat main = to_bfloat(weight);
  return chunk.rest[at] ? to_bfloat(weight - to_float(main)) : main;
}

// Groups of outputs, then rows of the 3 x 3 taps, chunks, columns of taps, tiles of outputs, pairs of channels.
void pack(const LayerPlan &plan, void *memory) {
  const re_layer &layer = plan.layer;
  Chunks chunks = chunks_of(plan);
  Packed &packed = *static_cast<Packed *>(memory);
  packed.chunks = chunks.count;
  packed.groups = (layer.out_channels + GROUP - 1) / GROUP;
  for (int c = 0; c < chunks.count; c++) packed.offset[c] = chunks.chunk[c].offset;
  float *bias = reinterpret_cast<float *>(&packed + 1);
  for (int place = 0; place < packed.groups * GROUP; place++) {
    int out = out_channel(layer, place);
    bias[place] = out < 0 || layer.bias == nullptr ? 0.0f : layer.bias[out];
  }
  bfloat *next = reinterpret_cast<bfloat *>(static_cast<char *>(memory) + weights_at(packed.groups));
  for (int group = 0; group < packed.groups; group++)
    for (int dy = 0; dy < 3; dy++)
      for (int c = 0; c < chunks.count; c++)
        for (int dx = 0; dx < 3; dx++)
          for (int tile = 0; tile < tiles_of_group(layer.out_channels, group); tile++)
            for (int pair = 0; pair < CHUNK / 2; pair++)
              for (int n = 0; n < TILE; n++)
                for (int i = 0; i < 2; i++) {
                  int out = out_channel(layer, group * GROUP + tile * TILE + n);
                  *next++ = packed_weight(plan, out, chunks.chunk[c], 2 * pair + i, 3 * dy + dx);
                }
}

}  // namespace
}  // namespace realesrgan
