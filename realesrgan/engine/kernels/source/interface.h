/* What Python calls: a network as a table of layers, pictures as bytes. Plain C; errors are numbers. */
#pragma once

#include <stdint.h>

#ifdef _WIN32
#define RE_API __declspec(dllexport)
#else
#define RE_API __attribute__((visibility("default")))
#endif

#define RE_VERSION 2 /* changes with any struct or function below, and what they mean */
#define RE_MOST_PARTS 8
#define RE_MOST_SHUFFLE 4
#define RE_MOST_CHANNELS 4 /* of a picture: gray, RGB or RGBA */

enum re_status {
  RE_OK = 0,
  RE_OUT_OF_MEMORY = 1,
  RE_NOT_FINITE = 2, /* a value of the result is not; the picture has to be given up */
  RE_UNKNOWN_VARIANT = 3
};

enum re_depth { RE_UINT8 = 0, RE_UINT16 = 1, RE_FLOAT32 = 2, RE_FLOAT32_UNCLAMPED = 3 };

#ifdef __cplusplus
extern "C" {
#endif

/* The last rows of one or several signals with the same rows and columns, channel after channel. */
typedef struct {
  int32_t enlarged;                /* times the size of the folded picture */
  int32_t repeat;                  /* how many times each of its pixels is repeated for its readers, 1 or 2 */
  int32_t sums;                    /* fp32, to be added to; else features, to be convolved */
  int32_t precise;                 /* features that keep nearly all bits of fp32 */
  int32_t parts;                   /* how many signals */
  int32_t channels[RE_MOST_PARTS]; /* of each */
} re_ring;

/* A 3x3 convolution with zero borders, and all that follows it. Numbers of rings are -1 for none. */
typedef struct {
  int32_t source; /* ring of features */
  int32_t parts;  /* how many of its parts are read, from the first */
  int32_t out_channels;
  int32_t precise;      /* keep nearly all bits of the weights */
  const float *weight;  /* (out, in, 3, 3) */
  const float *bias;    /* (out) */
  const float *slopes;  /* (out), by which results below zero are multiplied; NULL: none are */
  int32_t residuals[2]; /* rings of sums: result = first + scales[0] * result, then the second */
  float scales[2];
  int32_t features, part; /* where the result goes as features */
  int32_t sums;           /* where it goes as sums */
  int32_t not_ahead_of;   /* a layer, or -1 */
  int32_t shuffle;        /* last layer only: result has (channels, shuffle, shuffle) channels; else 0 */
  int32_t base;           /* last layer only: ring of sums, the picture, added to each shuffled pixel */
} re_layer;

typedef struct {
  int32_t picture;      /* ring of features that takes the picture, folded */
  int32_t picture_sums; /* ring of sums that takes it, too, or -1 */
  int32_t fold;         /* side of the squares of pixels that are folded into channels */
  int32_t ring_count, layer_count;
  const re_ring *rings;
  const re_layer *layers;
} re_program;

/* Rows of a picture, pixel after pixel: gray, RGB (of a result BGR) or RGBA (BGRA); `stride` is in bytes. A picture has
   as many channels as the network takes, or one that stands for all. A result has as many as the network gives, or one,
   the luma, or three of four, without alpha. */
typedef struct {
  void *data;
  int64_t stride;
  int32_t channels;
  int32_t depth; /* re_depth; in floating point 1 is white */
} re_rows;

typedef struct re_network re_network;
typedef struct re_session re_session;

RE_API int32_t re_version(void);

/* The names of the variants this library has, from the fastest; NULL past the last. */
RE_API const char *re_variant(int32_t number);
/* Whether this processor and operating system can run it. */
RE_API int32_t re_supported(const char *variant);

/* Copies and packs all weights. */
RE_API int32_t re_create(const char *variant, const re_program *program, re_network **network);
RE_API void re_destroy(re_network *network);

/* What a session for a picture of this size (before folding) will hold, in strips of so many folded rows. */
RE_API int64_t re_session_bytes(const re_network *network, int64_t height, int64_t width, int32_t strip,
                                int32_t threads);

/* A session computes one picture after the other. It keeps its memory for the next of the same size. */
RE_API int32_t re_open(const re_network *network, re_session **session);
RE_API void re_close(re_session *session);
RE_API int64_t re_held_bytes(const re_session *session);
RE_API int32_t re_begin(re_session *session, int64_t height, int64_t width, int32_t strip, int32_t threads);
/* How many rows of the picture the next call of re_advance reads, and how many of the result it writes. Returns whether
   there is anything left to do. */
RE_API int32_t re_next(re_session *session, int64_t *read, int64_t *written);
/* Reads and computes the next strip. Multiply-adds done are added to `work`. */
RE_API int32_t re_advance(re_session *session, const re_rows *picture, const re_rows *result, double *work);

#ifdef __cplusplus
}
#endif
