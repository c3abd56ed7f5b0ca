// Segments, and sums and softmax within them, with a hand-written backward.
#include "core/model/segments.h"

#include "core/model/staging.h"

namespace polyhead {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Uses only gathers and segment sums, because the order of scattered additions is not fixed on a GPU.
struct SegmentSoftmax : torch::autograd::Function<SegmentSoftmax> {
  static Tensor reduce(const char* kind, const Tensor& x, const Tensor& lengths) {
    return at::segment_reduce(x, kind, lengths, {}, {}, 0, /*unsafe=*/true);
  }
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& lengths, const Tensor& rows) {
    const Tensor e = (x - reduce("max", x, lengths).index_select(0, rows)).exp_();
    const Tensor p = e / reduce("sum", e, lengths).index_select(0, rows);
    context->save_for_backward({p, lengths, rows});
    return p;
  }
  static tensor_list backward(AutogradContext* context, tensor_list gradient) {
    const auto saved = context->get_saved_variables();
    const Tensor &p = saved[0], &lengths = saved[1], &rows = saved[2], pg = p * gradient[0];
    return {pg - p * reduce("sum", pg, lengths).index_select(0, rows), Tensor(), Tensor()};
  }
};

}  // namespace

Segments Segments::from(std::vector<std::int64_t> offsets, torch::Device device) {
  Segments segments{.offsets = std::move(offsets), .lengths = {}, .positions = {}};
  const std::int64_t sequences = segments.sequences();
  const Tensor lengths = staging({sequences}, torch::kInt64, device),
               positions = staging({segments.tokens()}, torch::kInt64, device);
  auto* length = lengths.data_ptr<std::int64_t>();
  auto* position = positions.data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < sequences; ++i) {
    const auto s = static_cast<std::size_t>(i);
    length[i] = segments.offsets[s + 1] - segments.offsets[s];
    for (std::int64_t j = 0; j < length[i]; ++j) *position++ = j;
  }
  segments.lengths = lengths.to(device, true);
  segments.positions = positions.to(device, true);
  return segments;
}

Tensor Segments::sequence_of_rows() const {
  return torch::repeat_interleave(lengths, std::optional<std::int64_t>(tokens()));
}

torch::Tensor segment_sum(const Tensor& x, const Segments& segments) {
  return at::segment_reduce(x, "sum", segments.lengths, {}, {}, 0, /*unsafe=*/true);
}

torch::Tensor segment_softmax(const Tensor& x, const Segments& segments) {
  return SegmentSoftmax::apply(x, segments.lengths, segments.sequence_of_rows());
}

}  // namespace polyhead
