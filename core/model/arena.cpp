// Arranges parameters in one buffer, those with weight decay first, and draws initial values by name.
#include "core/model/arena.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <stdexcept>

#include "core/base/counter_random.h"
#include "core/base/hash.h"

namespace polyhead {
namespace {

constexpr std::int64_t kAlignment = 16;  // elements

std::int64_t padded(std::int64_t size) {
  return (size + kAlignment - 1) / kAlignment * kAlignment;
}

// Returns standard normal numbers from a key (Box and Muller), times `deviation`.
torch::Tensor normal_values(std::uint64_t key, const std::vector<std::int64_t>& shape, double deviation) {
  torch::Tensor values = torch::empty(shape, torch::kFloat64);
  auto* data = values.data_ptr<double>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const auto counter = static_cast<std::uint64_t>(i);
    const double radius = std::sqrt(-2 * std::log(1 - unit(draw(key, 2 * counter))));
    data[i] = deviation * radius * std::cos(2 * std::numbers::pi * unit(draw(key, 2 * counter + 1)));
  }
  return values;
}

}  // namespace

std::int64_t Parameter::size() const {
  std::int64_t size = 1;
  for (const std::int64_t extent : shape) size *= extent;
  return size;
}

Parameter* Arena::add(Parameter parameter) {
  if (values_.defined()) throw std::logic_error("arena: parameter added after finish()");
  for (const Parameter& other : parameters_)
    if (other.name == parameter.name) throw std::logic_error("arena: parameter " + parameter.name + " added twice");
  parameter.depth = depth_;
  parameter.trainable = trainable_;
  return &parameters_.emplace_back(std::move(parameter));
}

Parameter* Arena::normal(const std::string& name, std::vector<std::int64_t> shape, double deviation, bool decay) {
  return add(
      {.name = name, .shape = std::move(shape), .initial = deviation, .constant = false, .decay = decay, .tensor = {}});
}

Parameter* Arena::constant(const std::string& name, std::vector<std::int64_t> shape, double value) {
  return add(
      {.name = name, .shape = std::move(shape), .initial = value, .constant = true, .decay = false, .tensor = {}});
}

std::int64_t Arena::layout() {
  std::int64_t offset = 0;
  for (const bool decay : {true, false}) {
    for (Parameter& parameter : parameters_) {
      if (parameter.decay != decay) continue;
      parameter.offset = offset;
      offset += padded(parameter.size());
    }
  }
  return elements_ = offset;
}

void Arena::finish(const std::string& owner, std::uint64_t seed, torch::TensorOptions options, void* gradient_memory) {
  layout();
  values_ = torch::zeros({elements_}, options);
  const std::uint64_t owner_key = derive(seed, hash_bytes(owner));
  for (Parameter& parameter : parameters_) {
    const torch::Tensor place = values_.narrow(0, parameter.offset, parameter.size()).view(parameter.shape);
    if (parameter.constant)
      place.fill_(parameter.initial);
    else
      place.copy_(normal_values(derive(owner_key, hash_bytes(parameter.name)), parameter.shape, parameter.initial));
    // detach() shares the version counter, so autograd detects a change of the buffer between forward and backward.
    parameter.tensor = place.detach().set_requires_grad(parameter.trainable);
  }
  bind_gradients(gradient_memory ? torch::from_blob(gradient_memory, {elements_}, options).zero_()
                                 : torch::zeros({elements_}, options));
}

void Arena::bind_gradients(const torch::Tensor& buffer) {
  if (buffer.sizes() != values_.sizes() || buffer.scalar_type() != values_.scalar_type() ||
      buffer.device() != values_.device())
    throw std::logic_error("arena: the buffer for gradients differs from the values in length, type or device");
  gradients_ = buffer;
  for (Parameter& parameter : parameters_)
    if (parameter.trainable)
      parameter.tensor.mutable_grad() = gradients_.narrow(0, parameter.offset, parameter.size()).view(parameter.shape);
}

std::int64_t Arena::parameter_count() const {
  std::int64_t count = 0;
  for (const Parameter& parameter : parameters_) count += parameter.size();
  return count;
}

void Arena::check_gradients() const {
  for (const Parameter& parameter : parameters_) {
    if (!parameter.trainable) continue;
    const torch::Tensor gradient = parameter.tensor.grad();
    if (!gradient.defined() || gradient.data_ptr() != gradients_.narrow(0, parameter.offset, 1).data_ptr())
      throw std::logic_error("arena: the gradient of " + parameter.name + " has left the arena");
  }
}

std::uint64_t Arena::hash() const {
  std::vector<const Parameter*> by_name;
  for (const Parameter& parameter : parameters_) by_name.push_back(&parameter);
  std::ranges::sort(by_name, {}, &Parameter::name);
  const torch::Tensor host = values_.cpu();
  const auto* bytes = static_cast<const char*>(host.data_ptr());
  const auto width = static_cast<std::size_t>(host.element_size());
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  for (const Parameter* parameter : by_name)
    XXH3_64bits_update(state.get(), bytes + static_cast<std::size_t>(parameter->offset) * width,
                       static_cast<std::size_t>(parameter->size()) * width);
  return XXH3_64bits_digest(state.get());
}

double flat_norm(const torch::Tensor& flat) {
  if (flat.is_cuda() || flat.scalar_type() != torch::kFloat32) return flat.to(torch::kFloat64).norm().item<double>();
  // Eight lanes in double, which the compiler vectorises.
  const auto* data = flat.data_ptr<float>();
  const std::int64_t size = flat.numel();
  double lanes[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= size; i += 8)
    for (int lane = 0; lane < 8; ++lane) lanes[lane] += static_cast<double>(data[i + lane]) * data[i + lane];
  for (; i < size; ++i) lanes[0] += static_cast<double>(data[i]) * data[i];
  return std::sqrt(((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7])));
}

}  // namespace polyhead
