// A network with its weights packed for one variant, and a picture on its way down its layers.
#pragma once

#include <memory>
#include <vector>

#include "layers.h"
#include "schedule.h"
#include "threads.h"

namespace realesrgan {

// Memory that starts at a cache line and is zero at first. Throws std::bad_alloc.
class Memory {
 public:
  explicit Memory(size_t bytes = 0);
  static size_t taken_for(size_t bytes);  // what so many take
  ~Memory();
  Memory(Memory &&other) noexcept;
  Memory &operator=(Memory &&other) noexcept;
  char *data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  char *data_ = nullptr;
  size_t bytes_ = 0;
};

class Network {
 public:
  Network(const Kernels &kernels, const re_program &program);

  const Kernels &kernels;
  re_program program;  // points into the copies below, without weights
  std::vector<RingLayout> rings;
  std::vector<LayerPlan> plans;
  size_t scratch_bytes;  // that one thread needs

  size_t row_bytes(int ring, int64_t width) const;  // of a folded width
  int64_t session_bytes(int64_t height, int64_t width, int strip, int threads) const;

 private:
  std::vector<re_ring> ring_table_;
  std::vector<re_layer> layer_table_;
  std::vector<Memory> packed_;
};

class Session {
 public:
  explicit Session(const Network &network) : network_(network) {}

  int64_t held_bytes() const { return memory_.bytes(); }
  void begin(int64_t height, int64_t width, int strip, int threads);
  bool next(int64_t *read, int64_t *written);
  int advance(const re_rows &picture, const re_rows &result, double *work);

 private:
  struct Ring {
    char *rows;
    size_t row_bytes;
    int64_t capacity;
  };

  char *row(int ring, int64_t number) const;
  const char *row_or_zeros(int ring, int64_t number, int64_t height) const;
  bool compute(const Step &step, int thread, int owner, int unit);
  Job job_for(const Step &step, int64_t first) const;
  void range(int owner, int64_t width, int *left, int *right) const;
  int units_of(const Step &step) const;
  void feed(const Step &step, int owner, int unit) const;
  double work_of(const Step &step) const;

  const Network &network_;
  int64_t height_ = 0, width_ = 0;  // folded
  int strip_ = 0;
  std::unique_ptr<Schedule> schedule_;
  std::vector<Step> steps_;
  std::vector<Ring> rings_;
  std::vector<size_t> layout_;  // what `memory_` was laid out for
  Memory memory_;
  std::vector<Memory> scratch_;
  const char *zeros_ = nullptr;
  std::unique_ptr<Pool> pool_;
  int64_t pool_process_ = 0;
  uint32_t step_number_ = 0;
  re_rows picture_{}, result_{};
  int64_t result_top_ = 0;  // row of the last layer that `result_` begins with
};

}  // namespace realesrgan
