// Threads that work on one task together, and wait for each other without keeping a busy machine's processors awake.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace realesrgan {

// Waits awake for about a tenth of a millisecond, then asleep.
class Signal {
 public:
  uint32_t value() const { return value_.load(std::memory_order_acquire); }
  void raise();
  void wait_past(uint32_t seen);  // until the value is another

 private:
  std::atomic<uint32_t> value_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
};

// The caller and count - 1 threads of its own.
class Pool {
 public:
  // Throws std::system_error where the system has no more threads.
  explicit Pool(int count);
  ~Pool();
  Pool(const Pool &) = delete;

  int count() const { return count_; }
  // Calls task(number) once in each thread, and returns when all have.
  void run(const std::function<void(int)> &task);
  // Only within a task, by all threads: waits until all have come here.
  void meet();

  // Shares out the units of a step that begins after a meeting. Each thread has `units` of its own; whoever is done
  // with its own takes over others', so that a thread that lost its processor holds nobody up for long.
  // Returns false when none are left; else the owner and the number of a unit.
  bool claim(int thread, uint32_t step, int units, int *owner, int *unit);

 private:
  struct alignas(64) Claims {
    std::atomic<uint64_t> next{0};  // the step in the upper half, the next unit in the lower
  };

  int count_;
  std::vector<std::thread> threads_;
  std::unique_ptr<Claims[]> claims_;
  const std::function<void(int)> *task_ = nullptr;
  bool ending_ = false;
  Signal start_, finish_, met_;
  std::atomic<int> running_{0}, waiting_{0};
};

}  // namespace realesrgan
