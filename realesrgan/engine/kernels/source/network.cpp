#include "network.h"

#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <new>

#ifdef _WIN32
#include <malloc.h>
#include <process.h>
#define getpid _getpid
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace realesrgan {

namespace {

constexpr size_t HUGE_PAGE = 2u << 20;

size_t round_up_bytes(size_t bytes, size_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

}  // namespace

size_t Memory::taken_for(size_t bytes) {
  return round_up_bytes(bytes, bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : CACHE_LINE);
}

Memory::Memory(size_t bytes) : bytes_(taken_for(bytes)) {
  if (bytes_ == 0) return;
  size_t alignment = bytes_ >= 2 * HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
#ifdef _WIN32
  data_ = static_cast<char *>(_aligned_malloc(bytes_, alignment));
  if (data_ == nullptr) throw std::bad_alloc();
#else
  void *data = nullptr;
  if (posix_memalign(&data, alignment, bytes_) != 0) throw std::bad_alloc();
  data_ = static_cast<char *>(data);
#ifdef MADV_HUGEPAGE
  if (alignment == HUGE_PAGE) madvise(data_, bytes_, MADV_HUGEPAGE);
#endif
#endif
  memset(data_, 0, bytes_);
}

Memory::~Memory() {
#ifdef _WIN32
  _aligned_free(data_);
#else
  free(data_);
#endif
}

Memory::Memory(Memory &&other) noexcept : data_(other.data_), bytes_(other.bytes_) {
  other.data_ = nullptr;
  other.bytes_ = 0;
}

Memory &Memory::operator=(Memory &&other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

namespace {

RingLayout lay_out(const re_ring &ring, const Kernels &kernels, bool is_picture) {
  RingLayout layout{};
  layout.ring = ring;
  int item = ring.sums ? static_cast<int>(sizeof(float)) : kernels.feature_bytes;
  int align = ring.sums ? CACHE_LINE / item : kernels.align;
  bool two = ring.precise && !ring.sums && kernels.keeps_terms;
  layout.together = two && is_picture && 3 * ring.channels[0] <= align;
  int at = 0;
  for (int p = 0; p < ring.parts; p++) {
    int channels = ring.channels[p], whole = round_up(channels, align);
    layout.offset[p] = at * item;
    if (two) layout.term[p] = (layout.together ? channels : whole) * item;
    at += two && !layout.together ? 2 * whole : whole;
  }
  layout.pixel = at * item;
  return layout;
}

}  // namespace

Network::Network(const Kernels &variant, const re_program &source) : kernels(variant), program(source) {
  ring_table_.assign(source.rings, source.rings + source.ring_count);
  layer_table_.assign(source.layers, source.layers + source.layer_count);
  for (int r = 0; r < program.ring_count; r++) rings.push_back(lay_out(ring_table_[r], kernels, r == program.picture));
  auto ring_at = [&](int number) { return number < 0 ? nullptr : &rings[number]; };
  scratch_bytes = 0;
  for (const re_layer &layer : layer_table_) {
    LayerPlan plan{layer,
                   ring_at(layer.source),
                   ring_at(layer.features),
                   ring_at(layer.sums),
                   {ring_at(layer.residuals[0]), ring_at(layer.residuals[1])},
                   ring_at(layer.base),
                   0,
                   nullptr,
                   nullptr};
    for (int p = 0; p < layer.parts; p++) plan.in_channels += ring_table_[layer.source].channels[p];
    packed_.emplace_back(kernels.packed_bytes(plan));
    kernels.pack(plan, packed_.back().data());
    plan.packed = packed_.back().data();
    if (layer.slopes != nullptr) {
      packed_.emplace_back(round_up(layer.out_channels, CACHE_LINE) * sizeof(float));
      memcpy(packed_.back().data(), layer.slopes, layer.out_channels * sizeof(float));
      plan.slopes = reinterpret_cast<const float *>(packed_.back().data());
    }
    scratch_bytes = std::max(scratch_bytes, kernels.scratch_bytes(plan));
    plans.push_back(plan);
  }
  // The weights belong to the caller, who may free them now.
  for (re_layer &layer : layer_table_) layer.weight = layer.bias = layer.slopes = nullptr;
  for (LayerPlan &plan : plans) plan.layer.weight = plan.layer.bias = plan.layer.slopes = nullptr;
  program.rings = ring_table_.data();
  program.layers = layer_table_.data();
}

size_t Network::row_bytes(int ring, int64_t width) const {
  const RingLayout &layout = rings[ring];
  int64_t pixels = width * layout.ring.enlarged * layout.ring.repeat + BORDER + OVERHANG;
  return round_up_bytes(pixels * layout.pixel, CACHE_LINE);
}

int64_t Network::session_bytes(int64_t height, int64_t width, int strip, int threads) const {
  std::vector<int64_t> capacities = Schedule::capacities(program, height, strip, kernels.rows);
  size_t bytes = 0, longest = 0;
  for (size_t r = 0; r < rings.size(); r++) {
    bytes += capacities[r] * row_bytes(r, width);
    longest = std::max(longest, row_bytes(r, width));
  }
  return Memory::taken_for(bytes + longest) + Memory::taken_for(scratch_bytes) * threads;
}

void Session::begin(int64_t height, int64_t width, int strip, int threads) {
  const re_program &program = network_.program;
  height_ = height / program.fold;
  width_ = width / program.fold;
  strip_ = strip;
  steps_.clear();
  schedule_ = std::make_unique<Schedule>(program, height_, strip, network_.kernels.rows);
  std::vector<int64_t> capacities = Schedule::capacities(program, height_, strip, network_.kernels.rows);
  std::vector<size_t> layout;
  size_t bytes = 0, longest = 0;
  for (int r = 0; r < program.ring_count; r++) {
    size_t row = network_.row_bytes(r, width_);
    layout.push_back(bytes);
    layout.push_back(row);
    bytes += row * capacities[r];
    longest = std::max(longest, row);
  }
  // Borders are zero and never written. They stay where they are for pictures laid out alike.
  if (layout != layout_ || bytes + longest > memory_.bytes()) {
    layout_.clear();
    memory_ = Memory();
    memory_ = Memory(bytes + longest);
    layout_ = layout;
  }
  rings_.clear();
  for (int r = 0; r < program.ring_count; r++)
    rings_.push_back(
        {memory_.data() + layout[2 * r] + BORDER * network_.rings[r].pixel, layout[2 * r + 1], capacities[r]});
  zeros_ = memory_.data() + bytes;
  if (pool_ == nullptr || pool_->count() != threads || pool_process_ != getpid()) {
    if (pool_ != nullptr && pool_process_ != getpid()) pool_.release();  // its threads stayed in the parent process
    pool_ = std::make_unique<Pool>(threads);
    pool_process_ = getpid();
    scratch_.clear();
    for (int t = 0; t < threads; t++) scratch_.emplace_back(network_.scratch_bytes);
  }
}

bool Session::next(int64_t *read, int64_t *written) {
  *read = *written = 0;
  if (steps_.empty()) {
    result_top_ = schedule_->done();
    steps_ = schedule_->next();
  }
  int last = network_.program.layer_count - 1;
  for (const Step &step : steps_) {
    if (step.layer == FEED) *read += (step.bottom - step.top) * network_.program.fold;
    if (step.layer == last) *written += (step.bottom - step.top) * network_.program.layers[last].shuffle;
  }
  return !steps_.empty();
}

char *Session::row(int ring, int64_t number) const {
  const Ring &rows = rings_[ring];
  return rows.rows + number % rows.capacity * rows.row_bytes;
}

const char *Session::row_or_zeros(int ring, int64_t number, int64_t height) const {
  if (number < 0 || number >= height) return zeros_ + BORDER * network_.rings[ring].pixel;
  return row(ring, number / network_.rings[ring].ring.repeat);
}

// The columns of one owner: ranges of equal width, so that each stays in the cache of one thread.
void Session::range(int owner, int64_t width, int *left, int *right) const {
  int columns = network_.kernels.columns;
  int64_t blocks = (width + columns - 1) / columns;
  int count = pool_->count();
  *left = static_cast<int>(std::min<int64_t>(width, blocks * owner / count * columns));
  *right = static_cast<int>(std::min<int64_t>(width, blocks * (owner + 1) / count * columns));
}

int Session::units_of(const Step &step) const {
  if (step.layer == FEED) return static_cast<int>(step.bottom - step.top);
  int group = network_.kernels.rows;
  int64_t first = schedule_->group_of(step.layer, step.top);
  return static_cast<int>((step.bottom - first + group - 1) / group);
}

double Session::work_of(const Step &step) const {
  if (step.layer == FEED) return 0;
  const LayerPlan &plan = network_.plans[step.layer];
  double pixels =
      static_cast<double>(step.bottom - step.top) * width_ * plan.source->ring.enlarged * plan.source->ring.repeat;
  return pixels * 9 * plan.in_channels * plan.layer.out_channels;
}

void Session::feed(const Step &step, int owner, int unit) const {
  int left, right;
  range(owner, width_, &left, &right);
  if (left == right) return;
  const re_program &program = network_.program;
  re_rows rows = picture_;
  rows.data = static_cast<char *>(rows.data) + unit * program.fold * rows.stride;
  int64_t number = step.top + unit;
  bool sums = program.picture_sums >= 0;
  network_.kernels.feed(rows, program.fold, static_cast<int>(width_), network_.rings[program.picture],
                        row(program.picture, number), sums ? &network_.rings[program.picture_sums] : nullptr,
                        sums ? reinterpret_cast<float *>(row(program.picture_sums, number)) : nullptr, left, right);
}

Job Session::job_for(const Step &step, int64_t first) const {
  const LayerPlan &plan = network_.plans[step.layer];
  const re_layer &layer = plan.layer;
  int64_t height = schedule_->height_of(step.layer);
  Job job{};
  job.plan = &plan;
  int64_t from = std::max(first, step.top), to = std::min(first + network_.kernels.rows, step.bottom);
  job.first = static_cast<int>(from - first);
  job.rows = static_cast<int>(to - from);
  for (int i = 0; i < network_.kernels.rows + 2; i++) job.source[i] = row_or_zeros(layer.source, first - 1 + i, height);
  auto sums = [&](int ring, int64_t number) {
    return ring < 0 ? nullptr : reinterpret_cast<float *>(row(ring, number));
  };
  for (int64_t y = from; y < to; y++) {
    int i = static_cast<int>(y - first);
    for (int r = 0; r < 2; r++) job.residuals[r][i] = sums(layer.residuals[r], y);
    job.base[i] = sums(layer.base, y);
    job.sums[i] = sums(layer.sums, y);
    if (layer.features >= 0) job.features[i] = row(layer.features, y);
    if (layer.shuffle > 0)
      job.result[i] = static_cast<char *>(result_.data) + (y - result_top_) * layer.shuffle * result_.stride;
  }
  job.format = result_;
  return job;
}

bool Session::compute(const Step &step, int thread, int owner, int unit) {
  int group = network_.kernels.rows;
  int64_t first = schedule_->group_of(step.layer, step.top) + static_cast<int64_t>(unit) * group;
  Job job = job_for(step, first);
  const re_ring &source = job.plan->source->ring;
  range(owner, width_ * source.enlarged * source.repeat, &job.left, &job.right);
  job.scratch = scratch_[thread].data();
  return job.left == job.right || network_.kernels.compute(job);
}

int Session::advance(const re_rows &picture, const re_rows &result, double *work) {
  int64_t read, written;
  next(&read, &written);
  picture_ = picture;
  result_ = result;
  std::atomic<bool> finite{true};
  uint32_t number = step_number_;
  pool_->run([&](int thread) {
    network_.kernels.begin_thread();
    uint32_t now = number;
    for (const Step &step : steps_) {
      now++;
      int owner, unit, units = units_of(step);
      while (pool_->claim(thread, now, units, &owner, &unit)) {
        if (step.layer == FEED)
          feed(step, owner, unit);
        else if (!compute(step, thread, owner, unit))
          finite.store(false, std::memory_order_relaxed);
      }
      pool_->meet();
    }
    network_.kernels.end_thread();
  });
  step_number_ += static_cast<uint32_t>(steps_.size());
  for (const Step &step : steps_) *work += work_of(step);
  steps_.clear();
  return finite ? RE_OK : RE_NOT_FINITE;
}

}  // namespace realesrgan
