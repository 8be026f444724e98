// batch.c - views, and one batch made from them: bytes to floats, crop and flip, labels.
//
// Crop offsets and flips are a function of (seed, epoch, view tag, official id), and so are random labels. Which thread
// makes a batch, and in which batch a sample lands, therefore changes nothing about the sample.
#include "data_impl.h"
#include "base/augment.h"
#include <string.h>

lt_view lt_view_split(const lt_dataset *ds, lt_split split)
{
    return (lt_view){.ds = ds, .split = split, .n = ds->split[split].n, .weight = 1};
}

lt_view lt_view_rows(const lt_dataset *ds, lt_split split, const lt_index_set *rows)
{
    return (lt_view){.ds = ds, .split = split, .row = rows->row, .n = rows->n, .weight = 1};
}

lt_status lti_view_check(const lt_view *view, int number)
{
    const lt_dataset *ds = view->ds;
    if (!ds || (view->split != LT_TRAIN && view->split != LT_TEST))
        return LT_FAIL(LT_E_USAGE, "view %d: no data set", number);
    int64_t n_rows = ds->split[view->split].n;
    if (view->n < 0 || (!view->row && view->n > n_rows))
        return LT_FAIL(LT_E_USAGE, "view %d: %lld samples of a split that has %lld", number, (long long)view->n,
                       (long long)n_rows);
    if (view->relabel == LT_RELABEL_RANDOM_OTHER && ds->n_classes < 2)
        return LT_FAIL(LT_E_USAGE, "view %d: no other label to draw, the set has one class", number);
    int32_t n_drawn = 0;
    for (int32_t c = 0; view->not_drawn && c < ds->n_classes; c++)
        n_drawn += !view->not_drawn[c];
    if (view->not_drawn && view->relabel != LT_RELABEL_NONE && n_drawn < 1)
        return LT_FAIL(LT_E_USAGE, "view %d: no label to draw", number);
    for (int64_t i = 0; i < view->n; i++) {
        if (view->row && (view->row[i] < 0 || view->row[i] >= n_rows))
            return LT_FAIL(LT_E_USAGE, "view %d: row %lld of a split that has %lld", number, (long long)view->row[i],
                           (long long)n_rows);
        if (view->labels && (view->labels[i] < 0 || view->labels[i] >= ds->n_classes))
            return LT_FAIL(LT_E_USAGE, "view %d: label %d of sample %lld, expected 0..%d", number, view->labels[i],
                           (long long)i, ds->n_classes - 1);
    }
    return LT_OK;
}

// The number-th of the classes that may be drawn.
static int32_t drawn_class(const lt_view *view, int32_t except, uint64_t number)
{
    int32_t c = 0;
    while (view->not_drawn[c] || c == except || number-- > 0)
        c++;
    return c;
}

static uint64_t count_drawn(const lt_view *view, int32_t except)
{
    uint64_t n = 0;
    for (int32_t c = 0; c < view->ds->n_classes; c++)
        n += !view->not_drawn[c] && c != except;
    return n;
}

static int32_t label_of(const lti_batch_source *src, const lt_view *view, int64_t i, int64_t row, int64_t id)
{
    int32_t y = view->labels ? view->labels[i] : view->ds->split[view->split].y[row];
    if (view->relabel == LT_RELABEL_NONE)
        return y;
    lt_rng rng = lt_rng_at(src->seed, LT_STREAM_LABEL, src->epoch, lti_draw_index(view->tag, id));
    uint64_t k = (uint64_t)view->ds->n_classes;
    if (view->not_drawn) {
        const int32_t except = view->relabel == LT_RELABEL_RANDOM_OTHER ? y : -1;
        const uint64_t n = count_drawn(view, except);
        return n > 0 ? drawn_class(view, except, lt_rng_below(&rng, n)) : y; // its own is the only one
    }
    if (view->relabel == LT_RELABEL_RANDOM_ANY)
        return (int32_t)lt_rng_below(&rng, k);
    int32_t other = (int32_t)lt_rng_below(&rng, k - 1);
    return other + (other >= y); // skips y
}

static lti_move draw_move(const lti_batch_source *src, const lt_view *view, int64_t id)
{
    if (!view->augment)
        return (lti_move){0, 0, 0};
    lti_move m = lti_draw_move(src->seed, src->epoch, view->tag, id, src->pad);
    m.flip = m.flip && (view->ds->steps == 0 || view->ds->flip);
    return m;
}

static void reverse(float *row, int w)
{
    for (int a = 0, b = w - 1; a < b; a++, b--) {
        float t = row[a];
        row[a] = row[b];
        row[b] = t;
    }
}

// One plane row: columns q0..q1-1 of the output have a source, the rest is zero. Exactly one of u8 and f32 is given.
static void copy_row(const uint8_t *u8, const float *f32, int dx, int w, float *out)
{
    int q0 = dx < 0 ? -dx : 0, q1 = dx > 0 ? w - dx : w;
    if (q0 > w)
        q0 = w;
    if (q1 < q0)
        q1 = q0;
    for (int q = 0; q < q0; q++)
        out[q] = 0;
    if (u8)
        for (int q = q0; q < q1; q++)
            out[q] = lti_pixel(u8[q + dx]);
    else if (f32)
        for (int q = q0; q < q1; q++)
            out[q] = f32[q + dx];
    for (int q = q1; q < w; q++)
        out[q] = 0;
}

static void copy_image(const lti_batch_source *src, const uint8_t *u8, const float *f32, lti_move m, float *out)
{
    int h = src->h, w = src->w;
    for (int c = 0; c < src->c; c++) {
        for (int r = 0; r < h; r++, out += w) {
            int from = r + m.dy;
            if (from < 0 || from >= h) {
                memset(out, 0, (size_t)w * sizeof *out);
                continue;
            }
            size_t at = ((size_t)c * (size_t)h + (size_t)from) * (size_t)w;
            copy_row(u8 ? u8 + at : NULL, f32 ? f32 + at : NULL, m.dx, w, out);
            if (m.flip)
                reverse(out, w);
        }
    }
}

void lti_batch_fill(const lti_batch_source *src, const int64_t *order, int64_t first, int64_t n, lt_batch *batch)
{
    size_t len = (size_t)src->c * (size_t)src->h * (size_t)src->w;
    for (int64_t b = 0; b < n; b++) {
        int64_t pos = order ? order[b] : first + b;
        int v = 0;
        while (pos >= src->start[v + 1])
            v++;
        const lt_view *view = &src->view[v];
        const lt_split_data *d = &view->ds->split[view->split];
        int64_t i = pos - src->start[v], row = view->row ? view->row[i] : i, id = d->id[row];
        batch->y[b] = label_of(src, view, i, row, id);
        batch->weight[b] = view->weight;
        batch->id[b] = id;
        batch->tag[b] = view->tag;
        batch->view[b] = v;
        batch->at[b] = i;
        batch->row[b] = row;
        batch->augmented[b] = view->augment;
        if (src->no_images)
            continue;
        const uint8_t *u8 = view->images ? NULL : d->x + (size_t)row * len;
        const float *f32 = view->images ? view->images + (size_t)i * len : NULL;
        if (view->augment && view->resized_crop)
            lti_resized_crop(u8, f32, src->c, src->h, src->w,
                             lti_draw_window(src->seed, src->epoch, view->tag, id, src->h, src->w),
                             batch->x + (size_t)b * len);
        else
            copy_image(src, u8, f32, draw_move(src, view, id), batch->x + (size_t)b * len);
        if (view->augment && view->ds->steps > 0)
            lti_event_drop(view->ds, lt_rng_at(src->seed, LT_STREAM_EVENTS, src->epoch, lti_draw_index(view->tag, id)),
                           batch->x + (size_t)b * len);
    }
    batch->n = batch->n_all = n;
}
