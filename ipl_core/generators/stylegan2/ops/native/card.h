// Runs an operator of elements.h on a GPU; card.cu holds the instances.
#pragma once

#include <c10/cuda/CUDAStream.h>

#include <cstdint>

namespace ipl {

template <typename Operator, typename I>
void run_on_card(const Operator& one, I count, cudaStream_t stream);

}  // namespace ipl
