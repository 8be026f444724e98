// options.c - option rows of quantization and of chips.
#include "quant/quant_impl.h"

static const lt_opt_value ends[] = {{"float", LT_ENDS_FLOAT, "stay float"},
                                    {"8bit", LT_ENDS_8BIT, "8 bits"},
                                    {"same", LT_ENDS_SAME, "as all others"},
                                    {NULL, 0, NULL}};
static const lt_opt_value granularities[] = {{"tensor", LT_STEP_TENSOR, "one grid per tensor"},
                                             {"channel", LT_STEP_CHANNEL, "one grid per output channel"},
                                             {NULL, 0, NULL}};
static const lt_opt_value act_methods[] = {
    {"lsq", LT_ACT_LSQ, "learned step"}, {"pact", LT_ACT_PACT, "learned clipping bound"}, {NULL, 0, NULL}};
static const lt_opt_value encodings[] = {
    {"offset", LT_ENC_OFFSET, "unsigned code and a common reference"},
    {"twos", LT_ENC_TWOS, "two's complement"},
    {"sign-magnitude", LT_ENC_SIGN_MAGNITUDE, "sign bit and magnitude"},
    {"gray", LT_ENC_GRAY, "Gray code"},
    {"differential", LT_ENC_DIFFERENTIAL, "pairs of positive and negative cells"},
    {NULL, 0, NULL},
};
static const lt_opt_value mappings[] = {
    {"nearest", LT_MAP_NEAREST, "write the code whose value on the chip is nearest"},
    {"bitmap", LT_MAP_BITMAP, "write the nearest level's code, read it through the faults"},
    {NULL, 0, NULL},
};
static const lt_opt_value models[] = {
    {"conductance-gauss", LT_VAR_CONDUCTANCE, "1 + sigma N(0,1)"},
    {"conductance-truncated", LT_VAR_CONDUCTANCE_TRUNCATED, "the same, at least 0"},
    {"lognormal", LT_VAR_LOGNORMAL, "log-normal of mean 1"},
    {"resistance-gauss", LT_VAR_RESISTANCE, "1 / (1 + sigma N(0,1))"},
    {NULL, 0, NULL},
};

const lt_option lt_quant_options[] = {
    LT_I32(lt_quant_cfg, bits, 4, 2, LT_QUANT_MAX_BITS, "bits", "bits per weight"),
    LT_STR(lt_quant_cfg, method, "msqe-step", "how weights get onto levels; `lethe quantize --help` lists the methods"),
    LT_ENUM(lt_quant_cfg, granularity, LT_STEP_TENSOR, granularities, "what shares a grid of levels"),
    LT_ENUM(lt_quant_cfg, ends, LT_ENDS_FLOAT, ends, "first and last layer"),
    LT_BOOL(lt_quant_cfg, shortcuts, 0, "quantize 1x1 projections of shortcuts too"),
    LT_F32(lt_quant_cfg, lambda0, 0, 0, 1e9, "", "weight of the penalty at the start; 0 = so that tau0 holds"),
    LT_F32(lt_quant_cfg, lambda1, 0, 0, 1e9, "", "weight of the penalty at the end; 0 = so that tau1 holds"),
    LT_F32(lt_quant_cfg, ramp_from, 0, 0, 0.99, "", "share of the epochs before the weight of the penalty rises"),
    LT_F32(lt_quant_cfg, tau0, 0.15, 1e-6, 1e6, "",
           "relaxation time of the largest layer at the start, as a share of all steps"),
    LT_F32(lt_quant_cfg, tau1, 0.002, 1e-6, 1e6, "", "the same at the end"),
    LT_BOOL(lt_quant_cfg, equal_tau, 0, "one relaxation time for all layers instead of one weight"),
    LT_BOOL(lt_quant_cfg, grad_scale, 0, "normalise the penalty by sqrt(q/N) once its weight rises"),
    LT_I32(lt_quant_cfg, snap_every, 3, 0, 100000, "epochs",
           "put weights on their levels so often; 0 = only at the end"),
    LT_BOOL(lt_quant_cfg, snap_reset, 0, "reset the momentum after a snap"),
    LT_BOOL(lt_quant_cfg, fault_aware, 1, "training knows the map of its chip; --no-fault-aware: it does not"),
    LT_F32(lt_quant_cfg, own_lr, 0, 0, 1e3, "", "learning rate of steps and levels; 0 = the method's"),
    LT_BOOL(lt_quant_cfg, own_grad_scale, 0, "scale their gradient as LSQ does (penalty methods)"),
    LT_I32(lt_quant_cfg, act_bits, 0, 0, LT_QUANT_MAX_BITS, "bits", "bits of activations; 0 = float"),
    LT_ENUM(lt_quant_cfg, act_method, LT_ACT_LSQ, act_methods, "how the range of activations is learned"),
    LT_I32(lt_quant_cfg, bn_batches, 100, 0, 100000, "batches",
           "training batches from which batch-norm statistics are re-estimated at the end; 0 = keep them"),
    LT_OPT_END,
};

const lt_option lt_quant_chip_options[] = {
    LT_F32(lt_quant_chip, fault_rate, 0, 0, 1, "", "probability that a cell is stuck"),
    LT_F32(lt_quant_chip, stuck_at_1, 0, 0, 1, "", "share of stuck cells that are stuck at 1"),
    LT_U64(lt_quant_chip, fault_seed, 1, "seed of the maps of faults"),
    LT_ENUM(lt_quant_chip, encoding, LT_ENC_OFFSET, encodings, "how a code is stored in cells"),
    LT_ENUM(lt_quant_chip, mapping, LT_MAP_NEAREST, mappings, "what is written for a weight"),
    LT_BOOL(lt_quant_chip, reference_column, 0, "subtract the expected common shift of a layer (bitmap mapping)"),
    LT_F32(lt_quant_chip, variability, 0, 0, 4, "", "relative spread sigma of the cells"),
    LT_ENUM(lt_quant_chip, variability_model, LT_VAR_CONDUCTANCE, models, "what varies"),
    LT_U64(lt_quant_chip, variability_seed, 1, "seed of the maps of spread"),
    LT_I32(lt_quant_chip, chip, 0, 0, 1000000000, "", "number of the chip: every number has its own maps"),
    LT_OPT_END,
};
