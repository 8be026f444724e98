// attack_spec.c - the options that all attacks share, and radii as ratios.
#include "attack/engine.h"
#include <math.h>
#include <string.h>

static const lt_opt_value norms[] = {
    {"linf", LT_NORM_LINF, "largest change of a pixel"}, {"l2", LT_NORM_L2, "Euclidean length"}, {NULL, 0, NULL}};
static const lt_opt_value losses[] = {{"auto", LT_LOSS_AUTO, "the attack's own"},
                                      {"ce", LT_LOSS_CE, "cross-entropy in margin form"},
                                      {"margin", LT_LOSS_MARGIN, "difference of the two logits"},
                                      {"dlr", LT_LOSS_DLR, "difference of logits ratio"},
                                      {NULL, 0, NULL}};

const lt_option lt_attack_spec_options[] = {
    LT_ENUM(lt_attack_spec, norm, LT_NORM_LINF, norms, "norm of the perturbation, in pixels of [0,1]"),
    LT_STR(lt_attack_spec, eps, "8/255", "radius of the ball; attacks of minimum norm do without"),
    LT_I32(lt_attack_spec, steps, 0, 0, 1000000, "", "steps of a run; square: queries; 0: the attack's own number"),
    LT_F64(lt_attack_spec, step_size, 0, 0, 1e6, "",
           "length of a step of fgsm, bim, pgd and mi-fgsm; 0: from the next option"),
    LT_F64(lt_attack_spec, step_ratio, 0, 0, 1e6, "", "the same, as a share of the radius; 0: from eps and steps"),
    LT_I32(lt_attack_spec, restarts, 1, 1, 4000, "", "runs of attacks with random starts, on the samples that survive"),
    LT_I32(lt_attack_spec, targets, 9, 1, 255, "", "classes that apgd-t and fab-t aim at, by clean logit"),
    LT_ENUM(lt_attack_spec, loss, LT_LOSS_AUTO, losses, "loss that gradient attacks climb"),
    LT_STR(lt_attack_spec, target, NULL,
           "class to aim at: next, random, least-likely or a number; default: any other class"),
    LT_I32(lt_attack_spec, eot, 1, 1, 1000, "", "evaluations averaged per step, for randomised models"),
    LT_I32(lt_attack_spec, quantize, 0, 0, 8, "bits",
           "round results to 8 bits within the ball and evaluate those, too; 0: do not"),
    LT_BOOL(lt_attack_spec, best_loss, 0, "no early exit: keep the iterate of the largest loss over all restarts"),
    LT_BOOL(lt_attack_spec, transfer, 0, "no early exit: keep the last iterate, as examples for other models"),
    LT_BOOL(lt_attack_spec, min_norm, 0, "fab and fab-t: search for the nearest example instead of one within eps"),
    LT_BOOL(lt_attack_spec, polish, 1, "attacks of minimum norm: bisect between image and result"),
    LT_BOOL(lt_attack_spec, parity, 0, "the behaviour of the public code that published results rest on"),
    LT_BOOL(lt_attack_spec, legacy_normalized, 0,
            "fgsm, bim, pgd, mi-fgsm: eps and steps of normalised images, clamped to their 0..1 last, as in published "
            "figures of FastClip and LOTOS; examples leave the radius"),
    LT_U64(lt_attack_spec, seed, 0, "seed of random starts and random search"),
    LT_I64(lt_attack_spec, batch, 128, 1, 65536, "samples", "samples in flight"),
    LT_OPT_END,
};

const lt_option lti_attack_no_options[] = {LT_OPT_END};

void lt_attack_spec_init(lt_attack_spec *spec)
{
    memset(spec, 0, sizeof *spec);
    lt_options_defaults(lt_attack_spec_options, spec);
}

lt_status lt_attack_parse_eps(const char *text, double *eps)
{
    enum { MAX = 63 };
    char part[MAX + 1];
    double over = 1;
    const char *slash = text ? strchr(text, '/') : NULL;
    const size_t n = slash ? (size_t)(slash - text) : text ? strlen(text) : 0;
    if (n == 0 || n > MAX)
        return LT_FAIL(LT_E_USAGE, "eps: expected a radius such as 8/255 or 0.5, found '%.80s'", text ? text : "");
    memcpy(part, text, n);
    part[n] = '\0';
    LT_TRY(lti_parse_f64(part, "eps", 0, 1e9, eps));
    if (slash) {
        LT_TRY(lti_parse_f64(slash + 1, "eps, below the line", 0, 1e9, &over));
        if (over <= 0)
            return LT_FAIL(LT_E_USAGE, "eps: expected a divisor above 0, found '%.80s'", text);
    }
    *eps /= over;
    if (!isfinite(*eps)) // a divisor near 0
        return LT_FAIL(LT_E_USAGE, "eps: expected a finite radius, found '%.80s'", text);
    return LT_OK;
}

void lt_wilson(int64_t k, int64_t n, double interval[2])
{
    const double z = 1.959963984540054, count = (double)n;
    interval[0] = 0;
    interval[1] = 1;
    if (n <= 0)
        return;
    const double p = (double)k / count, d = 1 + z * z / count, middle = (p + z * z / (2 * count)) / d,
                 half = z / d * sqrt(p * (1 - p) / count + z * z / (4 * count * count));
    interval[0] = k == 0 ? 0 : fmax(0, middle - half);
    interval[1] = k == n ? 1 : fmin(1, middle + half);
}
