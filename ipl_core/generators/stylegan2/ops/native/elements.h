// What one output element of each operator is. The same lines are run by a loop on the CPU and by threads on a GPU,
// so that the arithmetic can be tested on a machine without one.
//
// Every operator is an object that holds its operands and is called with the number of an element, counted in the
// order of memory. That order is (sample, channel, row, column), or (sample, row, column, channel) for channels-last.
// T is what tensors hold, I what counts elements.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define ANYWHERE __host__ __device__ __forceinline__
#else
#define ANYWHERE inline
#endif

namespace ipl {

// Numbers of 16 bits are added and multiplied in 32.
template <typename T>
struct ComputeOf {
  using type = float;
};
template <>
struct ComputeOf<double> {
  using type = double;
};
template <typename T>
using Compute = typename ComputeOf<T>::type;

constexpr int kTaps = 4;

// Insert UP - 1 zeros after each sample of both axes, filter with the outer product of `taps` with itself, keep every
// DOWN-th sample. Output o of an axis sees the inputs i for which j = i * UP + before - o * DOWN is one of the taps.
template <typename T, typename I, int UP, int DOWN>
struct Filter {
  const T* x;
  T* out;
  I channels, height, width;    // of x
  I out_height, out_width;
  I before;                     // zeros in front of each axis
  Compute<T> taps[kTaps];
  bool channels_last;

  ANYWHERE void operator()(I element) const {
    I channel, rest = element;
    if (channels_last) {
      channel = rest % channels;
      rest /= channels;
    }
    const I left = rest % out_width * DOWN - before;
    rest /= out_width;
    const I top = rest % out_height * DOWN - before;
    I sample = rest / out_height;
    if (!channels_last) {
      channel = sample % channels;
      sample /= channels;
    }
    const I step = channels_last ? channels : 1;
    const T* picture = x + sample * channels * height * width + (channels_last ? channel : channel * height * width);
    Compute<T> sum = 0;
    for (int a = 0; a < kTaps; a += 1) {
      const I row = top + a;
      if (row < 0 || row % UP != 0 || row / UP >= height) continue;
      Compute<T> line = 0;
      for (int b = 0; b < kTaps; b += 1) {
        const I column = left + b;
        if (column < 0 || column % UP != 0 || column / UP >= width) continue;
        line += taps[b] * static_cast<Compute<T>>(picture[(row / UP * width + column / UP) * step]);
      }
      sum += taps[a] * line;
    }
    out[element] = static_cast<T>(sum);
  }
};

// gain * leaky_relu(x * scale + bias + noise), limited to [-clamp, clamp]. scale is (samples, channels), bias
// (channels), noise (1 or samples, pixels); each may be missing.
template <typename T, typename I>
struct Activation {
  const T* x;
  const T* scale;
  const T* bias;
  const T* noise;
  T* out;
  I channels, pixels;           // of a sample
  I noise_stride;               // pixels, or 0 where all samples have the same noise
  Compute<T> slope, gain, clamp;
  bool channels_last;

  ANYWHERE void operator()(I element) const {
    const I sample = element / (channels * pixels);
    const I channel = channels_last ? element % channels : element / pixels % channels;
    const I pixel = channels_last ? element / channels % pixels : element % pixels;
    Compute<T> value = static_cast<Compute<T>>(x[element]);
    if (scale) value *= static_cast<Compute<T>>(scale[sample * channels + channel]);
    if (bias) value += static_cast<Compute<T>>(bias[channel]);
    if (noise) value += static_cast<Compute<T>>(noise[sample * noise_stride + pixel]);
    value *= value > 0 ? gain : gain * slope;
    // Comparisons in this order let a value that is no number through.
    value = value > clamp ? clamp : value < -clamp ? -clamp : value;
    out[element] = static_cast<T>(value);
  }
};

// The gradient of Activation with respect to what it activates: `grad` times the slope that `y`, its result, tells.
// It is linear in `grad` and piecewise constant in `y`, so it is its own gradient too.
template <typename T, typename I>
struct Gate {
  const T* grad;
  const T* y;
  T* out;
  Compute<T> slope, gain, clamp;

  ANYWHERE void operator()(I element) const {
    const Compute<T> value = static_cast<Compute<T>>(y[element]);
    Compute<T> factor = value > 0 ? gain : gain * slope;
    if (value >= clamp || value <= -clamp) factor = 0;
    out[element] = static_cast<T>(static_cast<Compute<T>>(grad[element]) * factor);
  }
};

}  // namespace ipl
