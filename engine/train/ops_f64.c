/* The layers in double: what gradients are checked in, and the oracle of the float tables. */
#define REAL      double
#define OPS_NAME  "f64"
#define OPS_TABLE train_ops_f64
#include "engine/train/ops_impl.h"
