// spectral_basis, spectral_fit and spectral_jump.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <cmath>
#include <memory>
#include <vector>

#include "core/analytic/fitted_table.h"
#include "core/analytic/precondition.h"
#include "core/analytic/spectral_basis.h"
#include "core/analytic/spectral_fit.h"
#include "core/analytic/spectral_jump.h"
#include "core/base/clock.h"
#include "core/math/counter_random.h"
#include "tests/support/status_matchers.h"

namespace retort::analytic {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

const std::vector<int64_t> kShape = {3, 4, 6};

SpectralBasis SomeBasis() {
  torch::manual_seed(5);
  const at::Tensor q =
      std::get<0>(at::linalg_qr(at::randn({3, 3}, at::kDouble)));
  return SpectralBasis(q, kShape);
}

// Variances of the basis' coefficients, falling with frequency.
at::Tensor SomeVariances() {
  const at::Tensor f = at::arange(72, at::kDouble).view({3, 4, 6});
  return at::exp(-f / 12);
}

// Data that is Gaussian with independent coefficients in the basis: there
// every frequency has its own exact jump, x_s = x_t sqrt((v+s^2)/(v+t^2)).
TeacherSource SpectralGaussian(const SpectralBasis& basis) {
  TeacherSource source;
  const at::Tensor v = SomeVariances();
  source.shape = kShape;
  source.teacher_hash = source.data_hash = "gaussian";
  source.clean =
      [=](uint64_t seed,
          absl::Span<const int64_t> positions) -> absl::StatusOr<CleanBatch> {
    const auto stream =
        math::MakeStream(seed, math::RandomStream::kDataOrder, 0);
    const at::Tensor z =
        math::NormalPerSample(stream, positions, kShape).to(at::kDouble);
    return CleanBatch{basis.Inverse(z * v.sqrt()), {}};
  };
  source.denoise = [=](const at::Tensor& x, const at::Tensor& t,
                       const at::Tensor&) {
    const at::Tensor t2 = t.view({-1, 1, 1, 1}).square();
    return basis.Inverse(basis.Forward(x) * v / (v + t2));
  };
  return source;
}

PreconditionOptions SpectralJob(const SpectralOptions& spectral) {
  PreconditionOptions options;
  options.estimate.knots = 8;
  options.estimate.samples = 64;
  options.trajectory.grid = 6;
  options.trajectory.trajectories = 96;
  options.trajectory.sub_steps = 16;
  options.fit_spectral = true;
  options.spectral = spectral;
  return options;
}

PreconditioningArtefact RunSpectral(const SpectralOptions& spectral) {
  return EstimatePreconditioning(SpectralGaussian(SomeBasis()),
                                 SpectralJob(spectral), base::RealClock())
      .value();
}

TEST(SpectralBasisTest, IsOrthonormalAndStartsWithTheMean) {
  const SpectralBasis basis(at::eye(3, at::kDouble), kShape);
  const at::Tensor x = at::randn({5, 3, 4, 6}, at::kDouble);
  const at::Tensor y = basis.Forward(x);
  EXPECT_TRUE(at::allclose(basis.Inverse(y), x, 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(y.square().sum(), x.square().sum()));
  EXPECT_TRUE(at::allclose(y.select(3, 0).select(2, 0),
                           x.mean({2, 3}) * std::sqrt(24.0)));
}

TEST(SpectralBasisTest, IsTheCosineTransform) {
  const SpectralBasis basis(at::ones({1, 1}, at::kDouble), {5});
  const at::Tensor impulse = at::zeros({1, 5}, at::kDouble);
  impulse[0][1] = 1;
  const at::Tensor y = basis.Forward(impulse).flatten();
  for (int f = 1; f < 5; ++f) {
    EXPECT_NEAR(y[f].item<double>(),
                std::sqrt(0.4) * std::cos(M_PI * f * 3 / 10), 1e-12);
  }
}

TEST(SpectralBasisTest, DecorrelatesChannels) {
  torch::manual_seed(1);
  const at::Tensor z = at::randn({50, 3, 8, 8}, at::kDouble);
  const at::Tensor mixed =
      at::stack({z.select(1, 0), z.select(1, 0) * 0.9 + z.select(1, 1) * 0.3,
                 z.select(1, 0) * 0.5 - z.select(1, 2)},
                1);
  const at::Tensor q = DecorrelatingMix(mixed);
  EXPECT_TRUE(at::allclose(at::mm(q, q.t()), at::eye(3, at::kDouble)));
  const at::Tensor flat = at::matmul(q, mixed.flatten(2)).transpose(0, 1);
  const at::Tensor covariance = at::cov(flat.reshape({3, -1}));
  const at::Tensor off = covariance - at::diag(covariance.diagonal());
  EXPECT_LT(off.abs().max().item<double>(), 1e-10);
  EXPECT_GT(covariance[0][0].item<double>(), covariance[2][2].item<double>());
}

TEST(SpectralFitTest, IsExactWhereEveryFrequencyIsGaussian) {
  // Nothing held back: each frequency's own jump, up to Heun's error.
  const PreconditioningArtefact artefact = RunSpectral({0, -1e9, 1e9});
  const SpectralFit& fit = *artefact.spectral;
  RETORT_ASSERT_OK_AND_ASSIGN(const auto jump, SpectralJump::Create(fit));
  const at::Tensor v = SomeVariances();
  for (int64_t j = 1; j < fit.n(); ++j) {
    const double t = fit.times[0], s = fit.times[j];
    // The fit finds the mix that the data mixes channels with.
    const SpectralBasis basis = SomeBasis();
    const at::Tensor x = basis.Inverse(at::randn({4, 3, 4, 6}, at::kDouble) *
                                       (v + t * t).sqrt());
    const at::Tensor d = basis.Inverse(basis.Forward(x) * v / (v + t * t));
    EXPECT_LT(fit.state_gap[0][j].item<double>(), 0.03);
    const at::Tensor f = jump->Apply(x, d, at::full({4}, t, at::kDouble),
                                     at::full({4}, s, at::kDouble));
    EXPECT_TRUE(at::isfinite(f).all().item<bool>());
  }
}

// The teacher's states, as the fit sees them.
std::vector<at::Tensor> StatesOf(const TeacherSource& source,
                                 const PreconditionOptions& options) {
  std::vector<at::Tensor> batches;
  const auto moments = CollectTrajectoryMoments(
      source, options.schedule, options.trajectory, nullptr, nullptr,
      [&](const at::Tensor& states) { batches.push_back(states.clone()); });
  EXPECT_THAT(moments, IsOk());
  return batches;
}

TEST(SpectralFitTest, ItsGapsAreThoseOfItsJumpOnTheTrajectories) {
  const TeacherSource source = SpectralGaussian(SomeBasis());
  const PreconditionOptions options = SpectralJob(SpectralOptions());
  const PreconditioningArtefact artefact = RunSpectral(SpectralOptions());
  const SpectralFit& fit = *artefact.spectral;
  RETORT_ASSERT_OK_AND_ASSIGN(const auto jump, SpectralJump::Create(fit));
  const int64_t n = fit.n();
  for (const auto& [i, j] : {std::pair<int64_t, int64_t>{0, n - 1}, {1, 3}}) {
    double square = 0, count = 0;
    for (const at::Tensor& states : StatesOf(source, options)) {
      const at::Tensor all = states.view({2 * n, -1, 3, 4, 6});
      const at::Tensor one = at::ones({all.size(1)}, at::kDouble);
      const at::Tensor f = jump->Apply(all[i], all[n + i], one * fit.times[i],
                                       one * fit.times[j]);
      square += (f - all[j]).square().sum().item<double>();
      count += static_cast<double>(f.numel());
    }
    const double gap = fit.state_gap[i][j].item<double>();
    EXPECT_NEAR(gap, std::sqrt(square / count), 1e-6 * gap + 1e-12);
  }
}

TEST(SpectralFitTest, IsBoundedAndStillBetterThanTheScalarFit) {
  const PreconditioningArtefact artefact = RunSpectral(SpectralOptions());
  const SpectralFit& fit = *artefact.spectral;
  EXPECT_GE(fit.v.min().item<double>(), 0.5);
  EXPECT_LE(fit.v.max().item<double>(), 2.0);
  const auto scalar = FittedTable::Fit(*artefact.moments).value();
  int compared = 0;
  for (int64_t i = 0; i < fit.n(); ++i) {
    for (int64_t j = i + 1; j < fit.n(); ++j) {
      const JumpCoefficients ab = scalar->Pair(FitTarget::kState, i, j);
      const double v = ab.b / (1 - fit.times[j] / fit.times[i]);
      if (v < 0.5 || v > 2) continue;  // the scalar fit is not bounded
      ++compared;
      EXPECT_LT(fit.state_gap[i][j].item<double>(),
                artefact.moments->StateGap(i, j, ab.a, ab.b));
    }
  }
  EXPECT_GE(compared, 3);
}

TEST(SpectralFitTest, IsNeverWorseThanTheScalarFitWhereNothingIsHeldBack) {
  const PreconditioningArtefact artefact = RunSpectral({0, -1e9, 1e9});
  const SpectralFit& fit = *artefact.spectral;
  const auto scalar = FittedTable::Fit(*artefact.moments).value();
  for (int64_t i = 0; i < fit.n(); ++i) {
    for (int64_t j = i + 1; j < fit.n(); ++j) {
      const JumpCoefficients ab = scalar->Pair(FitTarget::kState, i, j);
      // Collinear at every frequency: rounding decides on the shortest jumps.
      EXPECT_LT(fit.state_gap[i][j].item<double>(),
                artefact.moments->StateGap(i, j, ab.a, ab.b) + 1e-5);
    }
  }
}

TEST(SpectralFitTest, AHighRidgeGivesTheScalarFitsGain) {
  const PreconditioningArtefact artefact = RunSpectral({1e12, 0.5, 2});
  const auto scalar = FittedTable::Fit(*artefact.moments).value();
  const SpectralFit& fit = *artefact.spectral;
  const double w = 1 - fit.times[3] / fit.times[0];
  const double v =
      std::clamp(scalar->Pair(FitTarget::kState, 0, 3).b / w, 0.5, 2.0);
  EXPECT_TRUE(at::allclose(fit.v[2], at::full_like(fit.v[2], v), 1e-6));
}

TEST(SpectralJumpTest, IsTheIdentityAtEqualTimesForAnyNetwork) {
  const auto artefact = RunSpectral(SpectralOptions());
  RETORT_ASSERT_OK_AND_ASSIGN(const auto jump,
                              SpectralJump::Create(*artefact.spectral));
  const at::Tensor t = at::tensor({80.0, 3.3, 0.002, 1e-4}, at::kDouble);
  const at::Tensor x = at::randn({4, 3, 4, 6}), d = at::randn({4, 3, 4, 6});
  EXPECT_TRUE(at::equal(jump->Apply(x, d, t, t), x));
  at::Tensor a, b;
  jump->Coefficients(t, t, &a, &b);
  EXPECT_TRUE((a == 1).all().item<bool>());
  EXPECT_TRUE((b == 0).all().item<bool>());
}

TEST(SpectralJumpTest, IsContinuousBetweenGridTimes) {
  const auto artefact = RunSpectral(SpectralOptions());
  RETORT_ASSERT_OK_AND_ASSIGN(const auto jump,
                              SpectralJump::Create(*artefact.spectral));
  const at::Tensor x = at::randn({1, 3, 4, 6}, at::kDouble);
  const at::Tensor d = at::randn({1, 3, 4, 6}, at::kDouble);
  const auto at = [&](double t, double s) {
    return jump->Apply(x, d, at::full({1}, t, at::kDouble),
                       at::full({1}, s, at::kDouble));
  };
  const double t1 = artefact.spectral->times[1];
  const double s3 = artefact.spectral->times[3];
  for (double e : {-1e-9, 1e-9}) {
    const at::Tensor near = at(t1 * (1 + e), s3 * (1 - e));
    EXPECT_TRUE(at::allclose(near, at(t1, s3), 1e-7, 1e-7));
    EXPECT_TRUE(at::allclose(at(t1, t1 * (1 - 1e-9)), x, 1e-7, 1e-7));
  }
}

TEST(SpectralJumpTest, PassesGradientsToStateAndNetwork) {
  const auto artefact = RunSpectral(SpectralOptions());
  RETORT_ASSERT_OK_AND_ASSIGN(const auto jump,
                              SpectralJump::Create(*artefact.spectral));
  const at::Tensor t = at::full({2}, 40.0, at::kDouble);
  const at::Tensor s = at::full({2}, 0.5, at::kDouble);
  const at::Tensor x =
      at::randn({2, 3, 4, 6}, at::kDouble).requires_grad_(true);
  const at::Tensor d =
      at::randn({2, 3, 4, 6}, at::kDouble).requires_grad_(true);
  const at::Tensor f = jump->Apply(x, d, t, s);
  const auto grads = torch::autograd::grad({f.square().sum()}, {x, d});
  // a and b are symmetric: the gradient is 2 a f and 2 b f.
  const at::Tensor zero = at::zeros_like(f);
  EXPECT_TRUE(at::allclose(grads[0], jump->Apply(2 * f.detach(), zero, t, s),
                           1e-9, 1e-9));
  EXPECT_TRUE(at::allclose(grads[1], jump->Apply(zero, 2 * f.detach(), t, s),
                           1e-9, 1e-9));
}

TEST(SpectralJumpTest, RefusesOtherShapesAndTimes) {
  const auto artefact = RunSpectral(SpectralOptions());
  RETORT_ASSERT_OK_AND_ASSIGN(const auto jump,
                              SpectralJump::Create(*artefact.spectral));
  const at::Tensor t = at::full({1}, 80.0, at::kDouble);
  const at::Tensor small = at::zeros({1, 3, 4, 4});
  EXPECT_THROW(jump->Apply(small, small, t, t), c10::Error);
  const at::Tensor x = at::zeros({1, 3, 4, 6});
  EXPECT_THROW(jump->Apply(x, x, 2 * t, t), c10::Error);
  EXPECT_THAT(SpectralJump::Create(*artefact.spectral, {1, 4, 6}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("3x4x6, not 1x4x6")));
}

TEST(SpectralFitTest, NoticesPartsThatDoNotFitTogether) {
  const SpectralFit good = *RunSpectral(SpectralOptions()).spectral;
  EXPECT_THAT(good.Validate(), IsOk());
  SpectralFit bad = good;
  bad.mixing = good.mixing * 2;
  EXPECT_THAT(bad.Validate().message(), HasSubstr("orthonormal"));
  bad = good;
  bad.v = good.v.slice(0, 1);
  EXPECT_THAT(bad.Validate().message(), HasSubstr("'v'"));
  bad = good;
  bad.u = good.u * NAN;
  EXPECT_THAT(bad.Validate().message(), HasSubstr("not finite"));
  bad = good;
  std::swap(bad.times[0], bad.times[1]);
  EXPECT_THAT(bad.Validate().message(), HasSubstr("decreasing"));
}

TEST(PreconditionTest, RefusesASpectralFitThatWouldNotFitMemory) {
  PreconditionOptions options = SpectralJob(SpectralOptions());
  options.trajectory.grid = 200;
  EXPECT_THAT(options.Validate(3 * 64 * 64),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("smaller grid_size")));
}

}  // namespace
}  // namespace retort::analytic
