// adv_pgd.c - adversarial training with projected gradient descent. [Madry et al. 2018, eq. 2.1]
//
//     min over theta of E[ max over x' in B(x, eps) of CE(f(x'), y) ]
// from a random point of the ball (uniform in it). The paper leaves the mode of batch norm in the attack open; it is
// evaluation mode here, as in TRADES, so that the attack of a sample does not depend on its batch.
#include "adversarial.h"
#include <math.h>

static lt_val objective(lt_graph *g, lt_val logits, lt_val labels, lt_val clean)
{
    (void)clean;
    return lt_cross_entropy(g, logits, labels, 0);
}

static lt_val loss(lt_graph *g, const lt_train_cfg *cfg, lt_val clean, lt_val ce, lt_val adv)
{
    (void)g, (void)cfg, (void)clean, (void)adv;
    return ce;
}

static void start(const lt_train_cfg *cfg, lt_rng *rng, int64_t n_pixels, float *delta)
{
    if (cfg->adv_norm == LT_ADV_LINF) {
        for (int64_t i = 0; i < n_pixels; i++)
            delta[i] = cfg->adv_eps * (2 * lt_rng_uniform(rng) - 1);
        return;
    }
    const double radius = (double)cfg->adv_eps * pow((double)lt_rng_uniform(rng), 1 / (double)n_pixels);
    double square = 0;
    for (int64_t i = 0; i < n_pixels; i++) {
        delta[i] = (float)lt_rng_normal(rng);
        square += (double)delta[i] * (double)delta[i];
    }
    for (int64_t i = 0; i < n_pixels; i++)
        delta[i] = square > 0 ? (float)((double)delta[i] * radius / sqrt(square)) : 0;
}

// 2.5 eps / steps: far enough to reach the boundary from anywhere in the ball, and to move along it.
static double step(const lt_train_cfg *cfg)
{
    return 2.5 * (double)cfg->adv_eps / cfg->adv_steps;
}

const lti_adversarial lti_adversarial_pgd = {
    .cite = "madry2018", .objective = objective, .loss = loss, .start = start, .step = step};
