// sweep_args.c - the command line of a part. What is here decides the result; how to run (threads, output) is added
// when a part is started and is no part of its identity.
#include "sweep.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void push(cli_list *args, const char *fmt, ...) LT_PRINTF(2, 3);
static void push(cli_list *args, const char *fmt, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, fmt);
    int n = vasprintf(&text, fmt, list);
    va_end(list);
    if (n < 0)
        LT_BUG("out of memory: arguments of a part");
    cli_list_push(args, text, (size_t)n);
    free(text);
}

static void push_options(cli_list *args, const lt_study_options *options)
{
    for (int i = 0; i < options->n; i++)
        push(args, "--%s=%s", options->option[i].key, options->option[i].value);
}

static const sweep_part *find(const sweep *s, sweep_kind kind, int base, int forget)
{
    int i = sweep_find(s, kind, base, forget);
    return i < 0 ? NULL : &s->part[i];
}

static void push_forget(const sweep *s, int f, cli_list *args)
{
    push(args, "--forget=%s", s->forget[f].forget->spec);
    push(args, "--forget-seed=%llu", (unsigned long long)s->forget[f].forget->seed);
}

static void base_args(const sweep *s, const sweep_part *p, cli_list *args)
{
    push(args, "train");
    push(args, "--data=%s", s->study->data);
    push(args, "--model=%s", s->study->model);
    push_options(args, &s->study->train);
    push(args, "--seed=%llu", (unsigned long long)p->seed);
    push(args, "--out=%s/%s", s->out, p->id);
}

static void references_args(const sweep *s, const char *action, cli_list *args)
{
    const lt_study_references *r = &s->study->references;
    push(args, "store");
    push(args, "%s", action);
    push(args, "--data=%s", s->study->data);
    push(args, "--model=%s", s->study->model);
    push_options(args, &r->train);
    push(args, "--count=%d", (int)r->count);
    push(args, "--seed=%llu", (unsigned long long)r->seed);
    push(args, "--keep-seed=%llu", (unsigned long long)r->keep_seed);
    if (r->store)
        push(args, "--store=%s", r->store);
}

static void outputs_args(const sweep *s, const sweep_part *p, cli_list *args)
{
    references_args(s, "signals", args);
    for (int i = 0; i < p->n_deps; i++)
        if (s->part[p->dep[i].part].kind == SWEEP_ORACLE)
            push(args, "--like=%s/%s/signals.npz", s->out, s->part[p->dep[i].part].id);
    push(args, "--out=%s/%s.npz", s->out, p->id);
}

// What only matters to methods that attack: other methods would get another configuration for nothing.
static void unlearn_args(const sweep *s, const sweep_part *p, const char *method, cli_list *args)
{
    const sweep_part *base = find(s, SWEEP_BASE, p->base < 0 ? 0 : p->base, -1);
    push(args, "unlearn");
    push(args, "%s/%s", s->out, base->id);
    push(args, "--method=%s", method);
    push_forget(s, p->forget, args);
    push(args, "--seed=%llu", (unsigned long long)p->seed);
    push(args, "--out=%s/%s", s->out, p->id);
}

static void method_args(const sweep *s, const sweep_part *p, int point, cli_list *args)
{
    const lt_study_method *m = &s->study->method[p->method];
    unlearn_args(s, p, m->method->name, args);
    if (m->method->needs & LT_NEED_ATTACK) {
        push(args, "--cache=%s/cache", s->out);
        push(args, "--no-save-adv");
    }
    push(args, p->access == LT_ACCESS_RETAIN ? "--retain" : "--no-retain");
    push_options(args, &m->options);
    if (point >= 0)
        push_options(args, &m->point[point]);
}

static void push_audited(const sweep *s, const sweep_part *p, const char *flag, sweep_kind kind, cli_list *args)
{
    for (int i = 0; i < p->n_deps; i++) {
        const sweep_part *q = &s->part[p->dep[i].part];
        if (q->kind == kind && q->state == SWEEP_DONE)
            push(args, "--%s=%s/%s", flag, s->out, q->id);
    }
}

static void audit_args(const sweep *s, const sweep_part *p, cli_list *args)
{
    const bool tune = p->kind == SWEEP_TUNE;
    const char *objective = s->study->tuning.objective;
    push(args, "audit");
    push(args, "--allow-lint"); // what the linter says is part of the table of the study
    push(args, "%s/%s", s->out, find(s, SWEEP_BASE, p->base, -1)->id);
    push_audited(s, p, "also", tune ? SWEEP_POINT : SWEEP_RUN, args);
    push_audited(s, p, "oracle", SWEEP_ORACLE, args);
    push_forget(s, p->forget, args);
    const int outputs = sweep_find(s, SWEEP_OUTPUTS, -1, p->forget);
    if (outputs >= 0)
        push(args, "--references=%s/%s.npz", s->out, s->part[outputs].id);
    push_options(args, &s->study->audit);
    if (tune) { // no more than the objective asks for
        const lt_mia *mia;
        bool attack = !strncmp(objective, "gap-", 4) && lt_mia_find(objective + 4, &mia) == LT_OK;
        lt_error_clear();
        push(args, "--attacks=%s", attack ? objective + 4 : "loss");
        push(args, "--bootstrap=0");
    } else if (s->study->attacks) {
        push(args, "--attacks=%s", s->study->attacks);
    }
}

void sweep_make_args(const sweep *s, const sweep_part *p, cli_list *args)
{
    cli_list_clear(args);
    switch (p->kind) {
    case SWEEP_BASE:
        base_args(s, p, args);
        break;
    case SWEEP_ORACLE:
        unlearn_args(s, p, "retrain", args);
        break;
    case SWEEP_REFERENCES:
        references_args(s, "train", args);
        break;
    case SWEEP_OUTPUTS:
        outputs_args(s, p, args);
        break;
    case SWEEP_POINT:
        method_args(s, p, p->point, args);
        break;
    case SWEEP_RUN:
        method_args(s, p, s->chosen[p->method * LT_N_ACCESS + p->access], args);
        break;
    default:
        audit_args(s, p, args);
    }
}
