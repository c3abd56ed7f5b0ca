// LibTorch as we use it: tensors, functions and autograd. The precompiled header of every target with tensors.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/types.h>
#pragma GCC diagnostic pop
