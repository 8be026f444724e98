// runner_fixture.h - studies whose jobs a stand-in for the command runs.
#ifndef LT_TEST_RUNNER_FIXTURE_H
#define LT_TEST_RUNNER_FIXTURE_H
#include "lt_test.h"
#include "base/base.h"
#include "lethe/study.h"
#include "study/runner_impl.h"
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

// The k-th model of an audit (the original is 0, oracles 1 and 2, runs 3 and 4) has metrics that are k hundredths and
// thousandths of their own, so that no two are equal. Only the first run leaves the forgotten classes their accuracy. A
// run with the option lr=13 fails, one with lr=14 diverges.
static const char stand_in[] =
    "echo \"$*\" >>\"$(dirname \"$0\")/calls\"\n"
    "model() { echo \"{\\\"ua\\\":0.$1"
    "1,\\\"ra\\\":0.$1"
    "2,\\\"ta\\\":0.$1"
    "3,\\\"avg_gap\\\":0.$1"
    "8,\\\"avg_gap_auc\\\":0.$1"
    "9,\"\n"
    "  echo \"\\\"svc_mia\\\":{\\\"confidence\\\":0.$1"
    "4},\\\"rmia\\\":{\\\"ft_auc\\\":0.$1"
    "6,\\\"fr_auc\\\":0.$1"
    "7,\"\n"
    "  echo \"\\\"ft_tpr_at_1_fpr\\\":0.$1"
    "05,\\\"ft_tpr_at_0_1_fpr\\\":0.$1"
    "06},\"\n"
    "  echo \"\\\"auc\\\":{\\\"phi\\\":{\\\"ft\\\":0.$1"
    "5},\\\"phi_tpr_at_1_fpr\\\":0.$1"
    "01},\"\n"
    "  echo \"\\\"class_audit\\\":{\\\"acc_f\\\":0.$(($1 == 4 ? 9 : 1)),\\\"mia_nn\\\":{\\\"gap\\\":0.$1"
    "},\\\"oracles\\\":[{\\\"acc_f\\\":0.1},{\\\"acc_f\\\":0.1}]},\"\n"
    "  echo \"\\\"lint\\\":[{\\\"id\\\":\\\"few-test\\\",\\\"text\\\":\\\"few\\\"}],\"\n"
    "  echo \"\\\"verdict\\\":{\\\"overall\\\":\\\"indistinguishable\\\",\\\"ua\\\":\\\"distinguishable\\\"}\"; }\n"
    "out= also=-2 oracles=0\n"
    "for a; do case $a in --out=*) out=${a#--out=};; --oracle=*) oracles=$((oracles+1));;\n"
    "  --lr=13) echo '{\"error\":{\"message\":\"thirteen\"}}'; exit 1;; --lr=14) exit 5;; -*) ;;\n"
    "  *) also=$((also+1));; esac; done\n" // arguments after the verb and the audited run
    "case $1 in\n"
    "train|unlearn) mkdir -p $out; echo '{\"passes\":{\"search\":{\"forward\":1,\"backward\":2},\"mask\":"
    "{\"forward\":3,\"backward\":4},\"update\":{\"forward\":5,\"backward\":6}},\"time\":{\"search_s\":7,\"mask_s\":8,"
    "\"update_s\":9,\"eval_s\":10}}' >$out/result.json; : >$out/DONE; echo '{}';;\n"
    "store) case $out in *.npz) : >$out;; esac; echo '{}';;\n"
    "audit) model 1; k=0; echo ',\"oracles\":['; while [ $k -lt $oracles ]; do [ $k = 0 ] || echo ,; k=$((k+1));\n"
    "  model $((k+1)); echo '}'; done; k=0; echo '],\"also\":['; while [ $k -lt $also ]; do [ $k = 0 ] || echo ,;\n"
    "  k=$((k+1)); model $((k+3)); echo '}'; done; echo ']}';;\n"
    "esac\n";

static const char basic[] =
    "study: stand-in\n"
    "data: synthetic,train=40,test=20\n"
    "model: simple-conv:width=4\n"
    "bases: [1]\n"
    "forget: [{spec: 'random:25%', seed: 1}]\n"
    "oracles: [1, 2]\n"
    "references: {count: 4}\n"
    "tuning: {base: 1, forget: {spec: 'random:25%', seed: 9}, objective: gap-mis, oracles: [1]}\n";

static inline void assert_near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("expected %.15g, got %.15g", b, a);
}

typedef struct world {
    char dir[256], out[300], calls[300];
    lt_executor *executor;
    lt_dataset *ds;
} world;

static inline int set_up(void **state)
{
    world *w = calloc(1, sizeof *w);
    char program[300], script[sizeof stand_in + 16];
    snprintf(w->dir, sizeof w->dir, "%s/runner-XXXXXX", lt_test_root());
    if (!mkdtemp(w->dir))
        return 1;
    snprintf(w->out, sizeof w->out, "%s/out", w->dir);
    snprintf(w->calls, sizeof w->calls, "%s/calls", w->dir);
    snprintf(program, sizeof program, "%s/program", w->dir);
    snprintf(script, sizeof script, "#!/bin/sh\n%s", stand_in);
    assert_ok(lt_write_file_atomic(program, script, strlen(script)));
    chmod(program, 0755);
    assert_ok(lt_executor_open("local", &(lt_executor_cfg){.program = program, .slots = 2}, &w->executor));
    assert_ok(lt_dataset_open("synthetic,train=40,test=20", NULL, &w->ds));
    *state = w;
    return 0;
}

static inline int tear_down(void **state)
{
    world *w = *state;
    char command[400];
    lt_executor_close(w->executor);
    lt_dataset_close(w->ds);
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    const int failed = system(command); // NOLINT(cert-env33-c)
    free(w);
    return failed;
}

typedef struct session { // one study with its runner
    lt_study *study;
    lt_study_runner *runner;
} session;

static inline session open_text(world *w, const char *text, const lt_interrupt_flag *stop)
{
    session s;
    assert_ok(lt_study_parse(text, strlen(text), "s.yaml", &s.study));
    assert_ok(lt_study_runner_create(
        &(lt_study_order){.study = s.study, .ds = w->ds, .out = w->out, .executor = w->executor, .stop = stop},
        &s.runner));
    return s;
}

static inline session open_session(world *w, const char *methods, const lt_interrupt_flag *stop)
{
    char text[sizeof basic + 512];
    snprintf(text, sizeof text, "%smethods:\n%s", basic, methods);
    return open_text(w, text, stop);
}

static inline void close_session(session *s)
{
    lt_study_runner_destroy(s->runner);
    lt_study_close(s->study);
}

static inline lt_study_result run_session(world *w, const char *methods)
{
    lt_study_result x;
    session s = open_session(w, methods, NULL);
    assert_ok(lt_study_run(s.runner));
    assert_ok(lt_study_summarize(s.runner, &x));
    close_session(&s);
    return x;
}

static inline double value_of(const lt_study_result *x, const lt_study_row *row, const char *column)
{
    const int m = lti_study_metric_index(x, column);
    assert_true(m >= 0);
    return row->value[m];
}

static inline const lt_study_row *row_of(const lt_study_result *x, lt_study_role role, int k)
{
    for (int i = 0; i < x->n_rows; i++)
        if (x->row[i].role == role && k-- == 0)
            return &x->row[i];
    fail_msg("no row of role %d", role);
    abort();
}

static inline int count_calls(const world *w, const char *part)
{
    char *text;
    size_t n_bytes;
    int n = 0;
    if (lt_read_file(w->calls, 1 << 20, &text, &n_bytes) != LT_OK)
        return 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        n += strstr(line, part) != NULL;
    free(text);
    return n;
}

#define FT "  - {method: ft, access: [retain], options: {epochs: 1}}\n"
#define SEARCH "  - {method: ft, access: [retain], grid: {lr: [0.1, 0.2]}}\n"
#endif
