#include "core/math/counter_random.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace retort::math {
namespace {

// A sample index that no sample has, for draws that belong to a whole step.
constexpr uint64_t kNoSample = ~uint64_t{0};

// Blocks of four numbers below which starting threads costs more than it saves.
constexpr int64_t kGrain = 16384;

// The finaliser of SplitMix64: a bijection that mixes all bits.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Philox has 64 bits of key; a stream is named by 160. For one seed and stream
// all steps have different keys.
std::array<uint32_t, 2> KeyOf(const Stream& stream) {
  uint64_t h = Mix(stream.seed + 0x9e3779b97f4a7c15u);
  h = Mix(h + 0xd1342543de82ef95u * (uint64_t{stream.stream} + 1));
  h = Mix(h ^ stream.step);
  return {static_cast<uint32_t>(h), static_cast<uint32_t>(h >> 32)};
}

std::array<uint32_t, 4> Block(const std::array<uint32_t, 2>& key,
                              uint64_t sample, uint64_t block) {
  return Philox4x32(
      {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
       static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32)},
      key);
}

// 53 bits from two words, in [0, 1).
double ToUniform(uint32_t high, uint32_t low) {
  const uint64_t bits = (uint64_t{high} << 32 | low) >> 11;
  return static_cast<double>(bits) * 0x1.0p-53;
}

// Box and Muller's transform. The first word is moved off zero, where the
// logarithm has none.
void ToNormals(uint32_t a, uint32_t b, float* out, int64_t room) {
  const double radius =
      std::sqrt(-2 * std::log((static_cast<double>(a) + 0.5) * 0x1.0p-32));
  const double angle = 2 * M_PI * (static_cast<double>(b) * 0x1.0p-32);
  if (room > 0) out[0] = static_cast<float>(radius * std::cos(angle));
  if (room > 1) out[1] = static_cast<float>(radius * std::sin(angle));
}

// Calls f(row, block) for all blocks of all rows, on several threads if there
// is much to do.
template <typename F>
void ForEachBlock(int64_t rows, int64_t blocks, const F& f) {
  at::parallel_for(0, rows * blocks, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i / blocks, i % blocks);
  });
}

}  // namespace

Stream MakeStream(uint64_t seed, RandomStream stream, uint64_t step) {
  return {seed, static_cast<uint32_t>(stream), step};
}

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> c,
                                   std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0],
         static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1],
         static_cast<uint32_t>(p0)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

uint64_t Hash64(const Stream& stream, uint64_t index) {
  const auto r = Block(KeyOf(stream), kNoSample, index);
  return uint64_t{r[1]} << 32 | r[0];
}

at::Tensor NormalPerSample(const Stream& stream,
                           absl::Span<const int64_t> sample_indices,
                           at::IntArrayRef sample_shape) {
  const int64_t n = static_cast<int64_t>(sample_indices.size());
  std::vector<int64_t> shape = {n};
  shape.insert(shape.end(), sample_shape.begin(), sample_shape.end());
  at::Tensor result = at::empty(shape, at::kFloat);
  const int64_t size = n == 0 ? 0 : result.numel() / n;
  if (size == 0) return result;
  const auto key = KeyOf(stream);
  float* out = result.data_ptr<float>();
  ForEachBlock(n, (size + 3) / 4, [&](int64_t row, int64_t block) {
    const auto r = Block(key, static_cast<uint64_t>(sample_indices[row]),
                         static_cast<uint64_t>(block));
    const int64_t at = 4 * block;
    float* p = out + row * size + at;
    ToNormals(r[0], r[1], p, size - at);
    ToNormals(r[2], r[3], p + 2, size - at - 2);
  });
  return result;
}

at::Tensor UniformPerSample(const Stream& stream,
                            absl::Span<const int64_t> sample_indices,
                            int64_t k) {
  const int64_t n = static_cast<int64_t>(sample_indices.size());
  at::Tensor result = at::empty({n, k}, at::kDouble);
  if (result.numel() == 0) return result;
  const auto key = KeyOf(stream);
  double* out = result.data_ptr<double>();
  ForEachBlock(n, (k + 1) / 2, [&](int64_t row, int64_t block) {
    const auto r = Block(key, static_cast<uint64_t>(sample_indices[row]),
                         static_cast<uint64_t>(block));
    double* p = out + row * k + 2 * block;
    p[0] = ToUniform(r[0], r[1]);
    if (2 * block + 1 < k) p[1] = ToUniform(r[2], r[3]);
  });
  return result;
}

double UniformScalar(const Stream& stream, uint64_t k) {
  const auto r = Block(KeyOf(stream), kNoSample, k);
  return ToUniform(r[0], r[1]);
}

}  // namespace retort::math
