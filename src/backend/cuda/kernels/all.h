// all.h - every kernel body.
#include "backend/cuda/kernels/attack.h"
#include "backend/cuda/kernels/conv.h"
#include "backend/cuda/kernels/elementwise.h"
#include "backend/cuda/kernels/loss.h"
#include "backend/cuda/kernels/norm.h"
#include "backend/cuda/kernels/pool.h"
#include "backend/cuda/kernels/reduce.h"
#include "backend/cuda/kernels/train.h"
