// mia_set.c - the membership attacks of an audit: choosing them, running them on a model, saving their scores.
#include "lethe/audit_report.h"
#include "audit/audit_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int registry_size(void)
{
    int n = 0;
    while (lt_mia_list()[n])
        n++;
    return n;
}

// Defaults of every attack in one block; cfg: (registry) pointers into it.
static void *default_configs(void **cfg)
{
    enum { ALIGN = 16 };
    size_t size = 0;
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        size += ((*m)->cfg_size + ALIGN - 1) / ALIGN * ALIGN;
    char *block = lti_calloc(size + 1, 1), *at = block;
    for (int i = 0; block && lt_mia_list()[i]; i++) {
        cfg[i] = at;
        lt_options_defaults(lt_mia_list()[i]->opts, at);
        at += (lt_mia_list()[i]->cfg_size + ALIGN - 1) / ALIGN * ALIGN;
    }
    return block;
}

static void add_attack(lt_mia_set *a, int index, void *const *cfg)
{
    for (int i = 0; i < a->n; i++)
        if (a->mia[i] == lt_mia_list()[index]) // named twice
            return;
    a->mia[a->n] = lt_mia_list()[index];
    a->cfg[a->n++] = cfg[index];
}

// The kinds of models that the file has for any sample, as LT_MIA_NEED_*.
static unsigned kinds_of(const lt_references *refs)
{
    unsigned kinds = 0;
    for (int64_t i = 0; refs && i < refs->m * refs->n; i++)
        kinds |= 1u << refs->member[i];
    for (int64_t m = 0; refs && m < refs->m; m++)
        kinds |= lti_references_unlearned(refs, m) ? 0 : (unsigned)LT_MIA_NEED_TRAINED_OUT;
    return kinds;
}

// Whether every sample has its models is not asked here: a file that leaves one out is an error.
static lt_status add_all(lt_mia_set *a, const char *references, void *const *cfg)
{
    const unsigned kinds = kinds_of(a->refs);
    bool used = false;
    for (int i = 0; lt_mia_list()[i]; i++) {
        const unsigned needs = lt_mia_list()[i]->needs & LT_MIA_NEED_REFERENCES;
        if ((needs & ~kinds) || ((lt_mia_list()[i]->needs & LT_MIA_NEED_ORIGINAL) && !a->original))
            continue;
        used = used || needs;
        add_attack(a, i, cfg);
    }
    if (a->refs && !used)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a model not trained on a sample (member 0), found none among %lld",
                       references, (long long)a->refs->m);
    return LT_OK;
}

static lt_status add_one(lt_mia_set *a, const char *name, void *const *cfg)
{
    const lt_mia *mia;
    int index = 0;
    LT_TRY(lt_mia_find(name, &mia));
    if ((mia->needs & LT_MIA_NEED_REFERENCES) && !a->refs) {
        (void)LT_FAIL(LT_E_USAGE, "--attacks %s: this attack needs the outputs of reference models, found none",
                      mia->name);
        return lt_error_hint("give them with --references FILE.npz");
    }
    while (lt_mia_list()[index] != mia)
        index++;
    add_attack(a, index, cfg);
    return LT_OK;
}

static lt_status add_named(lt_mia_set *a, const char *which, void *const *cfg)
{
    char name[64];
    for (const char *p = which; *p;) {
        const size_t n = strcspn(p, ",");
        lti_format(name, sizeof name, "%.*s", (int)n, p);
        if (n > 0)
            LT_TRY(add_one(a, name, cfg));
        p += n + (p[n] == ',');
    }
    return LT_OK;
}

static lt_status fill_set(const lt_mia_set_spec *spec, const lt_signals *target, void *const *cfg, lt_mia_set *a)
{
    if (spec->references && *spec->references)
        LT_TRY(lt_references_open(spec->references, target, &a->refs));
    LT_TRY(spec->which && *spec->which ? add_named(a, spec->which, cfg) : add_all(a, spec->references, cfg));
    const lt_mia_in in = {target, a->refs, a->seed, a->n_threads, a->original};
    for (int i = 0; i < a->n; i++)
        LT_TRY(lt_mia_tune(a->mia[i], &in, a->cfg[i], &a->choice[i]));
    return LT_OK;
}

lt_status lt_mia_set_open(const lt_mia_set_spec *spec, const lt_signals *target, lt_mia_set *attacks)
{
    const size_t n = (size_t)registry_size();
    *attacks = (lt_mia_set){.seed = spec->seed, .n_threads = spec->n_threads, .original = spec->original};
    attacks->mia = lti_calloc(n, sizeof *attacks->mia);
    attacks->cfg = lti_calloc(n, sizeof *attacks->cfg);
    attacks->choice = lti_calloc(n, sizeof *attacks->choice);
    void **own = lti_calloc(n, sizeof *own);
    lt_status status = attacks->mia && attacks->cfg && attacks->choice && own ? LT_OK : LTI_NOMEM("attacks");
    if (status == LT_OK && !spec->cfg) {
        attacks->own = default_configs(own);
        status = attacks->own ? LT_OK : LTI_NOMEM("attacks");
    }
    if (status == LT_OK)
        status = fill_set(spec, target, spec->cfg ? spec->cfg : own, attacks);
    lti_free(own);
    if (status != LT_OK)
        lt_mia_set_clear(attacks);
    return status;
}

// ---- attacks on a reference model

// By the other reference models; NAN when they are too few. [AMUN 11.21]
static double self_auc(const lt_mia_set *attacks, int attack, const lt_signals *target)
{
    const lt_references *all = attacks->refs;
    lt_references others = *all;
    lt_signals last = *target;
    int64_t n[2] = {0};
    const size_t rows = (size_t)last.n;
    double *memory = lti_calloc(3 * rows, sizeof *memory), auc = NAN;
    if (!memory)
        return auc;
    double *score = memory, *side[2] = {memory + rows, memory + 2 * rows};
    others.m--;
    last.logits = (float *)(uintptr_t)(all->logits + others.m * all->n * all->k); // read only
    const lt_mia_in in = {&last, &others, attacks->seed, attacks->n_threads, attacks->original};
    if (lt_mia_run(attacks->mia[attack], &in, attacks->cfg[attack], score) == LT_OK) {
        for (int64_t i = 0; i < last.n; i++) {
            const int member = all->member[others.m * all->n + i];
            if (member <= LT_MEMBER_IN)
                side[member][n[member]++] = score[i];
        }
        auc = lt_auc(side[LT_MEMBER_IN], n[LT_MEMBER_IN], side[LT_MEMBER_OUT], n[LT_MEMBER_OUT]);
    }
    lt_error_clear(); // one model fewer may be too few
    lti_free(memory);
    return auc;
}

lt_status lt_mia_set_measure_self(lt_mia_set *attacks, const lt_signals *target)
{
    double *auc = lti_calloc((size_t)attacks->n + 1, sizeof *auc);
    if (!auc)
        return LTI_NOMEM("attacks");
    for (int i = 0; i < attacks->n; i++) {
        const bool has_others = attacks->refs && attacks->refs->m > 1;
        auc[i] = has_others && (attacks->mia[i]->needs & LT_MIA_NEED_REFERENCES) ? self_auc(attacks, i, target)
                                                                                 : (double)NAN;
    }
    lti_free(attacks->self_auc);
    attacks->self_auc = auc;
    return LT_OK;
}

void lt_mia_set_clear(lt_mia_set *attacks)
{
    lti_free(attacks->self_auc);
    lt_references_destroy(attacks->refs);
    lti_free(attacks->mia);
    lti_free(attacks->cfg);
    lti_free(attacks->choice);
    lti_free(attacks->own);
    *attacks = (lt_mia_set){0};
}

// ---- one model

static lt_status run_attacks(const lt_mia_set *attacks, lt_audited *out)
{
    const lt_mia_in in = {out->signals, attacks->refs, attacks->seed, attacks->n_threads, attacks->original};
    out->score = lti_calloc((size_t)attacks->n, sizeof *out->score);
    out->mia = lti_calloc((size_t)attacks->n, sizeof *out->mia);
    if (!out->score || !out->mia)
        return LTI_NOMEM("attack scores");
    for (int i = 0; i < attacks->n; i++) {
        out->score[i] = lti_calloc((size_t)out->signals->n, sizeof **out->score);
        if (!out->score[i])
            return LTI_NOMEM("attack scores");
        out->n_scores = i + 1;
        LT_TRY(lt_mia_run(attacks->mia[i], &in, attacks->cfg[i], out->score[i]));
        LT_TRY(lt_mia_measure(out->signals, attacks->mia[i], out->score[i], &out->mia[i]));
    }
    return LT_OK;
}

lt_status lt_audited_measure(const lt_mia_set *attacks, const lt_audit_cfg *cfg, lt_signals *s, lt_audited *out)
{
    *out = (lt_audited){.signals = s};
    LT_TRY(lt_audit_run_cfg(s, cfg, &out->audit));
    return attacks ? run_attacks(attacks, out) : LT_OK;
}

void lt_audited_clear(lt_audited *a)
{
    for (int i = 0; i < a->n_scores; i++)
        lti_free(a->score[i]);
    lti_free(a->score);
    lti_free(a->mia);
    lt_signals_destroy(a->signals);
    *a = (lt_audited){0};
}

double lt_audited_metric(const lt_audited *a, const lt_mia_set *attacks, lt_metric_id id, const lt_mia *attack)
{
    const lt_metric *m = lt_metric_get(id);
    if (!a)
        return (double)NAN;
    if (m->source == LT_METRIC_OF_AUDIT)
        return lt_metric_field(id, &a->audit);
    for (int i = 0; m->source == LT_METRIC_OF_ATTACK && i < a->n_scores; i++)
        if (attacks->mia[i] == attack)
            return lt_metric_field(id, &a->mia[i]);
    return (double)NAN;
}

lt_status lt_scores_save(const lt_mia_set *attacks, const lt_audited *target, const char *npz)
{
    lt_tensor *t = lti_calloc((size_t)attacks->n + 1, sizeof *t);
    if (!t)
        return LTI_NOMEM(npz);
    for (int i = 0; i < attacks->n; i++)
        t[i] = (lt_tensor){.name = attacks->mia[i]->name,
                           .dtype = LT_F64,
                           .n_dims = 1,
                           .dim = {target->signals->n},
                           .data = target->score[i],
                           .n_bytes = (size_t)target->signals->n * sizeof(double)};
    const lt_status status = lt_npz_write(npz, t, attacks->n);
    lti_free(t);
    return status;
}
