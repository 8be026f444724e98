// conv_select.c - chooses oneDNN's implementation of one convolution: by wall time, by memory, or by a fixed rule.
//
// Candidates are what oneDNN offers for the algorithms "direct" and, for 3x3 filters of stride 1 with enough channels,
// "Winograd" (on x86 up to oneDNN 3.1), reference code excluded, and our own Winograd for strides 1 and 2. The first
// candidate is the one of the fixed rule; another must beat it clearly, so that repeated measurements on an empty cache
// mostly agree.
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/autotune.h"
#include "backend/onednn/wino.h"
#include "base/base.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    MAX_CANDIDATES = LTI_AUTOTUNE_CANDIDATES,
    PER_ALGORITHM = 3,  // later ones are ever more general and never faster
    WINOGRAD_MIN = 16,  // channels on either side: below, most of a tile's multiplications are padding
    WINOGRAD_RULE = 32, // the fixed rule requires more
    STRIDED_TILES = 96, // 4x4 tiles of y from where the rule takes our own Winograd of stride 2 when its filters are
                        // transformed in each run
    MIN_ROUNDS = 4,
};
static const double patience_s = 0.6;

static bool is_reference(const char *impl)
{
    return strstr(impl, "ref") != NULL;
}

typedef struct list {
    lti_choice c[MAX_CANDIDATES];
    int n;
} list;

static lt_status collect(const lti_dn *dn, const lti_conv_shape *s, lti_choice c, bool reference, list *l)
{
    for (c.index = 0; l->n < MAX_CANDIDATES; c.index++) {
        dnnl_primitive_desc_t pd;
        const char *impl = "";
        LT_TRY(lti_conv_pd(dn, s, &c, &pd));
        if (!pd)
            break;
        const dnnl_status_t q = dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&impl);
        snprintf(c.impl, sizeof c.impl, "%s", q == dnnl_success ? impl : "?");
        dnnl_primitive_desc_destroy(pd);
        if (is_reference(c.impl) == reference)
            l->c[l->n++] = c;
        if (c.index + 1 == PER_ALGORITHM && l->n > 0)
            break;
    }
    return LT_OK;
}

static void collect_own(lti_algorithm algorithm, const char *name, const char *isa, list *l)
{
    if (l->n == MAX_CANDIDATES)
        return;
    lti_choice *own = &l->c[l->n++];
    *own = (lti_choice){.algorithm = algorithm};
    snprintf(own->impl, sizeof own->impl, "%s %s", name, isa);
}

static dnnl_dim_t least_channels(const lti_conv_shape *s)
{
    return s->c < s->k ? s->c : s->k;
}

static bool own_fits(const lti_conv_shape *s)
{
    return least_channels(s) >= WINOGRAD_MIN && lti_wino_fits(s) && !s->direct;
}

// Does the fixed rule take our own Winograd? A strided one saves less than half of the multiplications.
static bool own_pays(const lti_dn *dn, const lti_conv_shape *s)
{
    const lti_wino_kern *kern = s->bf16 ? dn->wino_bf16 : dn->kern->wino;
    const dnnl_dim_t tiles = s->n * ((s->oh + 3) / 4) * ((s->ow + 3) / 4);
    return s->stride == 1 || (least_channels(s) >= kern->strided_rule &&
                              (s->pass == LTI_CONV_DW || s->constant || tiles >= STRIDED_TILES));
}

static void collect_winograd(const lti_dn *dn, const lti_conv_shape *s, bool bf16, list *l)
{
    const bool strided = s->stride == 2;
    if (bf16)
        collect_own(LTI_OWN_WINOGRAD_BF16, strided ? "winograd 4x2 bf16" : "winograd 4x3 bf16", dn->wino_bf16->isa, l);
    else
        collect_own(LTI_OWN_WINOGRAD, strided ? "winograd 4x2" : "winograd 4x3", dn->kern->isa, l);
}

static bool offers_direct(const list *l)
{
    for (int i = 0; i < l->n; i++)
        if (l->c[i].algorithm == LTI_DIRECT)
            return true;
    return false;
}

// In the order of the fixed rule.
static lt_status collect_all(const lti_dn *dn, const lti_conv_shape *s, list *l)
{
    const bool can =
        s->r == 3 && s->s == 3 && s->stride == 1 && s->dilation == 1 && least_channels(s) >= WINOGRAD_MIN && !s->direct;
    const bool own = own_fits(s), first = own && own_pays(dn, s);
    const lti_choice direct = {.algorithm = LTI_DIRECT}, winograd = {.algorithm = LTI_DNNL_WINOGRAD};
    if (s->bf16 && first)
        collect_winograd(dn, s, true, l);
    if (s->bf16)
        LT_TRY(collect(dn, s, (lti_choice){.algorithm = LTI_DIRECT_BF16}, false, l));
    if (s->bf16 && own && !first)
        collect_winograd(dn, s, true, l);
    if (first)
        collect_winograd(dn, s, false, l);
    if (lti_stem_fits(dn, s))
        collect_own(LTI_OWN_STEM, "stem", dn->kern->isa, l);
    const bool point = lti_conv_1x1_fits(dn, s);
    if (point && s->pass != LTI_CONV_DW)
        collect_own(LTI_OWN_POINTWISE, "1x1", dn->kern->isa, l);
    if (can && !s->own)
        LT_TRY(collect(dn, s, winograd, false, l));
    LT_TRY(collect(dn, s, direct, false, l));
    if (!offers_direct(l))
        LT_TRY(collect(dn, s, (lti_choice){.free_layout = true}, false, l));
    if (own && !first)
        collect_winograd(dn, s, false, l);
    if (point && s->pass == LTI_CONV_DW)
        collect_own(LTI_OWN_POINTWISE, "1x1", dn->kern->isa, l);
    return LT_OK;
}

static lt_status candidates(const lti_dn *dn, const lti_conv_shape *s, list *l)
{
    l->n = 0;
    LT_TRY(collect_all(dn, s, l));
    if (l->n == 0)
        LT_TRY(collect(dn, s, (lti_choice){0}, true, l));
    return LT_OK;
}

// ---- timing
typedef struct bench {
    lt_kernel k[MAX_CANDIDATES];
    lti_autotune autotune;
    clockid_t clock;
    void *arg[4], *scratch, *prepared;
} bench;

static void bench_clear(bench *b, int n)
{
    for (int i = 0; i < n; i++)
        if (b->k[i].destroy)
            b->k[i].destroy(&b->k[i]);
    for (int i = 0; i < 4; i++)
        lti_free(b->arg[i]);
    lti_free(b->scratch);
    lti_free(b->prepared);
}

static float *numbers(size_t count)
{
    float *p = lti_aligned_alloc(64, count * sizeof *p);
    for (size_t i = 0; p && i < count; i++)
        p[i] = (float)(int)((uint32_t)i * 2654435761u >> 21) * (1.0f / 1024) - 1.0f;
    return p;
}

static size_t padded(dnnl_dim_t channels)
{
    return (size_t)((channels + 15) & ~(dnnl_dim_t)15);
}

static lt_status bench_make(const lti_dn *dn, const lti_conv_shape *s, const list *l, bench *b)
{
    size_t scratch = 0, prepared = 0;
    for (int i = 0; i < l->n; i++) {
        LT_TRY(lti_conv_make(dn, s, &l->c[i], &b->k[i]));
        scratch = b->k[i].scratch_bytes > scratch ? b->k[i].scratch_bytes : scratch;
        prepared = b->k[i].prepared_bytes > prepared ? b->k[i].prepared_bytes : prepared;
    }
    const size_t x = (size_t)(s->n * s->h * s->w) * padded(s->c), w = (size_t)(s->k * s->c * s->r * s->s);
    const size_t y = (size_t)(s->n * s->oh * s->ow) * padded(s->k);
    const size_t count[3][3] = {{x, w, y}, {y, w, x}, {x, y, w}};
    const int out = s->bias ? 3 : 2;
    b->arg[0] = numbers(count[s->pass][0]);
    b->arg[1] = numbers(count[s->pass][1]);
    b->arg[out] = numbers(count[s->pass][2]);
    if (s->bias)
        b->arg[2] = numbers((size_t)s->k);
    b->scratch = lti_aligned_alloc(64, scratch);
    b->prepared = lti_aligned_alloc(64, prepared);
    if (!b->arg[0] || !b->arg[1] || !b->arg[2] || !b->arg[out] || !b->scratch || !b->prepared)
        return LTI_NOMEM("timing a convolution");
    return LT_OK;
}

// One thread is timed by the processor time it uses, which other processes hardly change; a team by wall time on the
// wall, because only that sees threads wait for each other.
static double seconds_of(const bench *b)
{
    struct timespec t;
    clock_gettime(b->clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Seconds of one run, with the preparation of weights where that is part of every run.
static lt_status time_once(const lti_conv_shape *s, bench *b, int i, double *seconds)
{
    lt_kernel *k = &b->k[i];
    k->prepared = b->prepared;
    if (k->prepare && s->constant)
        LT_TRY(k->prepare(k, b->arg, b->prepared));
    const double start = seconds_of(b);
    if (k->prepare && !s->constant)
        LT_TRY(k->prepare(k, b->arg, b->prepared));
    LT_TRY(k->run(k, b->arg, b->scratch));
    *seconds = seconds_of(b) - start;
    return LT_OK;
}

// Candidates are interleaved, so that a disturbance from outside hits all of them; slow ones are eliminated. Continues,
// up to a limit, while the machine is too noisy.
static lt_status time_candidates(const lti_conv_shape *s, const list *l, bench *b)
{
    lti_autotune *r = &b->autotune;
    double t;
    for (int i = 0; i < l->n; i++)
        LT_TRY(time_once(s, b, i, &t)); // cold: pages, code
    lti_autotune_start(r, l->n);
    const double start = seconds_of(b);
    for (int round = 0; round < LTI_AUTOTUNE_ROUNDS && (round == 0 || seconds_of(b) - start < patience_s); round++) {
        for (int i = 0; i < l->n; i++) {
            if (lti_autotune_eliminated(r, i))
                continue;
            LT_TRY(time_once(s, b, i, &t));
            lti_autotune_record(r, i, t);
        }
        if (round >= MIN_ROUNDS && lti_autotune_decided(r))
            break;
    }
    return LT_OK;
}

// Without a conclusive measurement the fixed rule applies: a wrong choice would stay in the cache.
static void decide(list *l, const bench *b, lti_choice *choice)
{
    bool sure;
    const int win = lti_autotune_choice(&b->autotune, &sure);
    size_t n = 0;
    char log[sizeof choice->log] = "";
    for (int i = 0; i < l->n && n < sizeof log; i++)
        n += (size_t)snprintf(log + n, sizeof log - n, "%s%s %.0f us",
                              i      ? ", "
                              : sure ? ""
                                     : "noisy: ",
                              l->c[i].impl, b->autotune.best[i] * 1e6);
    *choice = l->c[win];
    choice->us = b->autotune.best[win] * 1e6;
    memcpy(choice->log, log, sizeof log);
}

// Lower precision must pay: a bf16 candidate is taken only where it is clearly faster than the f32 candidate of the
// rule, which comes first for that and applies when the times are inconclusive. Not every processor has fast bf16
// products: at width 64 training ran 101 images/s in bf16 and 137 in f32 on an AVX-512 machine without AMX.
void lti_conv_full_precision_first(lti_choice *c, int n)
{
    for (int i = 0, n_full = 0; i < n; i++) {
        const lti_choice at = c[i];
        if (at.algorithm == LTI_DIRECT_BF16 || at.algorithm == LTI_OWN_WINOGRAD_BF16)
            continue;
        memmove(&c[n_full + 1], &c[n_full], (size_t)(i - n_full) * sizeof *c);
        c[n_full++] = at;
    }
}

static lt_status measure(const lti_dn *dn, const lti_conv_shape *s, list *l, lti_choice *choice)
{
    lti_conv_full_precision_first(l->c, l->n);
    bench b = {.clock = dn->n_threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC};
    lt_status status = bench_make(dn, s, l, &b);
    if (status == LT_OK)
        status = time_candidates(s, l, &b);
    if (status == LT_OK)
        decide(l, &b, choice);
    bench_clear(&b, l->n);
    return status;
}

// ---- memory
static void key_of(const lti_conv_shape *s, char *key, size_t key_size)
{
    static const char *const pass[] = {"fwd", "dx", "dw"};
    snprintf(key, key_size, "%s,n%lld,c%lld,%lldx%lld,k%lld,%lldx%lld,s%lld,p%lld,b%d,r%d,i%d,l%d%d%s%s%s",
             pass[s->pass], (long long)s->n, (long long)s->c, (long long)s->h, (long long)s->w, (long long)s->k,
             (long long)s->r, (long long)s->s, (long long)s->stride, (long long)s->pad, s->bias, s->relu, s->constant,
             s->x_layout == LT_LAYOUT_BLOCKED16, s->y_layout == LT_LAYOUT_BLOCKED16, s->bf16 ? ",bf16" : "",
             s->direct ? ",direct" : "", s->own ? ",own" : "");
}

// Is a remembered choice still what oneDNN offers under that number?
static bool still_offered(const list *l, const lti_choice *c)
{
    for (int i = 0; i < l->n; i++)
        if (l->c[i].algorithm == c->algorithm && l->c[i].free_layout == c->free_layout && l->c[i].index == c->index &&
            strcmp(l->c[i].impl, c->impl) == 0)
            return true;
    return false;
}

static lt_status select_timed(const lti_dn *dn, const lti_conv_shape *s, list *l, lti_choice *choice)
{
    char key[128];
    bool stored = false;
    lti_choice found;
    key_of(s, key, sizeof key);
    LT_TRY(lti_tune_begin(dn->tune, key));
    lt_status status = LT_OK;
    if (lti_tune_get(dn->tune, key, &found) && still_offered(l, &found)) {
        *choice = found;
    } else if (lti_tune_persistent(dn->tune)) {
        status = measure(dn, s, l, &found);
        if (status == LT_OK)
            status = lti_tune_put(dn->tune, key, &found, &stored);
        if (stored)
            *choice = found;
    }
    lti_tune_end(dn->tune);
    return status;
}

lt_status lti_conv_select(const lti_dn *dn, const lti_conv_shape *s, bool tune, lti_choice *choice)
{
    list l;
    LT_TRY(candidates(dn, s, &l));
    if (l.n == 0)
        return LT_E_UNSUPPORTED;
    *choice = l.c[0];
    if (tune && l.n > 1)
        LT_TRY(select_timed(dn, s, &l, choice));
    return LT_OK;
}
