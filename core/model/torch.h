// The parts of LibTorch that Polyhead uses: tensors, functions and autograd. It is the precompiled header of all
// targets that use tensors.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/generated/variable_factories.h>
#include <torch/types.h>
#pragma GCC diagnostic pop
