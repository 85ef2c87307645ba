// The operators of elements.h as functions of tensors, for Python. Built with IPL_CUDA they also take CUDA tensors.
#include "elements.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/utils/pybind.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>

#ifdef IPL_CUDA
#include "card.h"

#include <c10/cuda/CUDAGuard.h>
#endif

namespace ipl {
namespace {

using at::Tensor;

template <typename Operator, typename I>
void run(const Operator& one, I count, const Tensor& out) {
  if (count == 0) return;
#ifdef IPL_CUDA
  if (out.is_cuda()) return run_on_card(one, count, c10::cuda::getCurrentCUDAStream(out.get_device()).stream());
#endif
  at::parallel_for(0, count, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) one(static_cast<I>(i));
  });
}

void check(const Tensor& x, const char* name) {
#ifdef IPL_CUDA
  TORCH_CHECK(x.is_cuda() || x.is_cpu(), name, " must be on the CPU or a CUDA GPU, not on ", x.device());
#else
  TORCH_CHECK(x.is_cpu(), name, " must be on the CPU, not on ", x.device());
#endif
}

void check_like(const Tensor& x, const Tensor& other, const char* name) {
  TORCH_CHECK(
      other.device() == x.device() && other.scalar_type() == x.scalar_type(), name, " must be on ", x.device(),
      " with numbers of type ", x.scalar_type(), ", not on ", other.device(), " with ", other.scalar_type());
}

// Memory order of (B, C, H, W); anything else counts as contiguous.
at::MemoryFormat order_of(const Tensor& x) {
  return x.dim() == 4 ? x.suggest_memory_format() : at::MemoryFormat::Contiguous;
}

// Operands are counted in 32 bits where they fit, since 64-bit division is slow on a GPU. Positions beyond an edge, by
// no more than the filter's length, must fit too.
template <typename Function>
void with_index(int64_t largest, const Function& function) {
  if (largest < std::numeric_limits<int32_t>::max() - 1024) {
    function(int32_t{});
  } else {
    function(int64_t{});
  }
}

#ifdef IPL_CUDA
using Guard = c10::cuda::OptionalCUDAGuard;
#else
struct Guard {};
#endif

Guard on_device_of(const Tensor& x) {
#ifdef IPL_CUDA
  if (x.is_cuda()) return Guard(x.device());
#endif
  return Guard();
}

template <typename T, typename I, int UP, int DOWN>
void run_filter(
    const Tensor& x, const Tensor& out, const std::array<double, kTaps>& taps, int64_t before, bool channels_last) {
  Filter<T, I, UP, DOWN> one{};
  one.x = x.const_data_ptr<T>();
  one.out = out.data_ptr<T>();
  one.channels = static_cast<I>(x.size(1));
  one.height = static_cast<I>(x.size(2));
  one.width = static_cast<I>(x.size(3));
  one.out_height = static_cast<I>(out.size(2));
  one.out_width = static_cast<I>(out.size(3));
  one.before = static_cast<I>(before);
  for (int k = 0; k < kTaps; ++k) one.taps[k] = static_cast<Compute<T>>(taps[k]);
  one.channels_last = channels_last;
  run(one, static_cast<I>(out.numel()), out);
}

Tensor filter(
    const Tensor& given, const std::array<double, kTaps>& taps, int64_t up, int64_t down, int64_t before,
    int64_t height, int64_t width) {
  check(given, "x");
  TORCH_CHECK(given.dim() == 4, "x must be (B, C, H, W), got ", given.sizes());
  TORCH_CHECK(height > 0 && width > 0, "the result would have the size ", height, " by ", width);
  const bool known = (up == 1 || up == 2) && (down == 1 || down == 2) && up * down < 4;
  TORCH_CHECK(known, "up and down must be 1 and 1, 2 and 1, or 1 and 2, got ", up, " and ", down);
  const Guard guard = on_device_of(given);
  const auto order = order_of(given);
  const Tensor x = given.contiguous(order);
  const Tensor out = at::empty({x.size(0), x.size(1), height, width}, x.options(), order);
  const bool last = order == at::MemoryFormat::ChannelsLast;
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "filter", [&] {
    with_index(std::max(x.numel(), out.numel()), [&](auto index) {
      using I = decltype(index);
      if (up == 2) {
        run_filter<scalar_t, I, 2, 1>(x, out, taps, before, last);
      } else if (down == 2) {
        run_filter<scalar_t, I, 1, 2>(x, out, taps, before, last);
      } else {
        run_filter<scalar_t, I, 1, 1>(x, out, taps, before, last);
      }
    });
  });
  return out;
}

Tensor activation(
    const Tensor& given, const std::optional<Tensor>& given_scale, const std::optional<Tensor>& given_bias,
    const std::optional<Tensor>& given_noise, double slope, double gain, double clamp) {
  check(given, "x");
  TORCH_CHECK(given.dim() >= 2, "x must be (B, C) or (B, C, H, W), got ", given.sizes());
  const Guard guard = on_device_of(given);
  const auto order = order_of(given);
  const Tensor x = given.contiguous(order);
  const int64_t samples = x.size(0), channels = x.size(1);
  const int64_t pixels = x.numel() == 0 ? 0 : x.numel() / (samples * channels);
  Tensor scale, bias, noise;
  if (given_scale) {
    check_like(x, *given_scale, "scale");
    TORCH_CHECK(given_scale->sizes() == at::IntArrayRef({samples, channels}), "scale must be (B, C) of x ", x.sizes());
    scale = given_scale->contiguous();
  }
  if (given_bias) {
    check_like(x, *given_bias, "bias");
    TORCH_CHECK(given_bias->sizes() == at::IntArrayRef({channels}), "bias must be (C,) of x ", x.sizes());
    bias = given_bias->contiguous();
  }
  if (given_noise) {
    check_like(x, *given_noise, "noise");
    TORCH_CHECK(
        x.dim() == 4 && given_noise->dim() == 4 && (given_noise->size(0) == 1 || given_noise->size(0) == samples) &&
            given_noise->size(1) == 1 && given_noise->size(2) == x.size(2) && given_noise->size(3) == x.size(3),
        "noise must be (1 or B, 1, H, W) of x ", x.sizes(), ", got ", given_noise->sizes());
    noise = given_noise->contiguous();
  }
  const Tensor out = at::empty(x.sizes(), x.options(), order);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "activation", [&] {
    with_index(x.numel(), [&](auto index) {
      using I = decltype(index);
      Activation<scalar_t, I> one{};
      one.x = x.const_data_ptr<scalar_t>();
      one.scale = scale.defined() ? scale.const_data_ptr<scalar_t>() : nullptr;
      one.bias = bias.defined() ? bias.const_data_ptr<scalar_t>() : nullptr;
      one.noise = noise.defined() ? noise.const_data_ptr<scalar_t>() : nullptr;
      one.out = out.data_ptr<scalar_t>();
      one.channels = static_cast<I>(channels);
      one.pixels = static_cast<I>(pixels);
      one.noise_stride = noise.defined() && noise.size(0) > 1 ? one.pixels : I{0};
      one.slope = static_cast<Compute<scalar_t>>(slope);
      one.gain = static_cast<Compute<scalar_t>>(gain);
      one.clamp = static_cast<Compute<scalar_t>>(clamp);
      one.channels_last = order == at::MemoryFormat::ChannelsLast;
      run(one, static_cast<I>(out.numel()), out);
    });
  });
  return out;
}

Tensor gate(const Tensor& given_grad, const Tensor& given_y, double slope, double gain, double clamp) {
  check(given_y, "y");
  check_like(given_y, given_grad, "grad");
  TORCH_CHECK(given_grad.sizes() == given_y.sizes(), "grad ", given_grad.sizes(), " must be like y ", given_y.sizes());
  const Guard guard = on_device_of(given_y);
  const auto order = order_of(given_y);
  const Tensor y = given_y.contiguous(order), grad = given_grad.contiguous(order);
  const Tensor out = at::empty(y.sizes(), y.options(), order);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, y.scalar_type(), "gate", [&] {
    with_index(y.numel(), [&](auto index) {
      using I = decltype(index);
      Gate<scalar_t, I> one{};
      one.grad = grad.const_data_ptr<scalar_t>();
      one.y = y.const_data_ptr<scalar_t>();
      one.out = out.data_ptr<scalar_t>();
      one.slope = static_cast<Compute<scalar_t>>(slope);
      one.gain = static_cast<Compute<scalar_t>>(gain);
      one.clamp = static_cast<Compute<scalar_t>>(static_cast<scalar_t>(clamp));  // as y holds it
      run(one, static_cast<I>(out.numel()), out);
    });
  });
  return out;
}

}  // namespace
}  // namespace ipl

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  using Released = pybind11::call_guard<pybind11::gil_scoped_release>;
  module.def("filter", &ipl::filter, Released());
  module.def("activation", &ipl::activation, Released());
  module.def("gate", &ipl::gate, Released());
}
