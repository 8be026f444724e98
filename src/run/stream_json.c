// stream_json.c - the result of a stream of requests as JSON.
#include "run/stream_impl.h"
#include <math.h>
#include <string.h>

static void write_times(lti_json *j, const char *key, const double seconds[4])
{
    static const char *const name[4] = {"search_s", "mask_s", "update_s", "eval_s"};
    lti_json_begin(j, key, '{');
    for (int i = 0; i < 4; i++)
        lti_json_real(j, name[i], seconds[i]);
    lti_json_end(j, '}');
}

static void write_oracle(const lti_request_row *row, lti_json *j)
{
    const lti_request_metrics *a = &row->own, *b = &row->of_oracle;
    const double absent = NAN;
    if (!row->oracle) {
        lti_json_null(j, "oracle");
        return;
    }
    lti_json_begin(j, "oracle", '{');
    lti_json_text(j, "run", row->oracle);
    lti_json_bool(j, "same_forgotten", row->same_forgotten);
    lti_json_real(j, "distance_l2", row->oracle_l2);
    lti_json_begin(j, "difference", '{');
    lti_json_real(j, "forget_acc", a->forget_acc - b->forget_acc);
    lti_json_real(j, "retain_acc", a->retain_acc - b->retain_acc);
    lti_json_real(j, "test_acc", a->test_acc - b->test_acc);
    lti_json_real(j, "phi_ft_auc", a->phi.ft - b->phi.ft);
    lti_json_real(j, "phi_fr_auc", a->phi.fr - b->phi.fr);
    lti_json_real(j, "rmia_ft_auc", a->has_rmia ? a->rmia.ft - b->rmia.ft : absent);
    lti_json_real(j, "rmia_fr_auc", a->has_rmia ? a->rmia.fr - b->rmia.fr : absent);
    lti_json_end(j, '}');
    lti_json_begin(j, "figures", '{');
    lti_json_int(j, "n", b->n);
    lti_write_request_metrics(j, b);
    lti_json_end(j, '}');
    lti_json_end(j, '}');
}

static void write_row(const lti_stream *s, int k, lti_json *j)
{
    const lti_request_row *row = &s->row[k];
    const lt_unlearn_record *r = &row->record;
    lti_json_begin(j, NULL, '{');
    lti_write_request_metrics(j, &row->own);
    lti_json_int(j, "request", k + 1);
    lti_json_text(j, "forget", s->requests.request[k].spec);
    lti_json_int(j, "n_forget", s->requests.request[k].forget.n);
    lti_json_text(j, "run", r->dir);
    lti_json_text(j, "method", s->order->method->name);
    lti_json_int(j, "seed", (int64_t)(s->order->seed + (uint64_t)k));
    lti_json_real(j, "delta_norm_l2", r->delta_norm_l2);
    lti_json_real(j, "lr_area", r->setup.lr_area);
    write_times(j, "time", (const double[]){r->search_s, r->mask_s, r->update_s, r->eval_s});
    lti_json_text(j, "model_digest", r->model_digest);
    lti_json_real(j, "drift_from_first_l2", row->drift_l2);
    lti_json_real(j, "fr_minus_ft_auc", row->own.phi.fr - row->own.phi.ft);
    lti_json_begin(j, "cumulative", '{');
    lti_json_int(j, "n", row->cumulative.n);
    lti_write_request_metrics(j, &row->cumulative);
    lti_json_real(j, "fr_minus_ft_auc", row->cumulative.phi.fr - row->cumulative.phi.ft);
    lti_json_end(j, '}');
    write_oracle(row, j);
    lti_json_end(j, '}');
}

static void write_matrix(const lti_stream *s, lti_json *j)
{
    lti_json_begin(j, "reaudit", '[');
    for (int k = 0; k < s->requests.n; k++) {
        lti_json_begin(j, NULL, '[');
        for (int i = 0; i <= k; i++) {
            const lti_request_metrics *m = &s->matrix[k * s->requests.n + i];
            lti_json_begin(j, NULL, '{');
            lti_json_int(j, "n", m->n);
            lti_write_request_metrics(j, m);
            lti_json_int(j, "request", i + 1);
            lti_json_end(j, '}');
        }
        lti_json_end(j, ']');
    }
    lti_json_end(j, ']');
}

// A search that several requests share is counted once.
static bool is_first_search(const lti_stream *s, int k)
{
    for (int i = 0; i < k && *s->row[k].record.adv_digest; i++)
        if (!strcmp(s->row[i].record.adv_digest, s->row[k].record.adv_digest))
            return false;
    return true;
}

static void write_costs(const lti_stream *s, double start_s, lti_json *j)
{
    double seconds[4] = {0, 0, 0, s->eval_s}, images = 0;
    int64_t epochs = 0;
    for (int k = 0; k < s->requests.n; k++) {
        const lt_unlearn_record *r = &s->row[k].record;
        seconds[0] += is_first_search(s, k) ? r->search_s : 0;
        seconds[1] += r->mask_s;
        seconds[2] += r->update_s;
        seconds[3] += r->eval_s;
        images += (double)r->n_backward;
        epochs += r->epochs;
    }
    lti_json_int(j, "epochs", epochs);
    lti_json_real(j, "images_per_s", seconds[2] > 0 ? images / seconds[2] : (double)NAN);
    lti_json_real(j, "wall_s", lti_now_s() - start_s);
    write_times(j, "time", seconds);
}

static void write_accuracies(const lti_stream *s, double test_loss, lti_json *j)
{
    const lti_request_metrics *all = &s->row[s->requests.n - 1].cumulative;
    const double n_forget = (double)s->all.n, n_retain = (double)(lti_stream_n_train(s) - s->all.n - s->before.n);
    lti_json_real(j, "train_acc", (all->forget_acc * n_forget + all->retain_acc * n_retain) / (n_forget + n_retain));
    lti_json_real(j, "forget_acc", all->forget_acc);
    lti_json_real(j, "retain_acc", all->retain_acc);
    lti_json_real(j, "test_acc", all->test_acc);
    lti_json_real(j, "test_loss", test_loss);
}

lt_status lti_stream_json(const lti_stream *s, double start_s, char **json)
{
    const lt_unlearn_order *o = s->order;
    double test_loss;
    char digest[65];
    lti_json j = {0};
    LT_TRY(lti_outputs_test_loss(&s->outputs, &test_loss));
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "method", o->method->name);
    lti_json_text(&j, "title", o->method->title);
    lti_json_bool(&j, "use_retain", o->what.use_retain_data && !(o->method->needs & LT_FORGET_ONLY));
    lti_json_text(&j, "parent", o->base->name);
    lti_json_text(&j, "model", s->last.model->spec);
    lti_json_text(&j, "data", o->ds->spec);
    lti_json_text(&j, "forget", o->what.requests);
    lti_json_int(&j, "n_requests", s->requests.n);
    lti_json_int(&j, "n_forget", s->all.n);
    lti_json_int(&j, "n_retain", lti_stream_n_train(s) - s->all.n - s->before.n);
    lti_json_int(&j, "n_forgotten_before", s->before.n);
    write_accuracies(s, test_loss, &j);
    lti_json_real(&j, "delta_norm_l2", lti_parameter_distance(s->last.model, o->base->model));
    write_costs(s, start_s, &j);
    lti_json_begin(&j, "requests", '[');
    for (int k = 0; k < s->requests.n; k++)
        write_row(s, k, &j);
    lti_json_end(&j, ']');
    write_matrix(s, &j);
    lti_json_int(&j, "n_references", s->references ? s->references->m : 0);
    lti_json_real(&j, "request_lr_decay", o->what.request_lr_decay);
    lti_json_int(&j, "seed", (int64_t)o->seed);
    lti_json_text(&j, "parent_digest", s->base_digest);
    lti_json_text(&j, "data_digest", o->ds->digest);
    lti_json_text(&j, "forget_digest", s->forget_digest);
    lti_json_text(&j, "audit_digest", s->audit_digest);
    lt_model_digest(s->last.model, digest);
    lti_json_text(&j, "model_digest", digest);
    lti_json_text(&j, "run", s->to.dir);
    lti_json_end(&j, '}');
    *json = lti_json_take(&j);
    return *json ? LT_OK : LTI_NOMEM("result");
}
