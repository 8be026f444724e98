// adv_trades.c - TRADES. [Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan 2019, eq. 5 and algorithm 1; AMUN 8.2]
//
//     min over theta of E[ CE(f(x), y) + beta max over x' in B(x, eps) of KL(softmax f(x) || softmax f(x')) ]
// The inner problem is solved from x + 0.001 N(0, I) with f in evaluation mode; gradients of the loss flow through the
// clean and the attacked outputs, both in training mode. The authors' code passes the clean images through the model
// twice when it forms the loss.
// Deviation: here they pass once, so the running statistics of batch norm take the clean and the attacked batch once
// each (the authors': clean, attacked, clean). Weights and gradients are the same, as they do not depend on them.
#include "adversarial.h"

static lt_val objective(lt_graph *g, lt_val logits, lt_val labels, lt_val clean)
{
    (void)labels;
    return lt_kl_div(g, logits, clean, 1);
}

static lt_val loss(lt_graph *g, const lt_train_cfg *cfg, lt_val clean, lt_val ce, lt_val adv)
{
    return lt_add(g, ce, lt_scale(g, lt_kl_pair(g, adv, clean, 1), cfg->trades_beta));
}

// The gradient of the objective is 0 at x itself: the noise is what breaks the tie.
static void start(const lt_train_cfg *cfg, lt_rng *rng, int64_t n_pixels, float *delta)
{
    (void)cfg;
    for (int64_t i = 0; i < n_pixels; i++)
        delta[i] = (float)(0.001 * lt_rng_normal(rng));
}

// The authors' 0.007 of 0.031 for linf; for l2 they step 2 eps / steps.
static double step(const lt_train_cfg *cfg)
{
    const double eps = (double)cfg->adv_eps;
    return cfg->adv_norm == LT_ADV_L2 ? 2 * eps / cfg->adv_steps : eps * 0.007 / 0.031;
}

const lti_adversarial lti_adversarial_trades = {
    .cite = "trades", .pair = true, .objective = objective, .loss = loss, .start = start, .step = step};
