#include "interface.h"

#include <string.h>

#include <new>
#include <system_error>

#include "network.h"

namespace realesrgan {

extern const Kernels AMX_KERNELS, AVX512_KERNELS, AVX2_KERNELS, PLAIN_KERNELS, IMITATED_KERNELS;

const Kernels *const *all_kernels() {
  static const Kernels *const all[] = {
#if defined(__x86_64__) || defined(_M_X64)
      &AMX_KERNELS,   &AVX512_KERNELS,   &AVX2_KERNELS,
#endif
      &PLAIN_KERNELS, &IMITATED_KERNELS, nullptr};
  return all;
}

namespace {

const Kernels *find(const char *variant) {
  for (const Kernels *const *kernels = all_kernels(); *kernels != nullptr; kernels++)
    if (strcmp((*kernels)->name, variant) == 0) return *kernels;
  return nullptr;
}

// Runs what may throw; no exception may leave through a C function.
template <class Work>
int32_t guarded(Work work) {
  try {
    return work();
  } catch (const std::bad_alloc &) {
    return RE_OUT_OF_MEMORY;
  } catch (const std::system_error &) {  // no more threads
    return RE_OUT_OF_MEMORY;
  }
}

}  // namespace
}  // namespace realesrgan

using namespace realesrgan;

struct re_network {
  Network network;
};

struct re_session {
  Session session;
};

int32_t re_version(void) { return RE_VERSION; }

const char *re_variant(int32_t number) {
  const Kernels *const *kernels = all_kernels();
  while (number-- > 0 && *kernels != nullptr) kernels++;
  return *kernels == nullptr ? nullptr : (*kernels)->name;
}

int32_t re_supported(const char *variant) {
  const Kernels *kernels = find(variant);
  return kernels != nullptr && kernels->supported();
}

int32_t re_create(const char *variant, const re_program *program, re_network **network) {
  const Kernels *kernels = find(variant);
  if (kernels == nullptr || !kernels->supported()) return RE_UNKNOWN_VARIANT;
  return guarded([&] {
    *network = new re_network{Network(*kernels, *program)};
    return RE_OK;
  });
}

void re_destroy(re_network *network) { delete network; }

int64_t re_session_bytes(const re_network *network, int64_t height, int64_t width, int32_t strip, int32_t threads) {
  int fold = network->network.program.fold;
  return network->network.session_bytes(height / fold, width / fold, strip, threads);
}

int32_t re_open(const re_network *network, re_session **session) {
  return guarded([&] {
    *session = new re_session{Session(network->network)};
    return RE_OK;
  });
}

void re_close(re_session *session) { delete session; }

int64_t re_held_bytes(const re_session *session) { return session->session.held_bytes(); }

int32_t re_begin(re_session *session, int64_t height, int64_t width, int32_t strip, int32_t threads) {
  return guarded([&] {
    session->session.begin(height, width, strip, threads);
    return RE_OK;
  });
}

int32_t re_next(re_session *session, int64_t *read, int64_t *written) { return session->session.next(read, written); }

int32_t re_advance(re_session *session, const re_rows *picture, const re_rows *result, double *work) {
  return guarded([&] { return session->session.advance(*picture, *result, work); });
}
