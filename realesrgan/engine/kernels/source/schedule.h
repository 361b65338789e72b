// In which order layers compute which rows, and how many rows each ring has to keep for that.
#pragma once

#include <stdint.h>

#include <vector>

#include "interface.h"

namespace realesrgan {

struct Step {
  int layer;  // or FEED
  int64_t top, bottom;
};

constexpr int FEED = -1;

// Follows a picture down the layers of a program, a strip at a time. Each layer computes what its sources suffice for.
class Schedule {
 public:
  // `height` and `strip` count folded rows. Layers compute `group` rows at a time, on grids one row apart, so that each
  // layer can follow the one before at a distance of one row. A strip is rounded up to whole groups.
  Schedule(const re_program &program, int64_t height, int strip, int group);

  // The steps of the next strip; none once all rows are done.
  std::vector<Step> next();

  int64_t done() const { return done_.back(); }  // rows of the last layer
  int64_t height_of(int layer) const { return height_ * enlarged_[layer]; }
  // The first row of the group that `row` is in; above the picture for the first of a layer that has a shift.
  int64_t group_of(int layer, int64_t row) const;
  int64_t lowest_needed(int ring) const;

  // Rows that each ring has to hold, for a picture of this height.
  static std::vector<int64_t> capacities(const re_program &program, int64_t height, int strip, int group);

 private:
  int64_t whole_groups(int layer, int64_t rows) const;
  int64_t ready(int layer) const;
  bool advance(int layer, std::vector<Step> &steps);
  int64_t written(int ring, int part) const;

  const re_program &program_;
  int64_t height_;
  int strip_, group_;
  int64_t fed_ = 0;
  std::vector<int64_t> done_;              // rows, by layer
  std::vector<int> enlarged_, shift_;      // by layer
  std::vector<std::vector<int>> writers_;  // layer or FEED, by ring and part
  std::vector<std::vector<int>> readers_;  // layers, by ring
};

}  // namespace realesrgan
