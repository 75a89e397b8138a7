// The table of NCCL and CUDA runtime functions, filled from the real libraries.
#pragma once

#include <memory>

#include "dist/nccl/nccl_api.h"

namespace vesalius::dist::nccl {

std::shared_ptr<const Api> MakeRealApi();

}  // namespace vesalius::dist::nccl
