// The schemas of our operators. CPU kernels register beside their definition; CUDA kernels with the
// plug-in, under the same schemas.
#include <torch/library.h>

TORCH_LIBRARY(vesalius, m) {
  m.def("sum_squares(Tensor x) -> Tensor");
  m.def("attention(Tensor qkv, Tensor? lengths) -> (Tensor, Tensor)");
  m.def(
      "attention_backward(Tensor qkv, Tensor? lengths, Tensor out, Tensor lse, Tensor grad) -> "
      "Tensor");
  m.def("contrastive_lse(Tensor logits) -> (Tensor rows, Tensor columns)");
  m.def(
      "contrastive_coefficients(Tensor(a!) logits, Tensor r, Tensor c, float row_weight, "
      "float column_weight) -> Tensor(a!)");
  m.def("sigmoid_terms(Tensor(a!) logits, float bias) -> Tensor sums");
}
