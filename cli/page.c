// page.c - the report of a board: gathers curves, pictures and facts from the run directories and hands them to
// lt_report_html.
#include "board.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_CURVES = 8, MAX_PAIRS = 12, MAX_FACTS = 32 };

struct curve {
    int n;
    double *epoch, *loss, *train_acc, *test_acc;
};
struct page {
    cli_pool pool;
    lt_report_row *row;
    lt_report_curve curve[MAX_CURVES];
    struct curve data[MAX_CURVES];
    int n_curves;
    lt_adv_set *adv;
    float *clean, *moved;
    char *pair_text[MAX_PAIRS];
    const char *fact[2 * MAX_FACTS + 1];
    int n_facts;
    char *note, *subtitle;
};

// ---- curves from metrics.jsonl: one line per finished epoch; a resumed run may repeat one, the last counts

static void put_epoch(struct curve *c, int max, const json_t *event)
{
    double epoch = cli_real(event, "epoch");
    int i = c->n > 0 && c->epoch[c->n - 1] >= epoch ? (int)epoch - 1 : c->n;
    if (!isfinite(epoch) || i < 0 || i >= max || i > c->n)
        return;
    c->epoch[i] = epoch;
    c->loss[i] = cli_real(event, "loss");
    c->train_acc[i] = cli_real(event, "train_acc");
    c->test_acc[i] = cli_real(event, "test_acc");
    c->n = i + 1;
}

static void curve_alloc(struct curve *c, int n)
{
    c->epoch = cli_alloc((size_t)n, sizeof(double));
    c->loss = cli_alloc((size_t)n, sizeof(double));
    c->train_acc = cli_alloc((size_t)n, sizeof(double));
    c->test_acc = cli_alloc((size_t)n, sizeof(double));
}

// Absent or unreadable metrics leave an empty curve: the report is about results, curves are extra.
static void read_curve(const char *dir, struct curve *c)
{
    enum { MAX_BYTES = 1 << 26 };
    char *path = cli_format("%s/metrics.jsonl", dir), *text = NULL;
    size_t n;
    int lines = 0;
    lt_status status = lt_read_file(path, MAX_BYTES, &text, &n);
    free(path);
    if (status != LT_OK) {
        lt_error_clear();
        return;
    }
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    curve_alloc(c, lines + 1);
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        json_t *event = json_loads(line, 0, NULL);
        if (!strcmp(cli_text(event, "event"), "train.epoch"))
            put_epoch(c, lines + 1, event);
        json_decref(event);
    }
    free(text);
}

static const char *curve_name(struct page *p, const cli_board *board, const cli_entry *e)
{
    int n = 0;
    for (int i = 0; i < board->n; i++)
        n += board->entry[i].role == e->role;
    return n > 1 && e->seed ? cli_pool_keep(&p->pool, cli_format("%s seed %s", e->name, e->seed)) : e->name;
}

static void add_curves(struct page *p, const cli_board *board)
{
    for (int i = 0; i < board->n && p->n_curves < MAX_CURVES; i++) {
        const cli_entry *e = &board->entry[i];
        struct curve *c = &p->data[p->n_curves];
        if (!e->src.dir || e->role == LT_ROW_METHOD)
            continue;
        read_curve(e->src.dir, c);
        if (c->n > 0)
            p->curve[p->n_curves++] =
                (lt_report_curve){curve_name(p, board, e), c->n, c->epoch, c->loss, c->train_acc, c->test_acc};
    }
}

// ---- pictures: forgotten samples with a found neighbour, of different classes where there are enough

static int64_t row_of_id(const lt_split_data *split, int64_t id)
{
    for (int64_t r = 0; r < split->n; r++)
        if (split->id[r] == id)
            return r;
    return -1;
}

static int choose_pairs(const lt_adv_set *adv, int n_classes, int64_t *chosen)
{
    int n = 0, want = n_classes < MAX_PAIRS ? n_classes : MAX_PAIRS;
    for (int round = 0; round < MAX_PAIRS && n < MAX_PAIRS; round++)
        for (int k = 0; k < want && n < MAX_PAIRS; k++) {
            int seen = 0;
            for (int64_t i = 0; i < adv->n; i++)
                if (adv->status[i] == LT_ADV_OK && adv->label[i] == k && seen++ == round) {
                    chosen[n++] = i;
                    break;
                }
        }
    return n;
}

static int fill_pairs(struct page *p, const cli_board *board)
{
    const lt_dataset *ds = board->ds;
    const lt_split_data *train = &ds->split[LT_TRAIN];
    int64_t chosen[MAX_PAIRS];
    size_t image = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    int n = choose_pairs(p->adv, ds->n_classes, chosen), used = 0;
    p->clean = cli_alloc((size_t)n * image, sizeof(float));
    p->moved = cli_alloc((size_t)n * image, sizeof(float));
    for (int i = 0; i < n; i++) {
        int64_t row = row_of_id(train, p->adv->id[chosen[i]]);
        if (row < 0)
            continue;
        for (size_t k = 0; k < image; k++)
            p->clean[(size_t)used * image + k] = (float)train->x[(size_t)row * image + k] / 255.0f;
        memcpy(p->moved + (size_t)used * image, p->adv->x_adv + (size_t)chosen[i] * image, image * sizeof(float));
        p->pair_text[used++] =
            cli_format("%s \xe2\x86\x92 %s, distance %.2f", ds->class_names[p->adv->label[chosen[i]]],
                       ds->class_names[p->adv->adv_pred[chosen[i]]], (double)p->adv->delta_norm[chosen[i]]);
    }
    return used;
}

static lt_status add_pairs(struct page *p, const cli_board *board, lt_report_spec *spec)
{
    const lt_dataset *ds = board->ds;
    for (int i = 0; i < board->n && !p->adv; i++) {
        const cli_entry *e = &board->entry[i];
        char *dir = cli_format("%s/adv", e->src.dir ? e->src.dir : "");
        struct stat st; // made with --no-save-adv: no strip from this run
        bool kept = json_object_get(e->src.result, "adversarial_set") && stat(dir, &st) == 0;
        lt_status status = kept ? lt_adv_set_open(dir, &p->adv) : LT_OK;
        free(dir);
        LT_TRY(status);
    }
    if (!p->adv || p->adv->c != ds->c || p->adv->h != ds->h || p->adv->w != ds->w || (ds->c != 1 && ds->c != 3))
        return LT_OK;
    spec->n_pairs = fill_pairs(p, board);
    spec->c = ds->c;
    spec->h = ds->h;
    spec->w = ds->w;
    spec->clean = p->clean;
    spec->adv = p->moved;
    spec->pair_text = (const char *const *)p->pair_text;
    return LT_OK;
}

// ---- facts

static void add_fact(struct page *p, const char *key, char *value)
{
    if (p->n_facts < MAX_FACTS) {
        p->fact[2 * p->n_facts] = key;
        p->fact[2 * p->n_facts + 1] = value;
        p->n_facts++;
    } else {
        free(value);
    }
}

static void add_facts(struct page *p, cli_call *call, const cli_board *board)
{
    const lt_dataset *ds = board->ds;
    const lt_model *m = board->entry[0].src.model;
    const char *recipe = cli_source_meta(&board->entry[0].src, "lethe.recipe");
    lt_machine machine;
    lt_machine_read(&machine);
    add_fact(p, "Data",
             cli_format("%s: %lld training and %lld test images, %dx%dx%d, %d classes", ds->spec,
                        (long long)ds->split[LT_TRAIN].n, (long long)ds->split[LT_TEST].n, ds->c, ds->h, ds->w,
                        ds->n_classes));
    add_fact(p, "Data digest", cli_format("%s", ds->digest));
    add_fact(p, "Model", cli_format("%s, %lld parameters", m->spec, (long long)m->n_params));
    if (recipe)
        add_fact(p, "Training recipe", cli_format("%s", recipe));
    add_fact(p, "Forget set",
             cli_format("%lld samples, digest %s", (long long)board->sets.forget.n, board->forget_digest));
    add_fact(p, "Machine",
             cli_format("%s, %d of %d cores usable, %s", machine.cpu, machine.n_usable, machine.n_cores, machine.isa));
    add_fact(p, "lethe",
             cli_format("%s%s%s", LT_VERSION, call->session->backend ? ", " : "",
                        call->session->backend ? lt_backend_version(call->session->backend) : ""));
}

// ---- the page

static void fill_rows(struct page *p, const cli_board *board, lt_report_spec *spec)
{
    p->row = cli_alloc((size_t)board->n, sizeof *p->row);
    for (int i = 0; i < board->n; i++)
        cli_page_row(&p->pool, board, spec, i, &p->row[i]);
    spec->rows = p->row;
    spec->n_rows = board->n;
}

static lt_status write_text(const char *path, char *text)
{
    lt_status status =
        text ? lt_write_file_atomic(path, text, strlen(text)) : LT_FAIL(LT_E_NOMEM, "out of memory: %s", path);
    free(text);
    return status;
}

static void page_clear(struct page *p)
{
    for (int i = 0; i < MAX_CURVES; i++) {
        free(p->data[i].epoch);
        free(p->data[i].loss);
        free(p->data[i].train_acc);
        free(p->data[i].test_acc);
    }
    for (int i = 0; i < MAX_PAIRS; i++)
        free(p->pair_text[i]);
    for (int i = 0; i < p->n_facts; i++)
        free((char *)p->fact[2 * i + 1]);
    lt_adv_set_destroy(p->adv);
    free(p->clean);
    free(p->moved);
    free(p->row);
    cli_pool_clear(&p->pool);
    free(p->note);
    free(p->subtitle);
}

// What only a comparison has: rows, figures, curves, pictures, facts.
static lt_status fill_comparison(struct page *p, cli_call *call, const cli_board *board, lt_report_spec *spec)
{
    const lt_dataset *ds = board->ds;
    p->subtitle = cli_format("%s on %s", board->entry[0].src.model->spec, ds->spec);
    p->note =
        cli_format("%lld of %lld training samples were to be forgotten. Each row is one model, asked about the same "
                   "forgotten, retained and test samples.",
                   (long long)board->sets.forget.n, (long long)ds->split[LT_TRAIN].n);
    spec->subtitle = p->subtitle;
    spec->note = p->note;
    spec->class_names = (const char *const *)ds->class_names;
    cli_page_metrics(&p->pool, board, spec);
    fill_rows(p, board, spec);
    cli_page_lint(&p->pool, board, spec);
    cli_page_depth(&p->pool, board, spec);
    add_curves(p, board);
    spec->curves = p->curve;
    spec->n_curves = p->n_curves;
    LT_TRY(add_pairs(p, board, spec));
    add_facts(p, call, board);
    spec->facts = p->fact;
    return LT_OK;
}

static lt_status write_page(const lt_report_spec *spec, const cli_outputs *to)
{
    if (to->format == CLI_PAGE_HTML)
        return lt_report_html(spec, to->page);
    return write_text(to->page, to->format == CLI_PAGE_CSV ? lt_report_all_csv(spec) : lt_report_all_markdown(spec));
}

lt_status cli_board_report(cli_call *call, const cli_board *board, const cli_outputs *to)
{
    struct page p = {0};
    lt_status status = LT_OK;
    lt_report_spec spec = {.title = to->title, .subtitle = "requests served one after another", .seed = to->seed};
    if (board->n > 0)
        LT_TRY_GOTO(fill_comparison(&p, call, board, &spec), done);
    cli_page_streams(&p.pool, board, &spec);
    if (to->page)
        LT_TRY_GOTO(write_page(&spec, to), done);
    if (to->markdown)
        LT_TRY_GOTO(write_text(to->markdown, lt_report_markdown(&spec)), done);
    if (to->csv)
        LT_TRY_GOTO(write_text(to->csv, lt_report_csv(&spec)), done);
done:
    page_clear(&p);
    return status;
}
