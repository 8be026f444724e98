// section_spiking.c - activity of a spiking network: rates and operations by layer, rasters of spikes, a clip of
// events.
//
// Measured when the page is made, on the first samples of the test split and on the model of the first row, or of the
// first quantized run where there are no rows. The clip is the frames of one test sample as a picture that moves
// without any script; it is shown where pictures may be.
#include "data/png_write.h"
#include "report/section.h"
#include "lethe/spike.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SAMPLES = 64, BATCH = 16, MAX_NEURONS = 60, N_RASTERS = 2, CLIP_WIDTH = 160, FRAME_MS = 150 };

typedef struct raster {
    const char *layer;
    int64_t n, n_all; // drawn, and in the layer
    uint8_t *spikes;  // (steps, n)
} raster;
typedef struct own_data {
    int steps, n_layers, n_samples;
    const char **name;
    double *rate;
    int64_t *neurons;
    double synops, macs, dense_macs, energy_uj, dense_uj;
    raster raster[N_RASTERS];
    const uint8_t *clip; // (2 T, h, w), or NULL
    int h, w;
} own_data;

// ---- gathering

static lt_status copy_activity(lti_gather *g, const lt_spike_activity *a, own_data *o)
{
    const size_t n = (size_t)a->n_layers + 1;
    o->steps = a->steps;
    o->n_layers = a->n_layers;
    o->n_samples = (int)a->n;
    o->synops = a->synops;
    o->macs = a->macs;
    o->dense_macs = a->dense_macs;
    o->energy_uj = 1e-6 * a->energy_pj;
    o->dense_uj = 1e-6 * a->dense_energy_pj;
    o->name = lti_gather_alloc(g, n, sizeof *o->name);
    o->rate = lti_gather_alloc(g, n, sizeof *o->rate);
    o->neurons = lti_gather_alloc(g, n, sizeof *o->neurons);
    if (!o->name || !o->rate || !o->neurons)
        return LTI_NOMEM("report");
    for (int i = 0; i < a->n_layers; i++) {
        o->name[i] = lti_gather_text(g, "%s", a->layer[i].name);
        o->rate[i] = a->layer[i].rate;
        o->neurons[i] = a->layer[i].n_neurons;
    }
    return LT_OK;
}

// Marks the neurons that are drawn: the most active ones, those of small number among equals, because the first ones of
// a map lie at its border, where nothing happens. Returns their number.
static int64_t choose_neurons(const uint8_t *spikes, int steps, int64_t n, uint8_t *is_chosen)
{
    int64_t left = MAX_NEURONS;
    for (int wanted = steps; wanted >= 0 && left > 0; wanted--)
        for (int64_t i = 0; i < n && left > 0; i++) {
            int count = 0;
            for (int t = 0; t < steps; t++)
                count += spikes[t * n + i];
            if (count == wanted) {
                is_chosen[i] = 1;
                left--;
            }
        }
    return MAX_NEURONS - left;
}

static lt_status copy_chosen(lti_gather *g, const uint8_t *spikes, int steps, int64_t n, raster *r)
{
    uint8_t *is_chosen = lti_gather_alloc(g, (size_t)n + 1, 1);
    r->n = is_chosen ? choose_neurons(spikes, steps, n, is_chosen) : 0;
    r->n_all = n;
    r->spikes = lti_gather_alloc(g, (size_t)r->n * (size_t)steps + 1, 1);
    if (!is_chosen || !r->spikes)
        return LTI_NOMEM("report");
    for (int t = 0; t < steps; t++)
        for (int64_t i = 0, k = 0; i < n; i++)
            if (is_chosen[i])
                r->spikes[t * r->n + k++] = spikes[t * n + i];
    return LT_OK;
}

static lt_status take_raster(lti_gather *g, const lt_model *m, const lt_view *view, const lt_env *env, raster *r)
{
    uint8_t *spikes;
    int64_t n = 0; // all
    LT_TRY(lt_spike_raster(m, view, 0, env, r->layer, &n, &spikes));
    const lt_status status = copy_chosen(g, spikes, lt_model_steps(m, NULL), n, r);
    free(spikes);
    return status;
}

static lt_status measure(lti_gather *g, const lt_model *m, const lt_view *view, const lt_env *env, own_data *o)
{
    lt_spike_activity a;
    LT_TRY(lt_spike_activity_measure(m, view, env, BATCH, &a));
    lt_status status = copy_activity(g, &a, o);
    lt_spike_activity_clear(&a);
    LT_TRY(status);
    o->raster[0].layer = o->name[0];
    o->raster[1].layer = o->name[o->n_layers - 1];
    for (int i = 0; i < N_RASTERS && i < o->n_layers; i++)
        LT_TRY(take_raster(g, m, view, env, &o->raster[i]));
    return LT_OK;
}

// The data set need not outlive the page.
static lt_status copy_clip(lti_gather *g, const lt_dataset *ds, own_data *o)
{
    const size_t n = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    uint8_t *clip = lti_gather_alloc(g, n, 1);
    if (!clip)
        return LTI_NOMEM("report");
    memcpy(clip, ds->split[LT_TEST].x, n);
    o->clip = clip;
    o->h = ds->h;
    o->w = ds->w;
    return LT_OK;
}

static lt_status gather_model(lti_gather *g, const lt_model *m, const lt_dataset *ds)
{
    if (!m || !ds || lt_model_steps(m, NULL) == 0 || ds->split[LT_TEST].n == 0)
        return LT_OK;
    if (ds->c != m->shape.c || ds->h != m->shape.h || ds->w != m->shape.w)
        return LT_OK;
    own_data *o = lti_gather_alloc(g, 1, sizeof *o);
    lt_backend *backend = NULL;
    if (!o)
        return LTI_NOMEM("report");
    lt_view view = lt_view_split(ds, LT_TEST);
    view.n = view.n < MAX_SAMPLES ? view.n : MAX_SAMPLES;
    LT_TRY(lt_backend_create("auto", 1, &backend));
    const lt_status status = measure(g, m, &view, &(lt_env){.backend = backend}, o);
    lt_backend_destroy(backend);
    LT_TRY(status);
    if (g->source->with_images && ds->steps > 0)
        LT_TRY(copy_clip(g, ds, o));
    g->spec->own[g->self] = o;
    return LT_OK;
}

// A page of quantized runs alone shows the first of them, where its data is available.
static lt_status gather_quantized(lti_gather *g, const char *dir)
{
    lt_trained_model run;
    lt_dataset *ds = NULL;
    lt_status status = lt_trained_model_open(dir, NULL, NULL, &run);
    const bool opened = status == LT_OK && lt_model_steps(run.model, NULL) > 0 &&
                        lt_trained_model_data(&run, NULL, LT_DATA_ANY, NULL, &ds) == LT_OK;
    if (opened)
        status = gather_model(g, run.model, ds);
    else
        lt_error_clear();
    lt_dataset_close(ds);
    lt_trained_model_close(&run);
    return opened ? status : LT_OK;
}

static lt_status gather(lti_gather *g)
{
    const lt_report_source *s = g->source;
    if (!s->model && s->n_quantized > 0)
        return gather_quantized(g, s->quantized[0]);
    return gather_model(g, s->model, s->ds);
}

static own_data *data_of(const lt_report_spec *s)
{
    for (int i = 0; i < lti_n_sections; i++)
        if (lti_sections[i] == &lti_section_spiking)
            return s->own[i];
    return NULL;
}

// ---- drawing

static void put_table(lti_doc *d, const own_data *o)
{
    lti_buf *b = &d->b;
    lti_buf_printf(
        b,
        "<p class=\"small\">Means over the first %d samples of the test split, %d steps. Synaptic operations a "
        "sample: %.3g, multiply-adds: %.3g, with dense inputs %.3g. Arithmetic at 0.9 pJ an addition and 4.6 pJ "
        "a multiply-add (45 nm): %.3g \xc2\xb5J, dense %.3g \xc2\xb5J.</p>\n",
        o->n_samples, o->steps, o->synops, o->macs, o->dense_macs, o->energy_uj, o->dense_uj);
    lti_buf_puts(b, "<div class=\"scroll\"><table><thead><tr><th>Layer</th><th>Neurons</th><th>Spikes a step</th></tr>"
                    "</thead><tbody>\n");
    for (int i = 0; i < o->n_layers; i++) {
        lti_buf_puts(b, "<tr><th>");
        lti_html_text(b, o->name[i]);
        lti_buf_printf(b, "</th><td>%lld</td><td>", (long long)o->neurons[i]);
        lti_html_number(b, o->rate[i], 4);
        lti_buf_puts(b, "</td></tr>\n");
    }
    lti_buf_puts(b, "</tbody></table></div>\n");
}

static void put_raster(lti_doc *d, const raster *r, int steps)
{
    char title[160], which[80];
    lti_plot p;
    if (!r->spikes)
        return;
    snprintf(title, sizeof title, "Spikes of %.100s for one sample", r->layer);
    snprintf(which, sizeof which, "all neurons");
    if (r->n < r->n_all)
        snprintf(which, sizeof which, "the %lld most active of %lld neurons", (long long)r->n, (long long)r->n_all);
    lti_plot_open(d,
                  &(lti_frame){.title = title,
                               .subtitle = which,
                               .desc = "A mark for every spike: steps of time to the right, neurons upwards.",
                               .x = {.label = "step", .lo = 0, .hi = steps, .tight = true, .want = 5},
                               .y = {.label = "neuron", .lo = 0, .hi = (double)r->n, .tight = true, .want = 4}},
                  &p);
    for (int t = 0; t < steps; t++)
        for (int64_t i = 0; i < r->n; i++)
            if (r->spikes[t * r->n + i])
                lti_plot_mark(&p, t + 0.5, (double)i + 0.5, LTI_TICK, (lti_style){.color = LTI_INK});
    lti_plot_close(&p);
}

// Frames in a row: red = on, blue = off, on white.
static uint8_t *draw_frames(const own_data *o)
{
    const int wide = o->steps * o->w;
    const size_t plane = (size_t)o->h * (size_t)wide;
    uint8_t *x = lti_malloc(3 * plane), most = 1;
    for (size_t i = 0; x && i < 2 * (size_t)o->steps * (size_t)o->h * (size_t)o->w; i++)
        most = o->clip[i] > most ? o->clip[i] : most;
    for (int t = 0; x && t < o->steps; t++)
        for (int r = 0; r < o->h; r++)
            for (int q = 0; q < o->w; q++) {
                const size_t at = ((size_t)(2 * t) * (size_t)o->h + (size_t)r) * (size_t)o->w + (size_t)q;
                const int off = 255 * o->clip[at] / most, on = 255 * o->clip[at + (size_t)o->h * (size_t)o->w] / most;
                uint8_t *to = x + (size_t)r * (size_t)wide + (size_t)(t * o->w + q);
                to[0] = (uint8_t)(255 - off);
                to[plane] = (uint8_t)(255 - (on > off ? on : off));
                to[2 * plane] = (uint8_t)(255 - on);
            }
    return x;
}

static lt_status put_clip(lti_doc *d, const own_data *o)
{
    lti_buf *b = &d->b;
    if (!o->clip)
        return LT_OK;
    uint8_t *frames = draw_frames(o);
    if (!frames)
        return LTI_NOMEM("a clip");
    lti_buf_printf(
        b,
        "<figure><svg role=\"img\" aria-label=\"frames of a test sample, one after another\" width=\"%d\" "
        "viewBox=\"0 0 %d %d\"><image width=\"%d\" height=\"%d\" style=\"image-rendering:pixelated\" href=\"",
        CLIP_WIDTH, o->w, o->h, o->steps * o->w, o->h);
    const lt_status status = lti_png_data_uri(b, 3, o->h, o->steps * o->w, frames);
    lti_free(frames);
    lti_buf_puts(b, "\"><animate attributeName=\"x\" calcMode=\"discrete\" repeatCount=\"indefinite\" values=\"");
    for (int t = 0; t < o->steps; t++)
        lti_buf_printf(b, "%s%d", t ? ";" : "", -t * o->w);
    lti_buf_printf(b,
                   "\" dur=\"%dms\"/></image></svg><figcaption>Frames of a test sample: red brighter, blue darker."
                   "</figcaption></figure>\n",
                   o->steps * FRAME_MS);
    return status;
}

static lt_status put(lti_doc *d)
{
    const own_data *o = data_of(d->spec);
    if (!o)
        return LT_OK;
    lti_section(d, "Spiking activity");
    put_table(d, o);
    lti_buf_puts(&d->b, "<div class=\"grid\">\n");
    for (int i = 0; i < N_RASTERS; i++)
        put_raster(d, &o->raster[i], o->steps);
    const lt_status status = put_clip(d, o);
    lti_buf_puts(&d->b, "</div>\n");
    return status;
}

static void lines(lti_lines *w)
{
    const own_data *o = data_of(w->d->spec);
    for (int i = 0; o && i < o->n_layers; i++)
        lti_lines_add(w, &(lti_line){.section = "spiking",
                                     .name = o->name[i],
                                     .quantity = "spikes_a_step",
                                     .value = o->rate[i],
                                     .interval = lti_no_interval});
    if (o)
        lti_lines_add(w, &(lti_line){.section = "spiking",
                                     .name = "network",
                                     .quantity = "synops",
                                     .value = o->synops,
                                     .interval = lti_no_interval});
}

const lti_report_section lti_section_spiking = {.name = "spiking", .gather = gather, .put = put, .lines = lines};
