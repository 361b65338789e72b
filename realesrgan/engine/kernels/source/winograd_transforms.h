// The three linear maps of Winograd's F(4x4, 3x3), each applied to columns and then to rows: pixels to places, weights
// to places, products to results. A convolution is a product of polynomials; a place is where both are taken, of 0, 1,
// -1, 2, -2 and infinity one for the rows and one for the columns.
#pragma once

#include <stddef.h>

namespace realesrgan {
namespace {

typedef Lanes::Vector Vector;

constexpr int LANES = Lanes::COUNT;
constexpr int TILE = 4;         // results of a tile, across and down
constexpr int SIDE = TILE + 2;  // pixels that they depend on
constexpr int PLACES = SIDE * SIDE;

inline void pixels_to_places(const Vector *in, Vector *out) {
  const Vector four = Lanes::all(4.0f), minus_four = Lanes::all(-4.0f), minus_five = Lanes::all(-5.0f);
  Vector even = Lanes::multiply_add(minus_four, in[2], in[4]), odd = Lanes::multiply_add(minus_four, in[1], in[3]);
  Vector even2 = Lanes::subtract(in[4], in[2]), odd2 = Lanes::subtract(in[3], in[1]);
  out[0] = Lanes::multiply_add(four, in[0], Lanes::multiply_add(minus_five, in[2], in[4]));
  out[1] = Lanes::add(even, odd);
  out[2] = Lanes::subtract(even, odd);
  out[3] = Lanes::multiply_add(Lanes::all(2.0f), odd2, even2);
  out[4] = Lanes::multiply_add(Lanes::all(-2.0f), odd2, even2);
  out[5] = Lanes::multiply_add(four, in[1], Lanes::multiply_add(minus_five, in[3], in[5]));
}

inline void products_to_results(const Vector *in, Vector *out) {
  Vector even = Lanes::add(in[1], in[2]), odd = Lanes::subtract(in[1], in[2]);
  Vector even2 = Lanes::add(in[3], in[4]), odd2 = Lanes::subtract(in[3], in[4]);
  out[0] = Lanes::add(Lanes::add(in[0], even), even2);
  out[1] = Lanes::multiply_add(Lanes::all(2.0f), odd2, odd);
  out[2] = Lanes::multiply_add(Lanes::all(4.0f), even2, even);
  out[3] = Lanes::add(Lanes::multiply_add(Lanes::all(8.0f), odd2, odd), in[5]);
}

// The places of a tile, for one vector of channels, written `place` floats apart. `rows` point to its first column;
// pixels are `pixel` floats apart.
inline void transform_pixels(const float *const *rows, int channel, long pixel, float *values, size_t place) {
  Vector half[SIDE][SIDE];  // [column][row]
#pragma GCC unroll 6
  for (int j = 0; j < SIDE; j++) {
    Vector column[SIDE];
#pragma GCC unroll 6
    for (int i = 0; i < SIDE; i++) column[i] = Lanes::load(rows[i] + j * pixel + channel);
    pixels_to_places(column, half[j]);
  }
#pragma GCC unroll 6
  for (int i = 0; i < SIDE; i++) {
    Vector row[SIDE], out[SIDE];
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; j++) row[j] = half[j][i];
    pixels_to_places(row, out);
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; j++) Lanes::store(values + (i * SIDE + j) * place, out[j]);
  }
}

// The results [row][column] of a tile, for one vector of outputs. The place of 1 and 1 counts once in each result, so
// that is where the bias is added.
inline void transform_sums(const float *sums, size_t place, Vector bias, Vector (*results)[TILE]) {
  Vector half[SIDE][TILE];  // [column][row]
#pragma GCC unroll 6
  for (int j = 0; j < SIDE; j++) {
    Vector column[SIDE];
#pragma GCC unroll 6
    for (int i = 0; i < SIDE; i++) column[i] = Lanes::load(sums + (i * SIDE + j) * place);
    if (j == 1) column[1] = Lanes::add(column[1], bias);
    products_to_results(column, half[j]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < TILE; i++) {
    Vector row[SIDE];
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; j++) row[j] = half[j][i];
    products_to_results(row, results[i]);
  }
}

// The places of 3 x 3 weights, `place` floats apart. The factors are whole numbers, 24 times too large each way, which
// is put right last: products and sums in double are then exact, unless some weights are 2^19 times others. So it
// changes nothing if a compiler fuses them in spite of -ffp-contract=off, as GCC 12 does for AVX2.
inline void transform_weights(const float *weight, float *places, size_t place) {
  static const double MAP[SIDE][3] = {{6, 0, 0}, {-4, -4, -4}, {-4, 4, -4}, {1, 2, 4}, {1, -2, 4}, {0, 0, 24}};
  constexpr double UNIT = 1.0 / (24 * 24);
  double half[SIDE][3];
  for (int i = 0; i < SIDE; i++)
    for (int dx = 0; dx < 3; dx++)
      half[i][dx] = MAP[i][0] * weight[dx] + MAP[i][1] * weight[3 + dx] + MAP[i][2] * weight[6 + dx];
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) {
      double sum = half[i][0] * MAP[j][0] + half[i][1] * MAP[j][1] + half[i][2] * MAP[j][2];
      places[(i * SIDE + j) * place] = static_cast<float>(sum * UNIT);
    }
}

}  // namespace
}  // namespace realesrgan
