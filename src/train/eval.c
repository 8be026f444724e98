// eval.c - accuracy, loss and calibration of a model on a view: un-augmented inputs, running batch norm statistics.
//
// Evaluation treats samples independently, so a last partial batch runs in the smallest compiled plan that holds it: at
// most log2(batch) plans serve views of any length. Softmax, losses and the calibration bins are in double.
#include "train_impl.h"

#include <math.h>
#include <string.h>

enum { N_BINS = 15 };

struct lt_evaluator {
    const lt_model *model;
    const lt_env *env;
    int64_t batch;
    lt_val outs[1];
    lti_plans plans;
    int64_t *class_n, *class_correct; // (n_classes)
};

typedef struct tally { // sums over the samples seen so far
    int64_t n, correct;
    double loss;
    double conf[N_BINS]; // sum of the largest probabilities
    int64_t bin_n[N_BINS], bin_correct[N_BINS];
    double last_emit_s, start_s;
} tally;

lt_status lt_evaluator_create(const lt_model *model, const lt_env *env, int64_t batch, lt_evaluator **evaluator)
{
    *evaluator = NULL;
    LT_TRY(lti_env_check(env));
    if (batch < 1 || batch > 65536)
        return LT_FAIL(LT_E_USAGE, "evaluation: expected a batch of 1 to 65536 images, found %lld", (long long)batch);
    lt_evaluator *e = lti_calloc(1, sizeof *e);
    if (!e)
        return LTI_NOMEM("evaluator");
    *e = (lt_evaluator){.model = model, .env = env, .batch = batch, .outs = {model->logits}};
    e->class_n = lti_calloc((size_t)model->shape.n_classes, sizeof *e->class_n);
    e->class_correct = lti_calloc((size_t)model->shape.n_classes, sizeof *e->class_correct);
    if (!e->class_n || !e->class_correct) {
        lt_evaluator_destroy(e);
        return LTI_NOMEM("evaluator");
    }
    e->plans.share_memory = true; // logits are copied after each run
    e->plans.graph = model->graph;
    e->plans.backend = env->backend;
    e->plans.params = model->params; // a plan without gradients in eval mode only reads its slabs
    e->plans.state = model->state;
    e->plans.spec = (lt_plan_spec){
        .outs = e->outs, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .dtype = LT_F32, .flags = env->plan_flags};
    *evaluator = e;
    return LT_OK;
}

void lti_evaluator_share(lt_evaluator *evaluator, const lti_plans *plans)
{
    evaluator->plans.share_from = plans;
}

void lt_evaluator_destroy(lt_evaluator *evaluator)
{
    if (evaluator) {
        lti_plans_clear(&evaluator->plans);
        lti_free(evaluator->class_n);
        lti_free(evaluator->class_correct);
        lti_free(evaluator);
    }
}

// One sample: z (K) logits, y its label.
static void add_sample(lt_evaluator *e, tally *t, const float *z, int32_t y)
{
    const int k = e->model->shape.n_classes, best = lti_arg_max(z, k);
    double sum = 0; // of exp(z - max)
    for (int i = 0; i < k; i++)
        sum += exp((double)z[i] - (double)z[best]);
    const double conf = 1 / sum;
    const bool correct = best == y;
    // Bins (i/15, (i+1)/15]; confidences that are not numbers go to the first.
    const int bin = conf > 0 ? (int)fmin(fmax(ceil(conf * N_BINS) - 1, 0), N_BINS - 1) : 0;
    t->n++;
    t->correct += correct;
    t->loss += log(sum) + (double)z[best] - (double)z[y];
    t->conf[bin] += conf;
    t->bin_n[bin]++;
    t->bin_correct[bin] += correct;
    e->class_n[y]++;
    e->class_correct[y] += correct;
}

// The plan for n samples: the full batch size, or for a tail the next power of two unless a compiled one serves.
static lt_status plan_for(lt_evaluator *e, int64_t n, lt_plan **plan, int64_t *size)
{
    int64_t tail = 1;
    while (tail < n)
        tail *= 2;
    *size = tail < e->batch ? tail : e->batch;
    const int64_t ready = lti_plans_fit(&e->plans, n);
    if (ready > 0 && ready < *size)
        *size = ready;
    return lti_plans_get(&e->plans, *size, plan);
}

// Accuracies of outputs that are no numbers would be accuracies of nothing.
static lt_status check_finite(const lt_batch *b, const float *z, int k)
{
    for (int64_t i = 0; i < b->n * k; i++)
        if (!isfinite(z[i]))
            return LT_FAIL(LT_E_DIVERGED,
                           "evaluation: the output of the model for sample id %lld, class %d is not finite",
                           (long long)b->id[i / k], (int)(i % k));
    return LT_OK;
}

static lt_status run_batch(lt_evaluator *e, const lt_batch *b, float *logits, tally *t)
{
    const lt_model_shape *s = &e->model->shape;
    const size_t per = (size_t)s->c * (size_t)s->h * (size_t)s->w;
    const int k = s->n_classes;
    lt_plan *plan = NULL;
    int64_t size = 0;
    LT_TRY(plan_for(e, b->n, &plan, &size));
    float *x = lt_plan_buffer(plan, e->model->x); // (size,C,H,W)
    memcpy(x, b->x, (size_t)b->n * per * sizeof *x);
    memset(x + (size_t)b->n * per, 0, (size_t)(size - b->n) * per * sizeof *x);
    LT_TRY(lt_plan_run(plan));
    const float *z = lt_plan_buffer(plan, e->model->logits); // (size,K)
    LT_TRY(check_finite(b, z, k));
    for (int64_t i = 0; i < b->n; i++)
        add_sample(e, t, z + i * k, b->y[i]);
    if (logits)
        memcpy(logits + (t->n - b->n) * k, z, (size_t)(b->n * k) * sizeof *logits);
    return LT_OK;
}

static void progress(const lt_evaluator *e, const lt_view *view, tally *t)
{
    const double now = lti_now_s();
    if (now - t->last_emit_s < 0.2 && t->n < view->n)
        return;
    t->last_emit_s = now;
    const lt_field fields[] = {{"acc", (double)t->correct / (double)t->n},
                               {"loss", t->loss / (double)t->n},
                               {"images_per_s", now > t->start_s ? (double)t->n / (now - t->start_s) : 0}};
    lt_emit(e->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                        .name = "eval.progress",
                                        .done = t->n,
                                        .total = view->n,
                                        .unit = "images",
                                        .epoch = -1,
                                        .step = -1,
                                        .fields = fields,
                                        .n_fields = 3});
}

static void finish(const lt_evaluator *e, const tally *t, double *per_class_acc, lt_eval_result *result)
{
    const double n = (double)t->n;
    *result = (lt_eval_result){.n = t->n, .acc = (double)t->correct / n, .loss = t->loss / n};
    for (int i = 0; i < N_BINS; i++) // sum over bins of n_b/n |acc_b - conf_b|
        result->ece += fabs((double)t->bin_correct[i] - t->conf[i]) / n;
    for (int i = 0; per_class_acc && i < e->model->shape.n_classes; i++)
        per_class_acc[i] = e->class_n[i] > 0 ? (double)e->class_correct[i] / (double)e->class_n[i] : (double)NAN;
}

static lt_status run_all(lt_evaluator *e, lt_loader *loader, const lt_view *view, float *logits, tally *t)
{
    LT_TRY(lt_loader_start(loader, 0, 0));
    for (;;) {
        if (lt_interrupted(e->env->stop)) {
            return LT_FAIL(LT_E_INTERRUPTED, "evaluation interrupted after %lld of %lld images", (long long)t->n,
                           (long long)view->n);
        }
        const lt_batch *b = NULL;
        LT_TRY(lt_loader_next(loader, &b));
        if (b->n == 0)
            return LT_OK;
        LT_TRY(run_batch(e, b, logits, t));
        progress(e, view, t);
    }
}

lt_status lt_evaluator_run(lt_evaluator *e, const lt_view *view, float *logits, double *per_class_acc,
                           lt_eval_result *result)
{
    lt_view plain = *view;
    plain.augment = false;
    plain.relabel = LT_RELABEL_NONE;
    LT_TRY(lti_job_view_check(e->model, &plain, "evaluation"));
    const lt_loader_spec spec = {
        .views = &plain, .n_views = 1, .batch = e->batch, .n_threads = e->env->loader_threads, .pad = 4};
    lt_loader *loader = NULL;
    LT_TRY(lt_loader_create(&spec, &loader));
    lti_plans_changed(&e->plans);
    memset(e->class_n, 0, (size_t)e->model->shape.n_classes * sizeof *e->class_n);
    memset(e->class_correct, 0, (size_t)e->model->shape.n_classes * sizeof *e->class_correct);
    tally t = {.start_s = lti_now_s()};
    t.last_emit_s = t.start_s;
    lt_status status = LT_OK;
    LT_TRY_GOTO(run_all(e, loader, &plain, logits, &t), done);
    finish(e, &t, per_class_acc, result);
done:
    lt_loader_destroy(loader);
    return status;
}

lt_status lt_evaluate(const lt_model *model, const lt_view *view, const lt_env *env, int64_t batch, float *logits,
                      double *per_class_acc, lt_eval_result *result)
{
    lt_evaluator *e = NULL;
    LT_TRY(lt_evaluator_create(model, env, batch, &e));
    lt_status status = lt_evaluator_run(e, view, logits, per_class_acc, result);
    lt_evaluator_destroy(e);
    return status;
}
