// engine.c - many samples at once: gather, evaluate, ask each attack what is next, refill. [ATT 1]
//
// A slot holds one sample from its first run to its last (restarts, target classes). When it is done the next waiting
// sample takes its place, so batches stay full; what remains at the end moves to smaller plans. Every pass of a sample
// is counted. Attacks that move only along their gradient may keep their images where the plan reads them
// (engine_resident.c); their slots stay in order, so that the samples in flight are always the first of the queue.
#include "attack/engine_impl.h"
#include <math.h>
#include <string.h>

static lt_status engine_init(engine *e)
{
    const lti_engine_job *job = e->job;
    const size_t slots = (size_t)e->n_slots, n = (size_t)e->n, k = (size_t)job->k;
    const size_t floats = e->resident ? LTI_RESIDENT_FLOATS : LTI_SLOT_FLOATS, bytes = job->ops->state_bytes;
    e->slot = lti_calloc(slots, sizeof *e->slot);
    e->pixels = lti_calloc(slots * floats, n * sizeof *e->pixels);
    e->state = lti_calloc(slots, bytes ? bytes : 1);
    e->next = lti_calloc(slots, sizeof *e->next);
    if (!e->slot || !e->pixels || !e->state || !e->next)
        return LTI_NOMEM("attack");
    for (size_t r = 0; r < slots; r++) {
        e->slot[r].memory = e->pixels + r * floats * n;
        e->slot[r].state = e->state + r * bytes;
    }
    e->start_s = e->emit_s = e->save_s = lti_now_s();
    if (e->resident)
        return lti_resident_init(e);
    e->query = lti_calloc(slots, sizeof *e->query);
    e->z = lti_calloc(slots, k * sizeof *e->z);
    e->dz = lti_calloc(slots, k * sizeof *e->dz);
    e->dx = lti_calloc(slots, n * sizeof *e->dx);
    e->draw_z = lti_calloc(slots, k * sizeof *e->draw_z);
    e->draw_dx = lti_calloc(slots, n * sizeof *e->draw_dx);
    e->pred = lti_calloc(slots, sizeof *e->pred);
    e->votes = lti_calloc(slots, k * sizeof *e->votes);
    const bool ok = e->query && e->z && e->dz && e->dx && e->draw_z && e->draw_dx && e->pred && e->votes;
    return ok ? LT_OK : LTI_NOMEM("attack");
}

static void engine_clear(engine *e)
{
    void *all[] = {e->slot, e->pixels, e->state,  e->query,   e->next, e->z,
                   e->dz,   e->dx,     e->draw_z, e->draw_dx, e->pred, e->votes};
    lti_resident_clear(e); // first: copies into what follows may be under way
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        lti_free(all[i]);
}

// ---- one sample

static void begin_run(engine *e, lti_slot *s)
{
    const lti_engine_job *job = e->job;
    const uint32_t key = job->ops->number << 20 | (uint32_t)(s->rank & 0xff) << 12 | (uint32_t)(s->restart & 0xfff);
    s->step = 0;
    s->target = s->goal >= 0                                ? s->goal
                : (job->ops->flags & LTI_ATTACK_PER_TARGET) ? lti_slot_ranked_class(s, s->rank)
                                                            : -1;
    s->rng = lt_rng_at(job->spec->seed, LT_STREAM_ATTACK, key, (uint64_t)s->id);
    memset(s->state, 0, job->ops->state_bytes);
    e->next[s - e->slot] = job->ops->start_run(s, job->cfg);
}

// Where the arrays of a slot lie in its memory; box and clean image of sample i.
static void lay_out_slot(engine *e, lti_slot *s, const lti_sample *sample)
{
    float *x0 = s->memory + e->n;
    s->x = s->memory;
    if (!sample->x0)
        lti_view_image(e->job->view, s->i, x0);
    s->x0 = sample->x0 ? sample->x0 : x0;
    if (e->resident)
        return;
    s->lo = s->memory + 2 * e->n;
    s->hi = s->memory + 3 * e->n;
    s->best = s->memory + 4 * e->n;
    for (int w = 0; w < LTI_SLOT_WORK; w++)
        s->work[w] = s->memory + (5 + w) * e->n;
    if (s->units)
        lti_units_box(s->units, s->x0, s->eps, s->n, s->lo, s->hi);
    else
        lti_box(s->x0, s->eps, s->n, s->lo, s->hi);
}

static void begin_sample(engine *e, lti_slot *s)
{
    const lti_engine_job *job = e->job;
    const int64_t i = job->todo[e->n_taken++];
    lti_sample *sample = &job->sample[i];
    *s = (lti_slot){.i = i,
                    .id = sample->id,
                    .n = e->n,
                    .n_classes = job->k,
                    .label = sample->label,
                    .goal = sample->goal,
                    .c = job->c,
                    .h = job->h,
                    .w = job->w,
                    .norm = (lt_norm)job->spec->norm,
                    .mode = job->mode,
                    .eps = sample->eps,
                    .clean_z = sample->clean_z,
                    .spec = job->spec,
                    .units = job->units,
                    .steps = job->steps,
                    .known = sample->found ? sample->distance : (double)INFINITY,
                    .known_x = sample->x_adv,
                    .out = sample->x_adv,
                    .memory = s->memory,
                    .form = job->ops->form,
                    .state = s->state,
                    .target = sample->goal,
                    .best_distance = INFINITY,
                    .best_loss = -INFINITY};
    lay_out_slot(e, s, sample);
    if (!job->progress) {
        begin_run(e, s);
        return;
    }
    memcpy(s->x, sample->x_adv, (size_t)s->n * sizeof *s->x);
    memcpy(s->state, (const char *)job->progress + (size_t)i * job->ops->state_bytes, job->ops->state_bytes);
    e->next[s - e->slot] = LTI_EVALUATE;
}

static void keep_progress(const engine *e, const lti_slot *s)
{
    const size_t bytes = e->job->ops->state_bytes;
    if (e->job->progress)
        memcpy((char *)e->job->progress + (size_t)s->i * bytes, s->state, bytes);
}

static void book_passes(const engine *e, lti_slot *s)
{
    lti_sample *sample = &e->job->sample[s->i];
    sample->n_forward += s->n_forward;
    sample->n_backward += s->n_backward;
    sample->n_zero += s->n_zero;
    sample->n_gradients += s->n_gradients;
    s->n_forward = s->n_backward = s->n_zero = s->n_gradients = 0;
}

static void retire_slot(engine *e, lti_slot *s)
{
    lti_sample *sample = &e->job->sample[s->i];
    const bool always = s->kept && (s->mode == LTI_MODE_TRANSFER || s->mode == LTI_MODE_BEST_LOSS);
    keep_progress(e, s);
    book_passes(e, s);
    sample->invalid = sample->invalid || s->invalid;
    sample->zero_at_start = sample->zero_at_start || s->zero_at_start;
    if (s->invalid || s->mode == LTI_MODE_FIRST) // the image goes to the sample where it lies
        return;
    const double distance =
        s->mode == LTI_MODE_TRANSFER && s->kept ? lti_distance(s->norm, s->best, s->x0, s->n) : s->best_distance;
    const bool nearer = s->mode != LTI_MODE_MIN_NORM || !sample->found || distance < sample->distance;
    if (!always && !(s->found && nearer))
        return;
    memcpy(sample->x_adv, s->best, (size_t)s->n * sizeof *s->best);
    sample->distance = distance;
    sample->adv_pred = s->best_pred;
    sample->found = s->found;
    sample->found_step = s->found_step;
    sample->run_steps = s->run_steps;
}

// The run of a slot is over. True: another one begins. A run without an early exit that ends in a success is the last
// one too, so that more runs never lose it.
static bool begin_next_run(engine *e, lti_slot *s)
{
    const lti_engine_job *job = e->job;
    if (s->invalid || ((s->mode == LTI_MODE_BUDGET || s->mode == LTI_MODE_TRANSFER) && s->found))
        return false;
    if (++s->rank == job->n_ranks) {
        s->rank = 0;
        s->restart++;
    }
    if (s->restart >= job->restarts)
        return false;
    begin_run(e, s);
    return true;
}

// ---- rows from..from+n-1 of the slots

static bool all_finite(const float *v, int64_t n)
{
    float sum = 0; // becomes NaN when one value is not finite
    for (int64_t j = 0; j < n; j++)
        sum += v[j] * 0.0f;
    return sum == 0.0f;
}

static void fill_queries(engine *e, int64_t from, int64_t n)
{
    for (int64_t r = 0; r < n; r++) {
        const lti_slot *s = &e->slot[from + r];
        e->query[from + r] = (lti_query){s->x, e->job->spec->seed ^ NOISE_SEED, (uint64_t)s->id,
                                         e->job->ops->number << 24 | ((uint32_t)s->n_forward & 0xffffff)};
    }
}

// One evaluation, or the average of several: z the mean, pred the majority. Public code uses one (--parity).
static lt_status evaluate_rows(engine *e, int64_t from, int64_t n)
{
    const int k = e->job->k, draws = e->job->spec->parity ? 1 : e->job->spec->eot;
    float *z = e->z + from * k, *draw_z = e->draw_z + from * k;
    int32_t *pred = e->pred + from, *votes = e->votes + from * k;
    fill_queries(e, from, n);
    if (draws == 1) {
        LT_TRY(lti_attack_model_forward(e->model, e->kind, e->query + from, n, z, pred));
    } else {
        memset(z, 0, (size_t)(n * k) * sizeof *z);
        memset(votes, 0, (size_t)(n * k) * sizeof *votes);
        for (int d = 0; d < draws; d++) {
            LT_TRY(lti_attack_model_forward(e->model, LTI_MODEL_FORWARD, e->query + from, n, draw_z, pred));
            for (int64_t r = 0; r < n; r++) {
                votes[r * k + pred[r]]++;
                e->query[from + r].draw++;
                for (int j = 0; j < k; j++)
                    z[r * k + j] += draw_z[r * k + j] / (float)draws;
            }
        }
        for (int64_t r = 0; r < n; r++) {
            pred[r] = 0;
            for (int32_t j = 1; j < k; j++)
                pred[r] = votes[r * k + j] > votes[r * k + pred[r]] ? j : pred[r];
        }
    }
    for (int64_t r = 0; r < n; r++)
        e->slot[from + r].n_forward += draws;
    e->n_forward += n * draws;
    return LT_OK;
}

// What an attack left to the engine to do: a step along the gradient, or back to the image.
static void move_slot(engine *e, int64_t r)
{
    lti_slot *s = &e->slot[r];
    if (e->next[r] == LTI_RESET)
        memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
    else if (e->next[r] == LTI_STEP)
        lti_l2_ball_move(s->x0, s->dx, &s->move, s->n, s->x);
    else
        return;
    e->next[r] = LTI_EVALUATE;
}

static void pass_logits(engine *e, int64_t from, int64_t n)
{
    const int k = e->job->k;
    for (int64_t r = from; r < from + n; r++) {
        lti_slot *s = &e->slot[r];
        s->z = e->z + r * k;
        s->dz = e->dz + r * k;
        s->dx = e->dx + r * e->n;
        s->pred = e->pred[r];
        s->loss = -1;
        s->invalid = !all_finite(s->z, k);
        e->next[r] = s->invalid ? LTI_STOP : e->job->ops->take_logits(s, e->job->cfg);
        move_slot(e, r);
    }
}

static void clear_unused(engine *e, int64_t from, int64_t n)
{
    for (int64_t r = from; r < from + n; r++)
        if (e->next[r] != LTI_GRADIENT)
            memset(e->dz + r * e->job->k, 0, (size_t)e->job->k * sizeof *e->dz);
}

// The mean over draws of the noise of gradients, each of its own loss. Public code keeps the last of them (--parity).
static lt_status average_gradients(engine *e, int64_t from, int64_t n)
{
    const int k = e->job->k, draws = e->job->spec->eot;
    float *dx = e->dx + from * e->n, *z = e->draw_z + from * k, *draw_dx = e->draw_dx + from * e->n;
    memset(dx, 0, (size_t)(n * e->n) * sizeof *dx);
    fill_queries(e, from, n);
    for (int d = 0; d < draws; d++) {
        LT_TRY(lti_attack_model_forward(e->model, e->kind, e->query + from, n, z, e->pred + from));
        for (int64_t r = 0; r < n; r++) {
            lti_slot *s = &e->slot[from + r];
            s->n_forward += e->next[from + r] == LTI_GRADIENT;
            s->n_backward += e->next[from + r] == LTI_GRADIENT;
            e->query[from + r].draw++;
            if (e->next[from + r] == LTI_GRADIENT && s->loss >= 0)
                lti_loss(s->loss, &(lti_loss_in){z + r * k, k, s->label, s->target}, s->dz);
        }
        LT_TRY(lti_attack_model_backward(e->model, e->kind, e->dz + from * k, n, draw_dx));
        const float share = !e->job->spec->parity ? 1.0f / (float)draws : d == draws - 1 ? 1.0f : 0.0f;
        for (int64_t j = 0; j < n * e->n; j++)
            dx[j] += draw_dx[j] * share;
    }
    return LT_OK;
}

static lt_status gradient_rows(engine *e, int64_t from, int64_t n)
{
    clear_unused(e, from, n);
    if (e->job->spec->eot > 1)
        return average_gradients(e, from, n);
    for (int64_t r = from; r < from + n; r++)
        e->slot[r].n_backward += e->next[r] == LTI_GRADIENT;
    return lti_attack_model_backward(e->model, e->kind, e->dz + from * e->job->k, n, e->dx + from * e->n);
}

static void pass_gradients(engine *e, int64_t from, int64_t n)
{
    for (int64_t r = from; r < from + n; r++) {
        lti_slot *s = &e->slot[r];
        if (e->next[r] != LTI_GRADIENT)
            continue;
        float most = 0, bad = 0;
        for (int64_t j = 0; j < s->n; j++) {
            const float v = fabsf(s->dx[j]);
            most = v > most ? v : most;
            bad += v * 0.0f;
        }
        s->dx_max = (double)most;
        s->invalid = bad != 0.0f;
        if (e->job->ops->flags & LTI_ATTACK_ROW_STEPS)
            s->dx_norm = lti_l2_ball_distance(s->dx, NULL, s->n);
        e->next[r] = s->invalid ? LTI_STOP : e->job->ops->take_gradient(s, e->job->cfg);
        move_slot(e, r);
    }
}

static bool any_wants_gradient(const engine *e, int64_t from, int64_t n)
{
    for (int64_t r = from; r < from + n; r++)
        if (e->next[r] == LTI_GRADIENT)
            return true;
    return false;
}

// A second gradient at one point, in a plan whose first one has consumed the activations: they are rematerialized.
static lt_status renew_activations(engine *e, int64_t from, int64_t n)
{
    if (e->kind == LTI_MODEL_GRADIENTS || e->job->spec->eot > 1)
        return LT_OK;
    for (int64_t r = from; r < from + n; r++)
        e->slot[r].n_forward += e->next[r] == LTI_GRADIENT;
    return lti_attack_model_forward(e->model, e->kind, e->query + from, n, e->draw_z + from * e->job->k,
                                    e->pred + from);
}

static lt_status step_rows(engine *e, int64_t from, int64_t n)
{
    LT_TRY(evaluate_rows(e, from, n));
    pass_logits(e, from, n);
    for (int pass = 0; any_wants_gradient(e, from, n); pass++) {
        if (pass > 0)
            LT_TRY(renew_activations(e, from, n));
        LT_TRY(gradient_rows(e, from, n));
        pass_gradients(e, from, n);
    }
    return LT_OK;
}

// ---- all samples

// Slots change places with the memory that they point to.
static void swap_slots(engine *e, int64_t a, int64_t b)
{
    const lti_slot slot = e->slot[a];
    const lti_next next = e->next[a];
    e->slot[a] = e->slot[b];
    e->slot[b] = slot;
    e->next[a] = e->next[b];
    e->next[b] = next;
}

static void fill_slots(engine *e)
{
    while (e->n_active < e->n_slots && e->n_taken < e->n_todo)
        begin_sample(e, &e->slot[e->n_active++]);
}

// Slots whose run is over start the next one, or make room.
static void turn_over(engine *e)
{
    for (int64_t r = 0; r < e->n_active;) {
        lti_slot *s = &e->slot[r];
        if (e->next[r] != LTI_STOP || begin_next_run(e, s)) {
            r += e->next[r] != LTI_STOP; // a run may be over before it begins
            continue;
        }
        retire_slot(e, s);
        if (e->n_taken < e->n_todo)
            begin_sample(e, s);
        else
            swap_slots(e, r, --e->n_active);
    }
}

// Of the first n slots those whose run is over leave; the others keep their order, and the next of the queue follow.
static lt_status turn_over_in_order(engine *e, int64_t n)
{
    int64_t kept = 0;
    LT_TRY(lti_resident_retire(e, n));
    for (int64_t r = 0; r < e->n_active; r++)
        if (r < n && e->next[r] == LTI_STOP)
            retire_slot(e, &e->slot[r]);
        else
            swap_slots(e, kept++, r);
    e->n_active = kept;
    fill_slots(e);
    return LT_OK;
}

static int64_t count_left(const engine *e)
{
    return e->n_active + e->n_todo - e->n_taken;
}

static void emit_progress(engine *e)
{
    const double now = lti_now_s();
    const lti_engine_job *job = e->job;
    if (now - e->emit_s < 0.2 && e->n_active > 0)
        return;
    e->emit_s = now;
    const lt_field fields[] = {{"images_per_s", now > e->start_s ? (double)e->n_forward / (now - e->start_s) : 0}};
    lt_emit(job->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                          .name = "attack.progress",
                                          .done = job->n_all - count_left(e),
                                          .total = job->n_all,
                                          .unit = "samples",
                                          .epoch = -1,
                                          .step = -1,
                                          .fields = fields,
                                          .n_fields = 1});
}

// todo becomes what is left, in the order of the slots; images and states of what is under way go to the samples.
static lt_status suspend(engine *e)
{
    const lti_engine_job *job = e->job;
    const int64_t waiting = e->n_todo - e->n_taken;
    if (!job->progress)
        return LT_OK;
    LT_TRY(lti_resident_write_back(e));
    for (int64_t r = 0; r < e->n_active; r++) {
        keep_progress(e, &e->slot[r]);
        book_passes(e, &e->slot[r]);
    }
    memmove(job->todo + e->n_active, job->todo + e->n_taken, (size_t)waiting * sizeof *job->todo);
    for (int64_t r = 0; r < e->n_active; r++)
        job->todo[r] = e->slot[r].i;
    e->n_todo = e->n_active + waiting;
    e->n_taken = e->n_active;
    *job->n_left = e->n_todo;
    return LT_OK;
}

static lt_status stop_here(engine *e)
{
    const int64_t left = count_left(e);
    LT_TRY(suspend(e));
    return LT_FAIL(LT_E_INTERRUPTED, "attack interrupted with %lld of %lld samples done",
                   (long long)(e->job->n_all - left), (long long)e->job->n_all);
}

static lt_status save_progress(engine *e)
{
    const double now = lti_now_s();
    if (!e->job->save || now - e->save_s < e->job->save_every_s)
        return LT_OK;
    e->save_s = now;
    LT_TRY(suspend(e));
    e->job->save(e->job->save_ctx);
    return LT_OK;
}

// All slots once.
static lt_status step_all(engine *e)
{
    int64_t rows = 0;
    if (e->resident) {
        LT_TRY(lti_resident_step(e, &rows));
        return turn_over_in_order(e, rows);
    }
    for (int64_t at = 0; at < e->n_active; at += rows) {
        rows = lti_attack_model_rows(e->model, e->n_active - at);
        LT_TRY(step_rows(e, at, rows));
    }
    turn_over(e);
    return LT_OK;
}

static lt_status run_all(engine *e)
{
    fill_slots(e);
    if (!e->resident)
        turn_over(e);
    while (e->n_active > 0) {
        if (lt_interrupted(e->job->env->stop))
            return stop_here(e);
        LT_TRY(step_all(e));
        emit_progress(e);
        LT_TRY(save_progress(e));
    }
    return suspend(e);
}

lt_status lti_engine_run(lti_attack_model *model, const lti_engine_job *job)
{
    engine e = {.job = job, .model = model, .n = (int64_t)job->c * job->h * job->w, .n_todo = job->n_todo};
    e.resident = job->grad != NULL;
    e.n_slots = job->spec->batch < job->n_todo ? job->spec->batch : job->n_todo;
    e.kind = job->ops->flags & LTI_ATTACK_FORWARD_ONLY     ? LTI_MODEL_FORWARD
             : job->ops->flags & LTI_ATTACK_MANY_GRADIENTS ? LTI_MODEL_GRADIENTS
                                                           : LTI_MODEL_GRADIENT;
    if (job->n_todo == 0)
        return LT_OK;
    lt_status status = engine_init(&e);
    if (status == LT_OK)
        status = run_all(&e);
    engine_clear(&e);
    return status;
}
