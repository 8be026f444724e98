// audit_mia.c - membership attacks of `lethe audit`: choosing them, running them, their scores and figures.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- options: one block of all config structs

static size_t cfg_offset(const lt_mia *mia)
{
    enum { ALIGN = 16 };
    size_t at = 0;
    for (const lt_mia *const *m = lt_mia_list(); *m && *m != mia; m++)
        at += ((*m)->cfg_size + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

lt_status cli_attacks_bind(cli_call *call)
{
    call->extra_cfg = cli_alloc(cfg_offset(NULL) + 1, 1);
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        if ((*m)->opts[0].name)
            LT_TRY(cli_bind(call, (*m)->name, (*m)->opts, (char *)call->extra_cfg + cfg_offset(*m), 0));
    return LT_OK;
}

void cli_attacks_defaults(cli_call *call)
{
    if (call->extra_cfg)
        return;
    call->extra_cfg = cli_alloc(cfg_offset(NULL) + 1, 1);
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        lt_options_defaults((*m)->opts, (char *)call->extra_cfg + cfg_offset(*m));
}

void cli_attacks_help(const cli_call *call, FILE *out)
{
    fputs("\nMembership attacks (--attacks), and their options:\n", out);
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        fprintf(out, "  %-16s %s%s\n", (*m)->name, (*m)->title,
                (*m)->needs & LT_MIA_NEED_REFERENCES ? "; needs --references" : "");
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        for (const lt_option *o = (*m)->opts; o->name; o++)
            fprintf(out, "  --%s.%s: %s\n", (*m)->name, o->name, o->help);
    (void)call;
}

// ---- choice

static void add(cli_attacks *attacks, const cli_call *call, const lt_mia *mia)
{
    const lt_mia **list = cli_alloc((size_t)attacks->n + 1, sizeof *list);
    void **cfg = cli_alloc((size_t)attacks->n + 1, sizeof *cfg);
    for (int i = 0; i < attacks->n; i++) {
        if (attacks->mia[i] == mia) { // named twice
            free(list);
            free(cfg);
            return;
        }
        list[i] = attacks->mia[i];
        cfg[i] = attacks->cfg[i];
    }
    list[attacks->n] = mia;
    cfg[attacks->n] = (char *)call->extra_cfg + cfg_offset(mia);
    free(attacks->mia);
    free(attacks->cfg);
    attacks->mia = list;
    attacks->cfg = cfg;
    attacks->n++;
}

// The kinds of models that the file has for any sample, as LT_MIA_NEED_*.
static unsigned kinds_of(const lt_references *refs)
{
    unsigned kinds = 0;
    for (int64_t i = 0; refs && i < refs->m * refs->n; i++)
        kinds |= 1u << refs->member[i];
    return kinds;
}

// Whether every sample has its models is not asked here: a file that leaves one out is an error.
static lt_status add_all(cli_attacks *attacks, const cli_call *call, const char *references)
{
    const unsigned kinds = kinds_of(attacks->refs);
    bool used = false;
    for (const lt_mia *const *m = lt_mia_list(); *m; m++) {
        const unsigned needs = (*m)->needs & LT_MIA_NEED_REFERENCES;
        if (needs & ~kinds)
            continue;
        used = used || needs;
        add(attacks, call, *m);
    }
    if (attacks->refs && !used)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a model not trained on a sample (member 0), found none among %lld",
                       references, (long long)attacks->refs->m);
    return LT_OK;
}

static lt_status add_named(cli_attacks *attacks, const cli_call *call, const char *which)
{
    cli_list names = {0};
    lt_status status = LT_OK;
    cli_list_add(&names, which);
    for (int i = 0; i < names.n && status == LT_OK; i++) {
        const lt_mia *mia;
        status = lt_mia_find(names.item[i], &mia);
        if (status == LT_OK && (mia->needs & LT_MIA_NEED_REFERENCES) && !attacks->refs) {
            LT_FAIL(LT_E_USAGE, "--attacks %s: this attack needs the outputs of reference models, found none",
                    mia->name);
            status = lt_error_hint("give them with --references FILE.npz");
        }
        if (status == LT_OK)
            add(attacks, call, mia);
    }
    cli_list_clear(&names);
    return status;
}

lt_status cli_attacks_open(cli_call *call, const char *which, const char *references, const lt_signals *target,
                           cli_attacks *attacks)
{
    *attacks = (cli_attacks){.seed = call->seed.seed, .n_threads = cli_threads(call)};
    if (references && *references)
        LT_TRY(lt_references_open(references, target, &attacks->refs));
    LT_TRY(which && *which ? add_named(attacks, call, which) : add_all(attacks, call, references));
    const lt_mia_in in = {target, attacks->refs, attacks->seed, attacks->n_threads};
    attacks->choice = cli_alloc((size_t)attacks->n, sizeof *attacks->choice);
    for (int i = 0; i < attacks->n; i++)
        LT_TRY(lt_mia_tune(attacks->mia[i], &in, attacks->cfg[i], &attacks->choice[i]));
    return LT_OK;
}

void cli_attacks_clear(cli_attacks *attacks)
{
    lt_references_destroy(attacks->refs);
    free(attacks->mia);
    free(attacks->cfg);
    free(attacks->choice);
    *attacks = (cli_attacks){0};
}

// ---- figures

static json_t *figures_json(const lt_mia_metrics *f)
{
    json_t *j = json_object();
    cli_put_real(j, "ft_auc", f->auc.ft);
    cli_put_real(j, "fr_auc", f->auc.fr);
    cli_put_real(j, "rt_auc", f->auc.rt);
    cli_put_real(j, "ft_tpr_at_1_fpr", f->tpr_1.ft);
    cli_put_real(j, "fr_tpr_at_1_fpr", f->tpr_1.fr);
    cli_put_real(j, "rt_tpr_at_1_fpr", f->tpr_1.rt);
    cli_put_real(j, "ft_tpr_at_0_1_fpr", f->tpr_01.ft);
    cli_put_real(j, "fr_tpr_at_0_1_fpr", f->tpr_01.fr);
    cli_put_real(j, "rt_tpr_at_0_1_fpr", f->tpr_01.rt);
    cli_put_real(j, "ft_accuracy", f->ft_acc);
    return j;
}

static lt_status run_attacks(const cli_attacks *attacks, cli_audited *out)
{
    const lt_mia_in in = {out->signals, attacks->refs, attacks->seed, attacks->n_threads};
    out->score = cli_alloc((size_t)attacks->n, sizeof *out->score);
    out->mia = cli_alloc((size_t)attacks->n, sizeof *out->mia);
    for (int i = 0; i < attacks->n; i++) {
        out->score[i] = cli_alloc((size_t)out->signals->n, sizeof **out->score);
        out->n_scores = i + 1;
        LT_TRY(lt_mia_run(attacks->mia[i], &in, attacks->cfg[i], out->score[i]));
        LT_TRY(lt_mia_measure(out->signals, attacks->mia[i], out->score[i], &out->mia[i]));
        cli_put(out->json, attacks->mia[i]->name, figures_json(&out->mia[i]));
    }
    return LT_OK;
}

lt_status cli_audited_measure(const cli_attacks *attacks, const lt_audit_cfg *cfg, lt_signals *s, cli_audited *out)
{
    *out = (cli_audited){.signals = s};
    LT_TRY(lt_audit_run_cfg(s, cfg, &out->audit));
    out->json = cli_audit_json(&out->audit);
    for (const lt_mia *const *m = lt_mia_list(); *m; m++)
        cli_put(out->json, (*m)->name, json_null());
    return attacks ? run_attacks(attacks, out) : LT_OK;
}

void cli_audited_clear(cli_audited *a)
{
    for (int i = 0; i < a->n_scores; i++)
        free(a->score[i]);
    free(a->score);
    free(a->mia);
    json_decref(a->json);
    lt_signals_destroy(a->signals);
    *a = (cli_audited){0};
}

lt_status cli_scores_save(const cli_attacks *attacks, const cli_audited *target, const char *npz)
{
    lt_tensor *t = cli_alloc((size_t)attacks->n, sizeof *t);
    for (int i = 0; i < attacks->n; i++)
        t[i] = (lt_tensor){.name = attacks->mia[i]->name,
                           .dtype = LT_F64,
                           .n_dims = 1,
                           .dim = {target->signals->n},
                           .data = target->score[i],
                           .n_bytes = (size_t)target->signals->n * sizeof(double)};
    lt_status status = lt_npz_write(npz, t, attacks->n);
    free(t);
    return status;
}

// ---- how good the references are: the last of them attacked by the others [AMUN 11.21]

// AUC of the samples the last model was trained on against those it was not; NAN when the others cannot tell.
static double self_auc(const cli_attacks *attacks, int attack, const lt_signals *target)
{
    const lt_references *all = attacks->refs;
    lt_references others = *all;
    lt_signals last = *target;
    int64_t n[2] = {0};
    double *side[2], *score = cli_alloc((size_t)last.n, sizeof *score), auc = NAN;
    others.m--;
    last.logits = (float *)(uintptr_t)(all->logits + others.m * all->n * all->k); // read only
    for (int i = 0; i < 2; i++)
        side[i] = cli_alloc((size_t)last.n, sizeof *side[i]);
    const lt_mia_in in = {&last, &others, attacks->seed, attacks->n_threads};
    if (lt_mia_run(attacks->mia[attack], &in, attacks->cfg[attack], score) == LT_OK) {
        for (int64_t i = 0; i < last.n; i++) {
            int member = all->member[others.m * all->n + i];
            if (member <= LT_MEMBER_IN)
                side[member][n[member]++] = score[i];
        }
        auc = lt_auc(side[LT_MEMBER_IN], n[LT_MEMBER_IN], side[LT_MEMBER_OUT], n[LT_MEMBER_OUT]);
    }
    lt_error_clear(); // one model fewer may be too few
    free(score);
    free(side[0]);
    free(side[1]);
    return auc;
}

static json_t *choice_json(const lt_mia_tuning *c)
{
    json_t *j = json_object(), *tried = json_array();
    cli_put_real(j, c->option, c->value);
    for (int i = 0; i < c->n; i++) {
        json_t *one = json_object();
        cli_put_real(one, c->option, c->tried[i]);
        cli_put_real(one, "auc", c->auc[i]);
        json_array_append_new(tried, one);
    }
    cli_put(j, "tried", tried);
    return j;
}

json_t *cli_references_json(const cli_attacks *attacks, const lt_signals *target)
{
    if (!attacks->refs)
        return json_null();
    json_t *j = json_object(), *self = json_object();
    cli_put(j, "n", json_integer(attacks->refs->m));
    for (int i = 0; i < attacks->n; i++)
        if ((attacks->mia[i]->needs & LT_MIA_NEED_REFERENCES) && attacks->refs->m > 1)
            cli_put_real(self, attacks->mia[i]->name, self_auc(attacks, i, target));
    cli_put(j, "self_auc", self);
    json_t *chosen = json_object();
    for (int i = 0; i < attacks->n; i++)
        if (attacks->choice[i].n)
            cli_put(chosen, attacks->mia[i]->name, choice_json(&attacks->choice[i]));
    cli_put(j, "chosen", chosen);
    return j;
}
