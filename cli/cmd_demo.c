// cmd_demo.c - `lethe demo`: options, progress and tables of the demonstration (lethe/demo.h).
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    lt_demo_cfg demo;
    lt_audit_cfg audit;
};
static const cli_group groups[] = {
    {"", "Sizes", lt_demo_options, offsetof(struct opts, demo), LT_OPTGROUP_FLAGS},
    {"audit", "Audit", lt_audit_options, offsetof(struct opts, audit), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

static void show_step(void *ctx, const lt_demo_step *step)
{
    cli_call *call = ctx;
    char forget[24], test[24];
    if (step->is_done) {
        const bool trains = !isfinite(step->forget_acc);
        cli_say(call->session, "      %s accuracy %s %%, test accuracy %s %%, %.1f s", trains ? "train" : "forget",
                cli_percent(trains ? step->train_acc : step->forget_acc, forget), cli_percent(step->test_acc, test),
                step->seconds);
        return;
    }
    if (step->title)
        cli_say(call->session, "[%d/%d] %s", step->number, step->n_steps, step->title);
    cli_progress_part(call->session->progress, step->from, step->to);
    if (step->title)
        cli_progress_stage(call->session->progress, "[%d/%d]", step->number, step->n_steps);
}

// The session owns the data set from now on.
static lt_status open_data(cli_call *call, lt_demo_order *order)
{
    const struct opts *o = call->opts;
    cli_session *s = call->session;
    LT_TRY(lt_demo_open_data(&o->demo, s->events, &s->data_spec, &s->data, &order->is_stand_in));
    order->data = s->data_spec;
    order->ds = s->data;
    if (order->is_stand_in && !(call->common.json && call->common.quiet)) {
        FILE *out = call->common.json ? stderr : stdout;
        fprintf(out, "No real data set found, so this demo uses the built-in synthetic one; `lethe data get cifar10` "
                     "fetches CIFAR-10.\n");
        fflush(out);
    }
    return LT_OK;
}

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_env env;
    char *json;
    LT_TRY(cli_positional(call, NULL, 0, 0));
    LT_TRY(lt_demo_class_defaults(&o->demo, call->set));
    lt_demo_order order = {.cfg = o->demo,
                           .audit = o->audit,
                           .seed = call->seed.seed,
                           .compute = call->compute,
                           .env = &env,
                           .out = call->run_dir.out && *call->run_dir.out ? call->run_dir.out : "runs/demo",
                           .force = call->run_dir.force,
                           .n_threads = cli_threads(call),
                           .on_step = show_step,
                           .ctx = call};
    LT_TRY(open_data(call, &order));
    cli_catch_signals(call->session);
    LT_TRY(cli_env(call, &env));
    lt_status status = lt_demo_run(&order, &json);
    cli_progress_clear(call->session->progress);
    if (status == LT_E_INTERRUPTED)
        lt_error_hint("the same command goes on where this one stopped");
    if (status == LT_OK)
        status = cli_set_result(call, json, "demo");
    free(json);
    return status;
}

static const char sample_notes[] =
    "\nThe oracle was trained without the forgotten samples; the smaller the average gap to it (in points), the "
    "better.\n"
    "MIS: share of forgotten samples an SVC on the confidence calls non-members.\n";
static const char class_notes[] =
    "\nThe oracles were trained without the forgotten class; a method that forgot it behaves as they do.\n"
    "acc_f, acc_r: test accuracy on the forgotten class and on the others. SVC-MIA: share of the forgotten class's "
    "test\n"
    "images that an SVC on the confidence calls non-members; nearly every method reaches 100. class-MIA: share of "
    "them\n"
    "that is accepted as the nearest class that stays; gap: its distance from the oracles; TV: distance of the "
    "outputs\n"
    "from theirs (both in points, the smaller, the better). Read acc_f first: a method that leaves it above the "
    "oracles' "
    "has\n"
    "not forgotten the class, whatever its other metrics say. logit-mask is a control: it hides the class and "
    "unlearns\n"
    "nothing, so an audit that it passes proves nothing.\n";

static bool has_class_audits(const json_t *rows)
{
    size_t i;
    const json_t *row;
    json_array_foreach((json_t *)rows, i, row) if (json_object_get(row, "class_audit")) return true;
    return false;
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result;
    fprintf(out, "\nForgetting %.0f training samples of %s\n\n", cli_real(r, "n_forget"), cli_text(r, "data"));
    cli_comparison_print(json_object_get(r, "rows"), out);
    const bool of_classes = has_class_audits(json_object_get(r, "rows"));
    fputs(of_classes ? class_notes : sample_notes, out);
    fprintf(out,
            "Every method ran with its default learning-rate area, scaled to the number of steps. These areas were "
            "found with\noracles%s: what a method reaches here is not what it reaches untuned.\n"
            "Report: %s    (%.0f s)\n",
            of_classes ? ", those of whole classes on other data" : ", some of them on this very demo",
            cli_text(r, "report"), cli_real(r, "wall_s"));
}

static lt_status prepare(cli_call *call)
{
    return lt_optset_set(call->set, "audit.shadow-cap", "1000", "demo"); // the SVC costs the square of it
}

const cli_verb cli_verb_demo = {
    .name = "demo",
    .usage = "[options]",
    .about =
        "Trains a narrow ResNet-18, makes it forget a tenth of its training samples by several methods, retrains a "
        "model\n"
        "without them as the oracle, compares all in one table and writes report.html. Takes minutes on two cores. "
        "Every\n"
        "step leaves a run directory under --out (default runs/demo) that `lethe eval`, `audit` and `report` can read.",
    .examples = "  lethe demo\n"
                "  lethe demo --classes\n"
                "  lethe demo --data cifar10:/data/cifar-10-batches-bin,train-limit=10000 --width 16 --epochs 40\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_PLACE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .prepare = prepare,
    .run = run,
    .print = print,
};
