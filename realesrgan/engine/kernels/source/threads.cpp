#include "threads.h"

#include <chrono>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace realesrgan {

namespace {

constexpr int PAUSES_BETWEEN_LOOKS = 16;
constexpr auto AWAKE = std::chrono::microseconds(100);

void pause_briefly() {
  for (int i = 0; i < PAUSES_BETWEEN_LOOKS; i++) {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#else
    std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
  }
}

}  // namespace

void Signal::raise() {
  value_.fetch_add(1);
  if (sleepers_.load() == 0) return;
  std::lock_guard<std::mutex> lock(mutex_);  // nobody is between looking at the value and falling asleep
  changed_.notify_all();
}

void Signal::wait_past(uint32_t seen) {
  auto until = std::chrono::steady_clock::now() + AWAKE;
  do {
    for (int looks = 0; looks < 32; looks++) {
      if (value() != seen) return;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < until);
  std::unique_lock<std::mutex> lock(mutex_);
  sleepers_.fetch_add(1);
  changed_.wait(lock, [&] { return value_.load() != seen; });
  sleepers_.fetch_sub(1);
}

Pool::Pool(int count) : count_(count), claims_(new Claims[count]) {
  try {
    for (int number = 1; number < count; number++)
      threads_.emplace_back([this, number] {
        for (uint32_t seen = 0;; seen++) {
          start_.wait_past(seen);
          if (ending_) return;
          (*task_)(number);
          if (running_.fetch_sub(1) == 1) finish_.raise();
        }
      });
  } catch (...) {
    ending_ = true;
    start_.raise();
    for (std::thread &thread : threads_) thread.join();
    throw;
  }
}

Pool::~Pool() {
  ending_ = true;
  start_.raise();
  for (std::thread &thread : threads_) thread.join();
}

void Pool::run(const std::function<void(int)> &task) {
  task_ = &task;
  running_ = count_ - 1;
  uint32_t seen = finish_.value();
  start_.raise();
  task(0);
  if (count_ > 1) finish_.wait_past(seen);
}

void Pool::meet() {
  if (count_ == 1) return;
  uint32_t seen = met_.value();
  if (waiting_.fetch_add(1) == count_ - 1) {
    waiting_ = 0;
    met_.raise();
  } else {
    met_.wait_past(seen);
  }
}

bool Pool::claim(int thread, uint32_t step, int units, int *owner, int *unit) {
  for (int i = 0; i < count_; i++) {
    *owner = (thread + i) % count_;
    std::atomic<uint64_t> &next = claims_[*owner].next;
    uint64_t now = next.load(std::memory_order_relaxed);
    for (;;) {
      uint32_t taken = static_cast<uint32_t>(now >> 32) == step ? static_cast<uint32_t>(now) : 0;
      if (taken >= static_cast<uint32_t>(units)) break;
      uint64_t wanted = static_cast<uint64_t>(step) << 32 | (taken + 1);
      if (next.compare_exchange_weak(now, wanted, std::memory_order_relaxed)) {
        *unit = static_cast<int>(taken);
        return true;
      }
    }
  }
  return false;
}

}  // namespace realesrgan
