// fuzz_study.c - arbitrary bytes as a study file. An accepted study must keep what its header promises.
#include "lethe/study.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_options(const lt_study_options *o)
{
    for (int i = 0; i < o->n; i++)
        if (!o->option[i].key[0] || strchr(o->option[i].key, '_') || !o->option[i].value)
            abort();
}

static void check_method(const lt_study *s, const lt_study_method *m)
{
    if (!m->name[0] || strchr(m->name, '/') || !m->method || !(m->access[0] || m->access[1]))
        abort();
    if (m->n_points > s->tuning.budget || m->n_grid > m->n_points || (m->n_points && !s->tuning.forget.spec))
        abort();
    check_options(&m->options);
    for (int i = 0; i < m->n_points; i++)
        check_options(&m->point[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lt_study *s;
    if (lt_study_parse((const char *)bytes, n, "fuzz", &s) != LT_OK) {
        if (s || strncmp(lt_error_get()->message, "fuzz:", 5) != 0)
            abort();
        return 0;
    }
    if (s->bases.n < 1 || s->oracles.seeds.n < 1 || s->repetitions.n < 1 || s->n_forget < 1 || s->n_methods < 1)
        abort();
    for (int i = 0; i < s->n_forget; i++)
        if (!s->forget[i].name[0] || strchr(s->forget[i].name, '/'))
            abort();
    for (int i = 0; i < s->n_methods; i++)
        check_method(s, &s->method[i]);
    check_options(&s->train);
    check_options(&s->audit);
    lt_study_close(s);
    return 0;
}
