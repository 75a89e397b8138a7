// The schemas of our operators. CPU kernels register beside their definition; CUDA kernels with the
// plug-in, under the same schemas.
#include <torch/library.h>

TORCH_LIBRARY(vesalius, m) { m.def("sum_squares(Tensor x) -> Tensor"); }
