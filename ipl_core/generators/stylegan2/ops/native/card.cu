// The operators of elements.h as CUDA kernels, one thread for several elements.
#include "card.h"
#include "elements.h"

#include <c10/cuda/CUDAException.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>

namespace ipl {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1 << 20;  // the rest is reached in further rounds; no card has more to do at a time

template <typename Operator, typename I>
__global__ void each(const Operator one, const I count) {
  // In 64 bits, since the last step leads beyond `count`.
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step) {
    one(static_cast<I>(i));
  }
}

}  // namespace

template <typename Operator, typename I>
void run_on_card(const Operator& one, I count, cudaStream_t stream) {
  const int64_t blocks = (static_cast<int64_t>(count) + kThreads - 1) / kThreads;
  each<<<static_cast<unsigned>(std::min(blocks, kMostBlocks)), kThreads, 0, stream>>>(one, count);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

#define INSTANCE(I, ...) template void run_on_card<__VA_ARGS__, I>(const __VA_ARGS__&, I, cudaStream_t);
#define INSTANCES(T, I)              \
  INSTANCE(I, Filter<T, I, 1, 1>)    \
  INSTANCE(I, Filter<T, I, 2, 1>)    \
  INSTANCE(I, Filter<T, I, 1, 2>)    \
  INSTANCE(I, Activation<T, I>)      \
  INSTANCE(I, Gate<T, I>)
#define EVERY_INSTANCE(T) INSTANCES(T, int32_t) INSTANCES(T, int64_t)

EVERY_INSTANCE(float)
EVERY_INSTANCE(double)
EVERY_INSTANCE(c10::Half)
EVERY_INSTANCE(c10::BFloat16)

}  // namespace ipl
