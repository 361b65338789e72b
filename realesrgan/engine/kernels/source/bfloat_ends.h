// What follows the sums: activations, residuals, rounding, and where results go. Written over `Lanes`.
#pragma once

#include "bfloat_layout.h"

namespace realesrgan {
namespace {

// Where the results of a group of outputs go, as pointers to pixel 0 and bytes from pixel to pixel.
struct Target {
  char *features = nullptr;
  long pixel = 0, term = 0;
  int repeat = 1;
  float *sums = nullptr;
  const float *residual[2] = {nullptr, nullptr};
  long sums_pixel = 0, residual_pixel[2] = {0, 0};  // floats
  float scale[2] = {0, 0};
  const float *slopes = nullptr;
};

inline Target target_of(const Job &job, int group) {
  const LayerPlan &plan = *job.plan;
  const re_layer &layer = plan.layer;
  Target target;
  if (plan.features != nullptr) {
    const RingLayout &ring = *plan.features;
    target.features = job.features[0] + ring.offset[layer.part] + group * GROUP * sizeof(bfloat);
    target.pixel = ring.pixel;
    target.term = ring.term[layer.part];
    target.repeat = ring.ring.repeat;
  }
  if (plan.sums != nullptr) {
    target.sums = job.sums[0] + group * GROUP;
    target.sums_pixel = plan.sums->pixel / static_cast<long>(sizeof(float));
  }
  for (int r = 0; r < 2; r++)
    if (plan.residuals[r] != nullptr) {
      target.residual[r] = job.residuals[r][0] + group * GROUP;
      target.residual_pixel[r] = plan.residuals[r]->pixel / static_cast<long>(sizeof(float));
      target.scale[r] = layer.scales[r];
    }
  if (plan.slopes != nullptr) target.slopes = plan.slopes + group * GROUP;
  return target;
}

// The most frequent end of a layer, by itself: an activation, and features stored once.
template <int tiles>
inline void store_activated(const Target &target, int x, int count, const float *sums) {
  char *to = target.features + x * target.pixel;
  Lanes::Vector slopes[tiles];
  for (int t = 0; t < tiles; t++) slopes[t] = Lanes::load(target.slopes + t * TILE);
  for (int i = 0; i < count; i++, to += target.pixel, sums += GROUP) {
    Lanes::Vector first = Lanes::leaky(Lanes::load(sums), slopes[0]);
    if (tiles == 2)
      Lanes::store_bfloats(to, first, Lanes::leaky(Lanes::load(sums + TILE), slopes[tiles - 1]));
    else
      Lanes::store_bfloats(to, first);
  }
}

// The end of a dense block: one residual or two, kept as sums and as features.
template <int residuals>
inline void store_summed(const Target &target, int x, int count, const float *sums) {
  char *to = target.features + x * target.pixel;
  float *kept = target.sums + x * target.sums_pixel;
  const float *other[residuals];
  Lanes::Vector scale[residuals];
  for (int r = 0; r < residuals; r++) {
    other[r] = target.residual[r] + x * target.residual_pixel[r];
    scale[r] = Lanes::all(target.scale[r]);
  }
  for (int i = 0; i < count; i++, to += target.pixel, kept += target.sums_pixel, sums += GROUP) {
    Lanes::Vector first = Lanes::load(sums), second = Lanes::load(sums + TILE);
    for (int r = 0; r < residuals; r++, other[r - 1] += target.residual_pixel[r - 1]) {
      first = Lanes::multiply_add(first, scale[r], Lanes::load(other[r]));
      second = Lanes::multiply_add(second, scale[r], Lanes::load(other[r] + TILE));
    }
    Lanes::store(kept, first), Lanes::store(kept + TILE, second);
    Lanes::store_bfloats(to, first, second);
  }
}

// Any end: activation or residuals, then features, with what rounding left, and sums.
template <int tiles>
inline void store_any(const Target &target, int x, int count, const float *sums) {
  for (int i = 0; i < count; i++, sums += GROUP)
    for (int t = 0; t < tiles; t++) {
      Lanes::Vector value = Lanes::load(sums + t * TILE);
      if (target.slopes != nullptr) value = Lanes::leaky(value, Lanes::load(target.slopes + t * TILE));
      for (int r = 0; r < 2; r++)
        if (target.residual[r] != nullptr) {
          const float *other = target.residual[r] + (x + i) * target.residual_pixel[r] + t * TILE;
          value = Lanes::multiply_add(value, Lanes::all(target.scale[r]), Lanes::load(other));
        }
      if (target.sums != nullptr) Lanes::store(target.sums + (x + i) * target.sums_pixel + t * TILE, value);
      if (target.features == nullptr) continue;
      char *to = target.features + (x + i) * target.repeat * target.pixel + t * TILE * sizeof(bfloat);
      for (int again = 0; again < target.repeat; again++, to += target.pixel) {
        Lanes::store_bfloats(to, value);
        if (target.term != 0) Lanes::store_bfloats(to + target.term, Lanes::subtract(value, Lanes::rounded(value)));
      }
    }
}

inline void store(const Target &target, int tiles, int x, int count, const float *sums) {
  bool plain = target.features != nullptr && target.term == 0 && target.repeat == 1;
  bool summed = tiles == 2 && target.slopes == nullptr && target.residual[0] != nullptr && target.sums != nullptr;
  if (plain && summed)
    target.residual[1] != nullptr ? store_summed<2>(target, x, count, sums) : store_summed<1>(target, x, count, sums);
  else if (plain && target.slopes != nullptr && target.residual[0] == nullptr && target.sums == nullptr)
    tiles == 2 ? store_activated<2>(target, x, count, sums) : store_activated<1>(target, x, count, sums);
  else
    tiles == 2 ? store_any<2>(target, x, count, sums) : store_any<1>(target, x, count, sums);
}

}  // namespace
}  // namespace realesrgan
