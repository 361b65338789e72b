#include "schedule.h"

#include <algorithm>

namespace realesrgan {

Schedule::Schedule(const re_program &program, int64_t height, int strip, int group)
    : program_(program),
      height_(height),
      strip_((strip + group - 1) / group * group),
      group_(group),
      done_(program.layer_count, 0) {
  writers_.resize(program.ring_count);
  for (int r = 0; r < program.ring_count; r++) writers_[r].assign(RE_MOST_PARTS, FEED);
  readers_.resize(program.ring_count);
  std::vector<int> lag(program.layer_count, 0);  // how many rows a layer is behind the picture, in its own rows
  for (int l = 0; l < program.layer_count; l++) {
    const re_layer &layer = program.layers[l];
    if (layer.features >= 0) writers_[layer.features][layer.part] = l;
    if (layer.sums >= 0) writers_[layer.sums][0] = l;
    for (int ring : {layer.source, layer.residuals[0], layer.residuals[1], layer.base})
      if (ring >= 0) readers_[ring].push_back(l);
    const re_ring &source = program.rings[layer.source];
    int before = 0;
    for (int p = 0; p < layer.parts; p++) {
      int writer = writers_[layer.source][p];
      if (writer != FEED) before = std::max(before, lag[writer]);
    }
    lag[l] = before * source.repeat + 1;
    enlarged_.push_back(source.enlarged * source.repeat);
    shift_.push_back(lag[l] % group);
  }
}

int64_t Schedule::written(int ring, int part) const {
  int writer = writers_[ring][part];
  return writer == FEED ? fed_ : done_[writer];
}

// How many rows of a layer its sources suffice for.
int64_t Schedule::ready(int l) const {
  const re_layer &layer = program_.layers[l];
  const re_ring &source = program_.rings[layer.source];
  int64_t rows = height_of(l);
  for (int p = 0; p < layer.parts; p++) {
    int64_t done = written(layer.source, p);
    if (done < height_ * source.enlarged) rows = std::min(rows, done * source.repeat - 1);
  }
  for (int ring : {layer.residuals[0], layer.residuals[1], layer.base})
    if (ring >= 0) rows = std::min(rows, written(ring, 0));
  if (layer.not_ahead_of >= 0) rows = std::min(rows, done_[layer.not_ahead_of]);
  return rows == height_of(l) ? rows : whole_groups(l, rows);
}

int64_t Schedule::group_of(int layer, int64_t row) const {
  return (row + shift_[layer]) / group_ * group_ - shift_[layer];
}

// So many rows without those of a group that is not complete.
int64_t Schedule::whole_groups(int layer, int64_t rows) const {
  return rows <= 0 ? 0 : std::max<int64_t>(0, group_of(layer, rows));
}

bool Schedule::advance(int l, std::vector<Step> &steps) {
  int64_t top = done_[l];
  int64_t bottom = std::min(ready(l), whole_groups(l, top + strip_ + group_ - 1));
  if (bottom <= top) return false;
  steps.push_back({l, top, bottom});
  done_[l] = bottom;
  return true;
}

std::vector<Step> Schedule::next() {
  std::vector<Step> steps;
  while (steps.empty() && done() < height_of(program_.layer_count - 1)) {
    if (fed_ < height_) {
      int64_t bottom = std::min(height_, fed_ + strip_);
      steps.push_back({FEED, fed_, bottom});
      fed_ = bottom;
    }
    for (int l = 0; l < program_.layer_count; l++)
      if (enlarged_[l] == 1) advance(l, steps);
    for (bool moved = true; moved;) {
      moved = false;
      for (int l = 0; l < program_.layer_count; l++)
        if (enlarged_[l] > 1 && advance(l, steps)) moved = true;
    }
  }
  return steps;
}

// The first row of a ring that a layer still has to read.
int64_t Schedule::lowest_needed(int ring) const {
  int64_t lowest = INT64_MAX;
  for (int l : readers_[ring]) {
    const re_layer &layer = program_.layers[l];
    if (done_[l] == height_of(l)) continue;
    if (layer.source == ring) {
      int64_t above = std::max<int64_t>(0, done_[l] - 1);
      lowest = std::min(lowest, above / program_.rings[ring].repeat);
    }
    if (layer.residuals[0] == ring || layer.residuals[1] == ring || layer.base == ring)
      lowest = std::min(lowest, done_[l]);
  }
  return lowest;
}

std::vector<int64_t> Schedule::capacities(const re_program &program, int64_t height, int strip, int group) {
  // The same steps as the real ones, so what they need is known exactly.
  std::vector<int64_t> most(program.ring_count, 1);
  Schedule schedule(program, height, strip, group);
  Schedule before(program, height, strip, group);  // one step behind: rows that a step reads must outlive it
  auto note = [&](int ring, int64_t bottom) {
    if (ring >= 0) most[ring] = std::max(most[ring], bottom - std::min(bottom, before.lowest_needed(ring)));
  };
  for (std::vector<Step> steps = schedule.next(); !steps.empty(); steps = schedule.next())
    for (const Step &step : steps) {
      if (step.layer == FEED) {
        note(program.picture, step.bottom);
        note(program.picture_sums, step.bottom);
        before.fed_ = step.bottom;
        continue;
      }
      const re_layer &layer = program.layers[step.layer];
      note(layer.features, step.bottom);
      note(layer.sums, step.bottom);
      before.done_[step.layer] = step.bottom;
    }
  return most;
}

}  // namespace realesrgan
